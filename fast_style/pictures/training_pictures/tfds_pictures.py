"""The pictures of a prepared TFDS data set, undecoded and in any order."""

import bisect
import functools
import importlib.util
import itertools
import os
import struct
from typing import Any

from absl import logging

from fast_style.errors import UserError

# TFDS knows the size of a data set only when it is prepared.
_DOWNLOAD_SIZES = {"coco/2014": "40.3 GB", "coco/2017": "27.1 GB"}


class TfdsPictures:
    """The `image` bytes of a split of a prepared TFDS data set, in array_record or TFRecord files.

    TFDS's as_data_source() reads only array_record, and always decodes. In both formats a record
    is a serialized tf.train.Example. Raises ValueError for other formats.
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
    (4). A file is searched for its records when it is first used, so that a training on 40 GB
    starts at once.
    """

    def __init__(self, instructions: list[Any]) -> None:
        self._instructions = instructions
        self._ends = list(itertools.accumulate(part.take for part in instructions))
        self._offsets = functools.cache(_record_offsets)

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> bytes:
        part = bisect.bisect_right(self._ends, index)
        instruction = self._instructions[part]
        position = instruction.skip + index - (self._ends[part] - instruction.take)
        path = os.fspath(instruction.filename)
        offsets = self._offsets(path)
        if position + 1 >= len(offsets):
            raise ValueError(f"{path} ends before record {position}")
        with open(path, "rb") as file:
            file.seek(offsets[position] + 12)
            return file.read(offsets[position + 1] - offsets[position] - 16)


def _record_offsets(path: str) -> list[int]:
    """Returns where each record of a TFRecord file begins, and where the last whole one ends."""
    offsets = [0]
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        while len(header := file.read(8)) == 8:
            end = offsets[-1] + struct.unpack("<Q", header)[0] + 16
            if end > size:
                break
            offsets.append(end)
            file.seek(end)
    return offsets


def open_tfds(name: str, split: str, data_dir: str | None, download: bool) -> TfdsPictures:
    """Opens a split of a TFDS data set. If it is not prepared, `download` lets TFDS do that.

    TFDS checks the hashes of what it downloads. Raises UserError if one is wrong or missing, there
    is no such data set, it is not prepared, or it has no feature `image`.
    """
    import tensorflow_datasets as tfds

    try:
        builder = _tfds_builder(name, data_dir=data_dir)
        if not builder.is_prepared() and download:
            # For random access; not available on every system.
            if importlib.util.find_spec("array_record"):
                builder = _tfds_builder(name, data_dir=data_dir, file_format="array_record")
            # Prepared data sets in TFDS's bucket have no hashes.
            checked = tfds.download.DownloadConfig(
                force_checksums_validation=True, try_download_gcs=False
            )
            builder.download_and_prepare(download_config=checked)
    except tfds.core.registered.DatasetNotFoundError:
        raise UserError(
            f"dataset: {name}: there is no such folder, and no such data set in TFDS; "
            "use `synthetic`, a folder of pictures, or for instance coco/2014 or coco/2017"
        ) from None
    except ImportError as error:
        raise UserError(f"dataset: {name}: TFDS needs a package to prepare it: {error}") from error
    except Exception as error:  # from TFDS, the network, or the data set's own code
        raise UserError(f"dataset: {name}: {' '.join(str(error).split())[:300]}") from error
    if not builder.is_prepared():
        size = _DOWNLOAD_SIZES.get(name, "size unknown")
        raise UserError(
            f"dataset: {name}: is not in {builder.data_path}; set data_dir to its place, fetch it "
            f"with --download ({size}), or use `dataset: synthetic` or a folder of pictures"
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
    """Calls tfds.builder without its warnings about missing data, for which open_tfds raises."""
    import tensorflow_datasets as tfds

    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        return tfds.builder(name, **options)
    finally:
        logging.set_verbosity(verbosity)
