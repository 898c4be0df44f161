"""What a format of an export is, and what the modules of the formats share."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fast_style.model_folder.model import Model

Run = Callable[[np.ndarray], np.ndarray]
"""Pictures to stylized ones, both (N, H, W, 3)."""


@dataclass(frozen=True)
class ExportOptions:
    """What is written of a model.

    pixels: 'uint8' or 'float', RGB 0..255 either way, of what goes in and of what comes out.
    half: weights in float16, which halves the file; the arithmetic stays float32.
    metadata: texts by keys, which are stored in the file.
    """

    pixels: str
    half: bool
    metadata: dict[str, str]


@dataclass(frozen=True)
class Format:
    """One format: its name, what it needs, and the functions that write and run it.

    write: takes a model, its Keras network, a path and the options. load: takes the path and
    ExportOptions.pixels, and returns the network that the format's own runtime has read.
    """

    title: str
    ending: str
    write: Callable[[Model, Any, Path, ExportOptions], None]
    load: Callable[[Path, str], Run]
    packages: tuple[str, ...] = ()
    extra: str = ""  # of this project, which installs the packages
    keeps_half: bool = True


@dataclass(frozen=True)
class Comparison:
    """Pictures of one size through a format's own runtime, compared with the network."""

    height: int
    width: int
    largest_difference: float  # in grey levels
    seconds: float  # for a batch of 2, the median of three
