"""The pictures of a prepared TFDS data set, undecoded and in any order."""

import bisect
import importlib.util
import itertools
import os
import struct
import threading
from typing import Any

from absl import logging

from fast_style.errors import UserError

# TFDS knows the size of a data set only once it is there.
_DOWNLOAD_SIZES = {"coco/2014": "40.3 GB", "coco/2017": "27.1 GB"}


class TfdsPictures:
    """The `image` bytes of a prepared TFDS split, whose files are all array_record or all TFRecord.

    as_data_source() reads array_record alone, and always decodes; so the records are read here,
    which in both formats are the same serialized tf.train.Example.
    """

    def __init__(self, builder: Any, name: str, split: str) -> None:
        instructions = builder.info.splits[split].file_instructions
        self._name = f"{name}:{split}"
        file_format = builder.info.file_format.value
        if file_format == "array_record":
            from array_record.python.array_record_data_source import ArrayRecordDataSource

            self._records: Any = ArrayRecordDataSource(instructions)
        elif file_format == "tfrecord":
            self._records = _TFRecords(instructions)
        else:
            raise ValueError(f"is prepared as {file_format}; array_record and tfrecord are read")

    def __len__(self) -> int:
        return len(self._records)

    def name(self, index: int) -> str:
        return f"{self._name}[{index}]"

    def encoded(self, index: int) -> bytes:
        from google.protobuf.message import DecodeError
        from tensorflow.train import Example

        try:
            example = Example.FromString(self._records[index])
        except (OSError, ValueError, RuntimeError, DecodeError) as error:
            raise UserError(f"{self.name(index)}: cannot be read: {error}") from error
        images = example.features.feature["image"].bytes_list.value
        return images[0] if images else b""


class _TFRecords:
    """Random access to the records of TFRecord files.

    A record is its length (8 bytes), a checksum of that (4), the data, and a checksum of the data
    (4). The offsets of a file's records are found by hopping from length to length when the file
    is first used, so that a training on 40 GB starts at once.
    """

    def __init__(self, instructions: list[Any]) -> None:
        self._instructions = instructions
        self._ends = list(itertools.accumulate(part.take for part in instructions))
        self._offsets: dict[str, list[int]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> bytes:
        part = bisect.bisect_right(self._ends, index)
        instruction = self._instructions[part]
        position = instruction.skip + index - (self._ends[part] - instruction.take)
        path = os.fspath(instruction.filename)
        with self._lock:
            if path not in self._offsets:
                self._offsets[path] = _record_offsets(path)
            offsets = self._offsets[path]
        if position + 1 >= len(offsets):
            raise ValueError(f"{path} ends before record {position}")
        with open(path, "rb") as file:
            file.seek(offsets[position] + 12)
            return file.read(offsets[position + 1] - offsets[position] - 16)


def _record_offsets(path: str) -> list[int]:
    """Where each record of a TFRecord file begins, and where the last whole one ends."""
    offsets = [0]
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        while header := file.read(8):
            if len(header) < 8:
                break
            end = offsets[-1] + struct.unpack("<Q", header)[0] + 16
            if end > size:
                break
            offsets.append(end)
            file.seek(end)
    return offsets


def open_tfds(name: str, split: str, data_dir: str | None, download: bool) -> TfdsPictures:
    """The pictures of a TFDS data set's split, which is prepared only where `download` says so.

    Of what is downloaded TFDS checks the hashes. Raises UserError where one is wrong or missing,
    there is no such data set, it is not prepared, or it has no feature `image`.
    """
    import tensorflow_datasets as tfds

    try:
        builder = _tfds_builder(name, data_dir=data_dir)
        if not builder.is_prepared() and download:
            # Made for random access, but not to be had on every system.
            if importlib.util.find_spec("array_record"):
                builder = _tfds_builder(name, data_dir=data_dir, file_format="array_record")
            # What its cloud bucket keeps ready made has no hashes.
            checked = tfds.download.DownloadConfig(
                force_checksums_validation=True, try_download_gcs=False
            )
            builder.download_and_prepare(download_config=checked)
    except tfds.core.registered.DatasetNotFoundError:
        raise UserError(
            f"dataset: {name}: there is no such folder, and no such data set in TFDS; "
            "`synthetic`, a folder of pictures, coco/2014 and coco/2017 are some that work"
        ) from None
    except ImportError as error:
        raise UserError(f"dataset: {name}: TFDS needs a package to prepare it: {error}") from error
    except Exception as error:  # of TFDS, of the network, of the data set's own reader
        raise UserError(f"dataset: {name}: {' '.join(str(error).split())[:300]}") from error
    if not builder.is_prepared():
        size = _DOWNLOAD_SIZES.get(name, "size unknown")
        raise UserError(
            f"dataset: {name}: is not in {builder.data_path}; set data_dir to where it is, or let "
            f"--download fetch it ({size}); `dataset: synthetic` or a folder of pictures works "
            "without"
        )
    features = builder.info.features
    if "image" not in features or not isinstance(features["image"], tfds.features.Image):
        raise UserError(
            f"dataset: {name}: has no pictures in a feature `image`; it has {', '.join(features)}"
        )
    try:
        return TfdsPictures(builder, name, split)
    except ValueError as error:
        raise UserError(f"dataset: {name}:{split}: {error}") from error


def _tfds_builder(name: str, **options: str | None) -> Any:
    """tfds.builder without its warnings that the data is not there; that is said better above."""
    import tensorflow_datasets as tfds

    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        return tfds.builder(name, **options)
    finally:
        logging.set_verbosity(verbosity)
