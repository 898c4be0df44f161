"""Packs: files of labelled pictures, encoded as they are in picture files.

A folder of packs holds

- `classes.json`: [[set, class], ...], the names that a label is the index of;
- `*.npz` files: `bytes` (uint8), the picture files one after the other; `offsets` (int64, one more
  than there are pictures), where each begins; `labels` (int32); `validation` (bool), the pictures
  that are never trained on.

Nothing here imports torch, so that the processes that decode start quickly.
"""

import io
import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fast_style.errors import UserError
from fast_style.files import read_bytes
from fast_style.hardware import usable_cores
from fast_style.model_folder.npz import read_arrays

CLASSES = "classes.json"
_KINDS = {"bytes": "u", "offsets": "i", "labels": "i", "validation": "b"}
_DECODED_AT_ONCE = 256


@dataclass(frozen=True)
class Classes:
    """The classes of all sets. names: (set, class) by label; sets: in the order of the labels."""

    names: list[tuple[str, str]]

    @property
    def sets(self) -> list[str]:
        return list(dict.fromkeys(name for name, _ in self.names))

    def set_of_label(self) -> list[int]:
        """The index in `sets` for each label."""
        return [self.sets.index(name) for name, _ in self.names]


@dataclass(frozen=True)
class Decoded:
    """Some pictures. pixels: (P, 3) uint8, the rows of all of them one after the other; sizes:
    (N, 2) int64 heights and widths; labels: (N,) int32."""

    pixels: np.ndarray
    sizes: np.ndarray
    labels: np.ndarray
    validation: bool


def read_classes(folder: Path) -> Classes:
    """The classes of a folder of packs. Raises UserError."""
    file = folder / CLASSES
    if not folder.is_dir():
        raise UserError(f"--data {folder}: no such folder")
    if not file.is_file():
        raise UserError(
            f"--data {folder}: holds no {CLASSES}; "
            "python -m fast_style.train_loss_network.pack makes such a folder"
        )
    try:
        names = [(str(name), str(kind)) for name, kind in json.loads(read_bytes(file))]
    except (ValueError, TypeError) as error:
        raise UserError(f"{file}: is not a list of [set, class]: {error}") from None
    if len(set(names)) < len(names) or not names:
        raise UserError(f"{file}: names no class, or one of them twice")
    return Classes(names)


def decoded(folder: Path) -> Iterator[Decoded]:
    """All pictures of a folder of packs, decoded by all cores.

    Raises UserError naming the file for a pack or a picture that is damaged.
    """
    classes = len(read_classes(folder).names)
    packs = sorted(folder.glob("*.npz"))
    # Not threads: Pillow holds Python's lock for a third of the time. Not forks, as torch has
    # threads of its own.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(usable_cores(), mp_context=context) as pool:
        for pack in packs:
            yield from pool.map(_decode, _tasks(pack, classes))


@dataclass(frozen=True)
class _Task:
    pack: Path
    numbers: np.ndarray
    files: list[bytes]
    labels: np.ndarray
    validation: bool


def _tasks(pack: Path, classes: int) -> Iterator[_Task]:
    arrays = read_arrays(pack)
    for name, kind in _KINDS.items():
        if name not in arrays or arrays[name].dtype.kind != kind or arrays[name].ndim != 1:
            raise UserError(f"{pack}: holds no array {name!r} such as packs have")
    data, offsets = arrays["bytes"], arrays["offsets"]
    labels, validation = arrays["labels"], arrays["validation"]
    if not len(offsets) == len(labels) + 1 == len(validation) + 1:
        raise UserError(f"{pack}: offsets, labels and validation do not fit together")
    if (np.diff(offsets) <= 0).any() or offsets[0] != 0 or offsets[-1] != len(data):
        raise UserError(f"{pack}: offsets do not divide the {len(data):,} bytes")
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise UserError(f"{pack}: has label {labels.max()}; {CLASSES} names {classes} classes")
    for held_out in (False, True):
        of_kind = np.flatnonzero(validation == held_out)
        for start in range(0, len(of_kind), _DECODED_AT_ONCE):
            numbers = of_kind[start : start + _DECODED_AT_ONCE]
            files = [data[offsets[n] : offsets[n + 1]].tobytes() for n in numbers]
            yield _Task(pack, numbers, files, labels[numbers], held_out)


def _decode(task: _Task) -> Decoded:
    found = []
    for number, file in zip(task.numbers, task.files, strict=True):
        try:
            with Image.open(io.BytesIO(file)) as image:
                found.append(np.asarray(image.convert("RGB")))
        except Exception as error:  # on damaged bytes Pillow's readers raise nearly anything
            raise UserError(f"{task.pack}: picture {number} is damaged: {error}") from None
    pixels = np.concatenate([rgb.reshape(-1, 3) for rgb in found])
    sizes = np.array([rgb.shape[:2] for rgb in found], np.int64)
    return Decoded(pixels, sizes, task.labels, task.validation)
