"""The pictures that a transformer network is trained on; batch k is a pure function of (seed, k).

Pictures are decoded by Pillow in threads, not by tf.data: Pillow applies EXIF orientation and
names what is wrong with a file, lets the other threads run while it decodes, and its exceptions
arrive as they are. One function of the slot number then serves batch(k), batches(k), a resumed
training, and a replica that wants its share alone.
"""

import functools
import itertools
import math
import re
import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from absl import logging

from fast_style.conf.config import Config
from fast_style.conf.locations import locate
from fast_style.errors import UserError, check_installed, printable
from fast_style.hardware import usable_cores
from fast_style.pictures.images import (
    decode_picture,
    find_pictures,
    flatten_on_white,
    read_picture_file,
)
from fast_style.pictures.pixels import square
from fast_style.pictures.training_pictures.synthetic_images import synthetic_picture
from fast_style.pictures.training_pictures.tfds_pictures import TfdsPictures, open_tfds

LARGEST_ZOOM = 1.25
"""With crop "random" the side of the square is this much or less below the short side."""

TOLERATED_BROKEN = 2
"""So many broken files never stop a training, however few there are; beyond, a tenth of all."""

MOST_ATTEMPTS = 1000
"""To find a picture for a place; beyond, there is none."""

MOST_SHIFT = 4
"""Pixels: what `network: paper` upsamples by, and half of what `wide` does."""

VIEW_NOISE = 2.0
"""Grey levels, the standard deviation: about that of a camera in a lit room."""

# Keys of the random streams, so that no two of them are the same.
_ORDER, _CROP, _REPLACEMENT, _VIEW, _NOISE = range(5)


