"""The pictures that a transformer network is trained on; batch k is a pure function of (seed, k).

Pictures are decoded by Pillow in threads, not by tf.data: Pillow applies EXIF orientation and
names what is wrong with a file, lets the other threads run while it decodes, and its exceptions
arrive as they are. One function of the slot number then serves batch(k), batches(k), a resumed
training, and a replica that wants its share alone.
"""

import bisect
import functools
import importlib.util
import itertools
import math
import os
import re
import struct
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from absl import logging

from fast_style.errors import UserError
from fast_style.files import read_bytes
from fast_style.images import decode_picture, find_pictures, flatten_on_white, square
from fast_style.locations import locate
from fast_style.synthetic_images import synthetic_picture

LARGEST_ZOOM = 1.25
"""With crop "random" the side of the square is this much or less below the short side."""

TOLERATED_BROKEN = 2
"""So many broken files never stop a training, however few there are; beyond, a tenth of all."""

# Keys of the random streams, so that no two of them are the same.
_ORDER, _CROP, _REPLACEMENT = range(3)


class EncodedPictures(Protocol):
    """Picture files that can be read in any order."""

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """What messages call it."""

    def encoded(self, index: int) -> bytes:
        """The bytes of one picture file."""


class ContentImages:
    """Square content images, in an order that (seed, step) alone decides.

    dataset: `synthetic`; a folder, glob or picture file; or a TFDS name with an image feature such
        as `coco/2014` or `coco/2017:train+validation` (the split defaults to train).
    crop: "centre" takes the middle of each picture, as large as fits; "random" takes a square of
        0.8 to 1 times that side from anywhere.
    flip: mirror every second picture, by chance.
    data_dir: where TFDS keeps its data sets; its own default when None.
    download: let TFDS fetch a data set that is not there.

    Every epoch is a fresh permutation of all pictures. A broken file is named in the log once,
    and in `broken`, and another file takes its place; which one, (seed, slot) decides.

    Raises UserError when there is nothing to read.
    """

    def __init__(
        self,
        dataset: str,
        *,
        image_size: int,
        batch_size: int,
        seed: int,
        crop: str = "centre",
        flip: bool = False,
        data_dir: str | None = None,
        download: bool = False,
    ) -> None:
        self._dataset = dataset
        self._image_size = image_size
        self._batch_size = batch_size
        self._seed = seed
        self._crop = crop
        self._flip = flip
        self._pictures = _open(dataset, data_dir, download)
        self._broken: dict[int, str] = {}
        self._broken_lock = threading.Lock()

    @property
    def pictures_per_epoch(self) -> int | None:
        """How many pictures there are; None when they never end."""
        return None if self._pictures is None else len(self._pictures)

    @property
    def broken(self) -> dict[str, str]:
        """Name to reason of every broken file met so far, those of the batches ahead included."""
        if self._pictures is None:
            return {}
        with self._broken_lock:
            return {self._pictures.name(index): why for index, why in self._broken.items()}

    def batch(self, step: int) -> np.ndarray:
        """The content images of one training step: (batch_size, S, S, 3) uint8.

        Raises UserError when more than a tenth of the files (and more than TOLERATED_BROKEN), or
        all of them, are broken.
        """
        return np.stack([self._picture(slot) for slot in self._slots(step)])

    def batches(self, first_step: int) -> Iterator[np.ndarray]:
        """batch(first_step), batch(first_step + 1), ... without end, made ahead by threads."""
        workers = _usable_cores()
        # Two batches hide a step's wait, and enough pictures keep every core at work.
        ahead = max(2, math.ceil(2 * workers / self._batch_size))
        steps = itertools.count(first_step)
        pool = ThreadPoolExecutor(workers, thread_name_prefix="content-images")

        def start() -> list[Future[np.ndarray]]:
            return [pool.submit(self._picture, slot) for slot in self._slots(next(steps))]

        try:
            waiting = deque(start() for _ in range(ahead))
            while True:
                batch = np.stack([future.result() for future in waiting.popleft()])
                waiting.append(start())
                yield batch
        finally:
            pool.shutdown(cancel_futures=True)

    def _slots(self, step: int) -> range:
        return range(step * self._batch_size, (step + 1) * self._batch_size)

    def _picture(self, slot: int) -> np.ndarray:
        """The picture of one place in the endless sequence: (S, S, 3) uint8."""
        mirror, zoom, across, down = _random(self._seed, _CROP, slot).random(4)
        if self._pictures is None:
            rgb = synthetic_picture(self._seed, slot, self._image_size)
        elif self._crop == "centre":
            rgb = square(self._readable(slot), self._image_size)
        else:
            zoom = 1 + (LARGEST_ZOOM - 1) * zoom
            rgb = square(
                self._readable(slot), self._image_size, zoom=zoom, across=across, down=down
            )
        return rgb[:, ::-1] if self._flip and mirror < 0.5 else rgb

    def _readable(self, slot: int) -> np.ndarray:
        """The pixels of the slot's picture, or of the first readable one that replaces it."""
        assert self._pictures is not None
        count = len(self._pictures)
        epoch, place = divmod(slot, count)
        index = int(_epoch_order(self._seed, epoch, count)[place])
        largest_zoom = 1 if self._crop == "centre" else LARGEST_ZOOM
        at_least = math.ceil(self._image_size * largest_zoom)
        attempt = 0
        while True:
            if index not in self._broken:
                name = self._pictures.name(index)
                try:
                    data = self._pictures.encoded(index)
                    return flatten_on_white(decode_picture(data, name, at_least=at_least))
                except UserError as error:
                    self._add_broken(index, str(error).removeprefix(f"{name}: "))
            self._stop_if_too_many_are_broken()
            index = int(_random(self._seed, _REPLACEMENT, slot, attempt).integers(count))
            attempt += 1

    def _add_broken(self, index: int, reason: str) -> None:
        assert self._pictures is not None
        with self._broken_lock:
            new = index not in self._broken
            self._broken[index] = reason
        if new:
            name = self._pictures.name(index)
            logging.warning("%s: %s; another picture takes its place", name, reason)

    def _stop_if_too_many_are_broken(self) -> None:
        broken, count = self.broken, self.pictures_per_epoch
        assert count is not None
        if len(broken) == count:
            verdict = "all are broken"
        elif len(broken) > TOLERATED_BROKEN and len(broken) > count / 10:
            verdict = "more than a tenth are broken"
        else:
            return
        name, reason = next(iter(broken.items()))
        raise UserError(
            f"dataset: {self._dataset}: of {count} pictures {len(broken)} so far cannot be read, "
            f"{verdict}; the first is {name}: {reason}"
        )


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # Linux: what a container may use
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _random(*key: int) -> np.random.Generator:
    return np.random.default_rng(key)


