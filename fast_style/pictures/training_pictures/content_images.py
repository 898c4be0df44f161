"""The pictures that a transformer network is trained on; batch k is a pure function of (seed, k).

Pillow decodes them in threads, instead of tf.data: it applies EXIF orientation, its errors say
what is wrong with a file, and other threads run while it decodes. Each picture is a function of
its slot number, for whole batches, for a resumed training, and for a replica's share.
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
from numpy.random import default_rng

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

LARGEST_ZOOM = 1.25  # the short side, divided by the smallest side of a square of crop "random"
LEAST_CONTRAST = 1e-3  # standard deviation in grey levels: more than a square of a single colour
TOLERATED_BROKEN = 2  # broken files; more stop a training if they are more than a tenth of all
MOST_ATTEMPTS = 1000  # pictures that are tried for a slot
MOST_SHIFT = 4  # pixels: the factor by which `network: paper` upsamples, and half of `medium`'s
VIEW_NOISE = 2.0  # standard deviation in grey levels: about that of a camera in a lit room

# Keys that make the random streams different.
_ORDER, _CROP, _REPLACEMENT, _VIEW, _NOISE = range(5)


class ContentImages:
    """Square content images, in an order that depends on (seed, step) only.

    config: its keys `image_size`, `batch_size`, `seed`, and these:
        dataset: `synthetic`; a folder, glob or picture file; or a TFDS name with an image feature
            such as `coco/2014` or `coco/2017:train+validation` (default split: train).
        crop: "centre" takes the largest square in the middle of each picture; "random" takes a
            square of 0.8 to 1 times that side from anywhere.
        flip: mirrors half of the pictures, at random.
        data_dir: where TFDS keeps its data sets; None: its default.
        data_service: address of a Ray cluster whose machines read the pictures; None: this one.
    download: lets TFDS fetch a data set that is missing.
    share: the part of each batch that is made here, if other replicas make the rest; None: all.
    largest_zoom: of crop "random", instead of 1.25. least_detail: the zoom is less for a picture
        that would have fewer pixels for each pixel of a square. least_contrast: the standard
        deviation in grey levels of the flattest square that is used.

    Each epoch is a new permutation of all pictures. A broken file is named in the log once, and
    in `broken`, and another file, chosen by (seed, slot), replaces it. A square of a single
    colour is replaced too.

    Raises UserError if there are no pictures.
    """

    def __init__(
        self,
        config: Config,
        *,
        download: bool = False,
        share: range | None = None,
        largest_zoom: float = LARGEST_ZOOM,
        least_detail: float = 0.0,
        least_contrast: float = LEAST_CONTRAST,
    ):
        self._config = config
        self._largest_zoom = largest_zoom if config.crop == "random" else 1.0
        self._least_detail = least_detail
        self._least_contrast = least_contrast
        self._share = share or range(config.batch_size)
        self._pictures = _open(config.dataset, config.data_dir, download)
        self.broken: dict[str, str] = {}
        """Name to reason of each broken file found so far, also in the batches made ahead."""
        self._broken_lock = threading.Lock()
        self._flat: set[str] = set()  # pictures with a square of a single colour

    @property
    def pictures_per_epoch(self) -> int | None:
        """Number of pictures; None for synthetic ones, which never end."""
        return None if self._pictures is None else len(self._pictures)

    def report_broken(self) -> None:
        """Logs the number of broken files found so far, and each of them with its reason."""
        if self.broken:
            logging.warning("%d broken pictures were skipped:", len(self.broken))
        for name, reason in dict(self.broken).items():
            logging.warning("  %s: %s", printable(name), reason)

    def batch(self, step: int) -> np.ndarray:
        """Returns the share of the batch of one training step: (len(share), S, S, 3) uint8.

        Raises UserError if all files are broken, or more than a tenth and than TOLERATED_BROKEN.
        """
        return np.stack([self.picture(slot) for slot in self._slots(step)])

    def batches(self, first_step: int) -> Generator[np.ndarray]:
        """Yields batch(first_step), batch(first_step + 1), ... without end, made ahead by threads.

        Raises UserError as batch does, and if there is no data service.
        """
        if self._config.data_service is None:
            yield from self._in_order(self.picture, usable_cores(), first_step)
            return
        check_installed(f"data_service: {self._config.data_service}: needs", "batch", "ray")
        from fast_style.pictures.training_pictures.data_service import readers

        same_elsewhere = functools.partial(
            ContentImages,
            self._config,
            largest_zoom=self._largest_zoom,
            least_detail=self._least_detail,
            least_contrast=self._least_contrast,
        )
        with readers(self._config.data_service, same_elsewhere) as (read, count):

            def picture(slot: int) -> np.ndarray:
                rgb, broken = read(slot)
                for name, reason in broken.items():
                    self._add_broken(name, reason)
                if broken:
                    self._stop_if_too_many_are_broken()
                return rgb

            # Each reader makes one picture while another one is sent.
            yield from self._in_order(picture, 2 * count, first_step)

    def _in_order(
        self, picture: Callable[[int], np.ndarray], threads: int, first_step: int
    ) -> Generator[np.ndarray]:
        # At least two batches, and enough pictures for every thread.
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
        """Returns a batch as a camera sees it that has moved a little, and the (2,) int32 shift.

        content: (N, H, W, 3) RGB 0..255, the share of a batch. The view is (N, H - 4, W - 4, 3)
        float32 0..255: the part of each picture from row shift[0] and column shift[1] on, both 0
        to 4 and the same for the whole batch, with normal noise of 2 grey levels. Both depend on
        (seed, step) only.
        """
        seed, first = self._config.seed, self._share.start
        shift = default_rng((seed, _VIEW, step)).integers(MOST_SHIFT + 1, size=2, dtype=np.int32)
        (down, across), (height, width) = shift, np.subtract(content.shape[1:3], MOST_SHIFT)
        part = content[:, down : down + height, across : across + width]
        noise = [
            default_rng((seed, _NOISE, step, first + i)).standard_normal(part.shape[1:], np.float32)
            for i in range(len(part))
        ]
        return np.clip(part + VIEW_NOISE * np.stack(noise), 0, 255).astype(np.float32), shift

    def _slots(self, step: int) -> range:
        first = step * self._config.batch_size
        return range(first + self._share.start, first + self._share.stop)

    def picture(self, slot: int) -> np.ndarray:
        """Returns the picture of one slot of the endless sequence: (S, S, 3) uint8.

        Raises UserError as batch does.
        """
        side = self._config.image_size
        mirror, zoom, across, down = default_rng((self._config.seed, _CROP, slot)).random(4)

        def cut(rgb: np.ndarray) -> np.ndarray:
            if self._config.crop == "centre":
                return square(rgb, side)
            largest = self._largest_zoom
            if self._least_detail:
                largest = max(1.0, min(largest, min(rgb.shape[:2]) / (self._least_detail * side)))
            return square(rgb, side, zoom=1 + (largest - 1) * zoom, across=across, down=down)

        if self._pictures is None:
            rgb = synthetic_picture(self._config.seed, slot, side)
        else:
            rgb = self._of_a_file(slot, cut)
        return rgb[:, ::-1] if self._config.flip and mirror < 0.5 else rgb

    def _of_a_file(self, slot: int, cut: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Returns the square of the slot's picture, or of the first usable one that replaces it.

        A square of a single colour is not usable: each instance normalization would divide by
        nearly zero, and no gradient would be finite.
        """
        assert self._pictures is not None
        count = len(self._pictures)
        epoch, place = divmod(slot, count)
        index = int(_epoch_order(self._config.seed, epoch, count)[place])
        at_least = math.ceil(self._config.image_size * self._largest_zoom)
        tried: set[int] = set()
        for attempt in range(MOST_ATTEMPTS):
            if index not in tried:
                tried.add(index)
                rgb = self._usable(index, at_least, cut)
                if rgb is not None:
                    return rgb
            if len(tried) == count:
                break
            random = default_rng((self._config.seed, _REPLACEMENT, slot, attempt))
            index = int(random.integers(count))
        dataset = self._config.dataset
        raise UserError(
            f"dataset: {dataset}: only squares of one colour, or nearly, were found, such as in "
            f"{min(self._flat, default=dataset)}; a network cannot be trained on them"
        )

    def _usable(
        self, index: int, at_least: int, cut: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray | None:
        assert self._pictures is not None
        name = self._pictures.name(index)
        if name not in self.broken:
            try:
                data = self._pictures.encoded(index)
                rgb = cut(flatten_on_white(decode_picture(data, name, at_least=at_least)))
                if rgb.std((0, 1)).max() >= self._least_contrast:
                    return rgb
                self._flat.add(name)
            except UserError as error:
                self._add_broken(name, str(error).removeprefix(printable(f"{name}: ")))
        self._stop_if_too_many_are_broken()
        return None

    def _add_broken(self, name: str, reason: str) -> None:
        with self._broken_lock:
            new = name not in self.broken
            self.broken[name] = reason
        if new:
            logging.warning("%s: %s; another picture replaces it", printable(name), reason)

    def _stop_if_too_many_are_broken(self) -> None:
        broken, count = dict(self.broken), self.pictures_per_epoch or 0
        if len(broken) == count:
            verdict = "all are broken"
        elif len(broken) > max(TOLERATED_BROKEN, count / 10):
            verdict = "more than a tenth are broken"
        else:
            return
        name, reason = next(iter(broken.items()))
        raise UserError(
            f"dataset: {self._config.dataset}: of {count} pictures {len(broken)} so far cannot be "
            f"read, {verdict}; the first is {name}: {reason}"
        )


@functools.lru_cache(maxsize=4)  # threads read the end of an epoch and the start of the next one
def _epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    return default_rng((seed, _ORDER, epoch)).permutation(count)


class _Files:
    """Picture files, read in any order."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def name(self, index: int) -> str:
        """Returns the name of one picture for messages."""
        return str(self._paths[index])

    def encoded(self, index: int) -> bytes:
        """Returns the bytes of one picture file. Raises UserError as read_picture_file does."""
        return read_picture_file(self._paths[index])


def _open(dataset: str, data_dir: str | None, download: bool) -> _Files | TfdsPictures | None:
    """Returns the pictures that `dataset` names, or None for synthetic ones."""
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