class ContentImages:
    """Square content images, in an order that (seed, step) alone decides.

    config: of its keys `image_size`, `batch_size`, `seed`, and these:
        dataset: `synthetic`; a folder, glob or picture file; or a TFDS name with an image feature
            such as `coco/2014` or `coco/2017:train+validation` (the split defaults to train).
        crop: "centre" takes the middle of each picture, as large as fits; "random" takes a square
            of 0.8 to 1 times that side from anywhere.
        flip: mirror every second picture, by chance.
        data_dir: where TFDS keeps its data sets; its own default when None.
        data_service: address of a Ray cluster whose machines read the pictures; None: this one.
    download: let TFDS fetch a data set that is not there.
    share: the places in every batch that are wanted here, where others take the rest; None: all.

    Every epoch is a fresh permutation of all pictures. A broken file is named in the log once,
    and in `broken`, and another file takes its place; which one, (seed, slot) decides. So does one
    that is of a single colour where it is cut.

    Raises UserError when there is nothing to read.
    """

    def __init__(
        self, config: Config, *, download: bool = False, share: range | None = None
    ) -> None:
        self._config = config
        self._share = share or range(config.batch_size)
        self._pictures = _open(config.dataset, config.data_dir, download)
        self._broken: dict[str, str] = {}
        self._flat: set[str] = set()  # where it was cut; elsewhere it may serve
        self._broken_lock = threading.Lock()

    @property
    def pictures_per_epoch(self) -> int | None:
        """How many pictures there are; None when they never end."""
        return None if self._pictures is None else len(self._pictures)

    @property
    def broken(self) -> dict[str, str]:
        """Name to reason of every broken file met so far, those of the batches ahead included."""
        with self._broken_lock:
            return dict(self._broken)

    def report_broken(self) -> None:
        """Write into the log how many broken files were met so far, and each with its reason."""
        broken = self.broken
        if broken:
            logging.warning("%d broken pictures were passed over:", len(broken))
        for name, reason in broken.items():
            logging.warning("  %s: %s", printable(name), reason)

    def batch(self, step: int) -> np.ndarray:
        """The share of the content images of one training step: (len(share), S, S, 3) uint8.

        Raises UserError when more than a tenth of the files (and more than TOLERATED_BROKEN), or
        all of them, are broken.
        """
        return np.stack([self.picture(slot) for slot in self._slots(step)])

    def batches(self, first_step: int) -> Generator[np.ndarray]:
        """batch(first_step), batch(first_step + 1), ... without end, made ahead by threads.

        Raises UserError as batch does, and where there is no data service.
        """
        if self._config.data_service is None:
            yield from self._in_order(self.picture, usable_cores(), first_step)
            return
        check_installed(f"data_service: {self._config.data_service}: needs", "batch", "ray")
        from fast_style.pictures.training_pictures.data_service import readers

        same_elsewhere = functools.partial(ContentImages, self._config)
        with readers(self._config.data_service, same_elsewhere) as (read, count):

            def picture(slot: int) -> np.ndarray:
                rgb, broken = read(slot)
                for name, reason in broken.items():
                    self._add_broken(name, reason)
                if broken:
                    self._stop_if_too_many_are_broken()
                return rgb

            # Of each reader's pictures one is made while another is on its way.
            yield from self._in_order(picture, 2 * count, first_step)

    def _in_order(
        self, picture: Callable[[int], np.ndarray], threads: int, first_step: int
    ) -> Generator[np.ndarray]:
        # Two batches hide a step's wait, and enough pictures keep every thread at work.
        ahead = max(2, math.ceil(2 * threads / len(self._share)))
        steps = itertools.count(first_step)
        pool = ThreadPoolExecutor(threads, thread_name_prefix="content-images")

        def start() -> list[Future[np.ndarray]]:
            return [pool.submit(picture, slot) for slot in self._slots(next(steps))]

        try:
            waiting = deque(start() for _ in range(ahead))
            while True:
                batch = np.stack([future.result() for future in waiting.popleft()])
                waiting.append(start())
                yield batch
        finally:
            pool.shutdown(cancel_futures=True)

    def moved_view(self, content: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
        """What a camera that moves a little sees of the pictures next, as (seed, step) decides.

        content: (N, H, W, 3) RGB 0..255, the share of a batch. Returns (N, H - 4, W - 4, 3)
        float32, their part from a row and column of 0 to 4 on, with normal noise of 2 grey levels,
        and that (2,) int32 shift, the same for the whole batch.
        """
        random = _random(self._config.seed, _VIEW, step)
        down, across = shift = random.integers(MOST_SHIFT + 1, size=2, dtype=np.int32)
        height, width = (side - MOST_SHIFT for side in content.shape[1:3])
        part = content[:, down : down + height, across : across + width]
        noise = np.stack(
            [
                _random(self._config.seed, _NOISE, step, self._share.start + i).standard_normal(
                    part.shape[1:], np.float32
                )
                for i in range(len(part))
            ]
        )
        return np.clip(part + VIEW_NOISE * noise, 0, 255).astype(np.float32), shift

    def _slots(self, step: int) -> range:
        first = step * self._config.batch_size
        return range(first + self._share.start, first + self._share.stop)

    def picture(self, slot: int) -> np.ndarray:
        """The picture of one place in the endless sequence: (S, S, 3) uint8.

        Raises UserError as batch does.
        """
        mirror, zoom, across, down = _random(self._config.seed, _CROP, slot).random(4)
        cut = functools.partial(square, side=self._config.image_size)
        if self._config.crop == "random":
            zoom = 1 + (LARGEST_ZOOM - 1) * zoom
            cut = functools.partial(cut, zoom=zoom, across=across, down=down)
        if self._pictures is None:
            rgb = synthetic_picture(self._config.seed, slot, self._config.image_size)
        else:
            rgb = self._of_a_file(slot, cut)
        return rgb[:, ::-1] if self._config.flip and mirror < 0.5 else rgb

    def _of_a_file(self, slot: int, cut: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """What is cut from the slot's picture, or from the first usable one that replaces it.

        Where a picture has one colour alone, instance normalizations divide by nearly nothing one
        after the other, and no gradient is finite.
        """
        assert self._pictures is not None
        count = len(self._pictures)
        epoch, place = divmod(slot, count)
        index = int(_epoch_order(self._config.seed, epoch, count)[place])
        largest_zoom = 1 if self._config.crop == "centre" else LARGEST_ZOOM
        at_least = math.ceil(self._config.image_size * largest_zoom)
        tried: set[int] = set()  # here: elsewhere another part of the same picture is cut out
        attempt = 0
        while len(tried) < count and attempt < MOST_ATTEMPTS:
            if index not in tried:
                tried.add(index)
                rgb = self._usable(index, at_least, cut)
                if rgb is not None:
                    return rgb
            index = int(_random(self._config.seed, _REPLACEMENT, slot, attempt).integers(count))
            attempt += 1
        dataset = self._config.dataset
        raise UserError(
            f"dataset: {dataset}: of its pictures only parts of a single colour were found, such "
            f"as in {min(self._flat, default=dataset)}; nothing can be learnt of those"
        )

    def _usable(
        self, index: int, at_least: int, cut: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray | None:
        assert self._pictures is not None
        name = self._pictures.name(index)
        if name not in self._broken:
            try:
                data = self._pictures.encoded(index)
                rgb = cut(flatten_on_white(decode_picture(data, name, at_least=at_least)))
                if (rgb != rgb[0, 0]).any():
                    return rgb
                self._flat.add(name)
            except UserError as error:
                self._add_broken(name, str(error).removeprefix(printable(f"{name}: ")))
        self._stop_if_too_many_are_broken()
        return None

    def _add_broken(self, name: str, reason: str) -> None:
        with self._broken_lock:
            new = name not in self._broken
            self._broken[name] = reason
        if new:
            logging.warning("%s: %s; another picture takes its place", printable(name), reason)

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
            f"dataset: {self._config.dataset}: of {count} pictures {len(broken)} so far cannot be "
            f"read, {verdict}; the first is {name}: {reason}"
        )


def _random(*key: int) -> np.random.Generator:
    return np.random.default_rng(key)


# An epoch's end and the next one's beginning are read at the same time.
@functools.lru_cache(maxsize=4)
def _epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    return _random(seed, _ORDER, epoch).permutation(count)


class _Files:
    """Pictures in files of their own, to be read in any order."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def name(self, index: int) -> str:
        """What messages call it."""
        return str(self._paths[index])

    def encoded(self, index: int) -> bytes:
        """The bytes of one picture file."""
        return read_picture_file(self._paths[index])


def _open(dataset: str, data_dir: str | None, download: bool) -> _Files | TfdsPictures | None:
    """The pictures that `dataset:` names; None for synthetic ones."""
    if dataset == "synthetic":
        return None
    path = locate(dataset)
    if dataset and path.exists():
        return _Files(find_pictures(path))
    named = _TFDS_NAME.fullmatch(dataset)
    if named:
        return open_tfds(named["name"], named["split"] or "train", data_dir, download)
    return _Files(find_pictures(dataset))


# Data set, then perhaps /config, :version and :split.
_TFDS_NAME = re.compile(
    r"(?P<name>[a-z][a-z0-9_]*(/[\w.-]+)?(:\d+\.\d+\.\d+)?)(:(?P<split>[a-z][\w\[\]:%+-]*))?"
)
