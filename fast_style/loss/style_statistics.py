"""Reads, checks and writes the statistics of a style image, style.npz; losses.py computes them.

A conf can name such a file instead of the image: `style_image: pretrained/wave/style.npz`. The
picture cannot be recovered from it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fast_style.conf.config import Config
from fast_style.errors import UserError
from fast_style.loss.vgg_weights import fingerprint
from fast_style.model_folder.npz import read_arrays, write_arrays
from fast_style.pictures.style_image import (
    painting_style_image,
    paintings,
    prepare_style_image,
    style_image_file,
)

SUFFIX = ".npz"
DIRECTIONS = "patch_directions"
# These must be equal in the training that reads the file.
SAME = ("loss_model", "loss_network", "pooling", "style_statistics", DIRECTIONS)
_HEADER = "made_with"
_SCALE = "_scale"


@dataclass(frozen=True)
class StyleStatistics:
    """The targets of one style, by the names of the objective's terms.

    arrays: for 'relu1_2', 'relu3_3_half', 'patch', 'palette' and so on a tuple of float32 arrays,
    each with a first axis of length 1. made_with: the keys of SAME, and other facts about the style
    image, such as its SHA-256.
    """

    arrays: dict[str, tuple[np.ndarray, ...]]
    made_with: dict[str, Any]
    source: str = ""  # the file that they were read from

    def check(self, made_with: dict[str, Any], names: list[str]) -> None:
        """Raises UserError unless these were made with the same settings and have these names."""
        for key in SAME:
            found = self.made_with.get(key)
            if found != made_with[key]:
                raise UserError(
                    f"style_image: {self.source}: was made with {key} {found!r}, and "
                    f"{made_with[key]!r} is needed; name the style image itself"
                )
        missing = [name for name in names if name not in self.arrays]
        if missing:
            raise UserError(
                f"style_image: {self.source}: has no statistics of {', '.join(missing)}; it has "
                f"{', '.join(self.arrays)}. Name the style image itself, or other style_layers"
            )


def made_with(config: Config, first_kernel: np.ndarray) -> dict[str, Any]:
    """Returns the keys of SAME. first_kernel: of the loss network's first convolution."""
    return {
        "loss_model": config.loss_model,
        "loss_network": fingerprint(first_kernel),
        "pooling": config.pooling,
        "style_statistics": config.style_statistics,
        DIRECTIONS: "waves",
    }


Style = list[np.ndarray] | StyleStatistics
"""The paintings of one style, each (H, W, 3) uint8 RGB, or their statistics."""


def read_style(config: Config, picture: tuple[int, int] | None = None) -> Style:
    """Reads the paintings or statistics of a conf with one style.

    picture: (height, width) of the one picture that is painted; None for a training.
    Raises UserError if one of them cannot be read.
    """
    each = paintings(config)
    if len(each) == 1 and str(each[0].style_image).endswith(SUFFIX):
        return read_style_statistics(style_image_file(each[0]))
    if picture is None:
        return [prepare_style_image(painting) for painting in each]
    return [painting_style_image(painting, *picture) for painting in each]


def statistics_file(style: str | None = None) -> str:
    """Returns the name of a file of statistics. style: its name, in a folder with several."""
    return f"style{SUFFIX}" if style is None else f"style-{style}{SUFFIX}"


def image_sha256(style: Style, of_file: str) -> str | None:
    """Returns the hash of a style's image. of_file: the hash of the file that the conf names."""
    if isinstance(style, StyleStatistics):
        return style.made_with.get("style_image_sha256")
    return of_file


def write_style_statistics(path: Path, statistics: StyleStatistics) -> None:
    """Writes statistics in float16, relative to each array's largest value.

    Of symmetric matrices only the upper triangle is written.
    """
    packed: dict[str, np.ndarray] = {_HEADER: np.array(json.dumps(statistics.made_with))}
    for name, several in statistics.arrays.items():
        for number, array in enumerate(several):
            scale = float(np.abs(array).max()) or 1.0
            if array.ndim == 3 and array.shape[1] == array.shape[2]:
                array = array[0][np.triu_indices(array.shape[1])]
            packed[f"{name}/{number}"] = (array / scale).astype(np.float16)
            packed[f"{name}/{number}{_SCALE}"] = np.array(scale, np.float32)
    write_arrays(path, packed)


def read_style_statistics(path: Path) -> StyleStatistics:
    """Reads a file of write_style_statistics. Raises UserError if it is missing or damaged."""
    packed = read_arrays(path)
    try:
        made_with = json.loads(str(packed.pop(_HEADER)))
        arrays: dict[str, list[np.ndarray]] = {}
        for key in [key for key in packed if not key.endswith(_SCALE)]:
            name, number = key.rsplit("/", 1)
            several = arrays.setdefault(name, [])
            if int(number) != len(several) or not isinstance(made_with, dict):
                raise ValueError(f"{key} is in the wrong place")
            values = packed[key].astype(np.float32) * packed[key + _SCALE].astype(np.float32)
            if not np.isfinite(values).all():
                raise ValueError(f"{key} is not finite")
            several.append(_symmetric(values) if values.ndim == 1 else values)
    except (KeyError, ValueError, RecursionError) as error:
        raise UserError(
            f"style_image: {path}: does not contain style statistics, as the style.npz of a model "
            f"folder does ({error})"
        ) from None
    of_terms = {name: tuple(several) for name, several in arrays.items()}
    return StyleStatistics(of_terms, made_with, str(path))


def _symmetric(triangle: np.ndarray) -> np.ndarray:
    """Returns (1, C, C) from the C * (C + 1) / 2 values of its upper triangle."""
    side = int((np.sqrt(8 * len(triangle) + 1) - 1) / 2)
    matrix = np.zeros((side, side), np.float32)
    matrix[np.triu_indices(side)] = triangle
    return (matrix + np.triu(matrix, 1).T)[None]
