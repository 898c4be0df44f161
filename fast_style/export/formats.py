"""What the formats of an export have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fast_style.model_folder.model import Model

Run = Callable[[np.ndarray], np.ndarray]  # pictures to stylized pictures, both (N, H, W, 3)


@dataclass(frozen=True)
class ExportOptions:
    """How a model is exported.

    pixels: 'uint8' or 'float', of both inputs and outputs; RGB 0..255 in both cases.
    half: store the weights in float16. The arithmetic stays float32.
    metadata: texts by keys, which are stored in the file.
    """

    pixels: str
    half: bool
    metadata: dict[str, str]


@dataclass(frozen=True)
class Format:
    """A format of exports.

    write: writes a model and its Keras network to a path. load: reads the file in the format's own
    runtime; takes the path and ExportOptions.pixels. extra: of fast-style, installs `packages`.
    """

    title: str
    ending: str
    write: Callable[[Model, Any, Path, ExportOptions], None]
    load: Callable[[Path, str], Run]
    packages: tuple[str, ...] = ()
    extra: str = ""
    keeps_half: bool = True


@dataclass(frozen=True)
class Comparison:
    """How far an export is from the network on pictures of one size."""

    height: int
    width: int
    largest_difference: float  # in grey levels