# An epoch's end and the next one's beginning are read at the same time.
@functools.lru_cache(maxsize=4)
def _epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    return _random(seed, _ORDER, epoch).permutation(count)


def _open(dataset: str, data_dir: str | None, download: bool) -> EncodedPictures | None:
    """The pictures that `dataset:` names; None for synthetic ones."""
    if dataset == "synthetic":
        return None
    path = locate(dataset)
    if dataset and path.exists():
        return _Files(find_pictures(path))
    named = _TFDS_NAME.fullmatch(dataset)
    if named:
        return _open_tfds(named["name"], named["split"] or "train", data_dir, download)
    return _Files(find_pictures(dataset))


class _Files:
    """Pictures in files of their own."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def name(self, index: int) -> str:
        return str(self._paths[index])

    def encoded(self, index: int) -> bytes:
        return read_bytes(self._paths[index])


# Data set, then perhaps /config, :version and :split.
_TFDS_NAME = re.compile(
    r"(?P<name>[a-z][a-z0-9_]*(/[\w.-]+)?(:\d+\.\d+\.\d+)?)(:(?P<split>[a-z][\w\[\]:%+-]*))?"
)

# TFDS knows the size of a data set only once it is there.
_DOWNLOAD_SIZES = {"coco/2014": "40.3 GB", "coco/2017": "27.1 GB"}


class _TfdsRecords:
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


def _open_tfds(name: str, split: str, data_dir: str | None, download: bool) -> _TfdsRecords:
    import tensorflow_datasets as tfds

    try:
        builder = _tfds_builder(name, data_dir=data_dir)
        if not builder.is_prepared() and download:
            # Made for random access, but not to be had on every system.
            if importlib.util.find_spec("array_record"):
                builder = _tfds_builder(name, data_dir=data_dir, file_format="array_record")
            builder.download_and_prepare()
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
        return _TfdsRecords(builder, name, split)
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
