"""Stylizer: loads a model folder once, and stylizes pictures of any size."""

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from absl import logging

from fast_style.any_style.chosen_style import in_style
from fast_style.errors import UserError, check_installed, naming
from fast_style.hardware import (
    DTYPE_POLICIES,
    PRECISIONS,
    fastest_precision,
    free_memory,
    nvidia_gpu,
    start_tensorflow_to_stylize,
)
from fast_style.model_folder.layout import find_model_folder
from fast_style.model_folder.model import Model, build_network, read_model
from fast_style.pictures.forms import in_the_same_form, mask_in_any_form
from fast_style.pictures.images import Picture
from fast_style.pictures.large import collected
from fast_style.pictures.pixels import to_uint8
from fast_style.runtimes.streaming import stylize_rows
from fast_style.stylize.stylization import Stylization

# Bytes that a pass needs for each pixel and each of the architecture's channels_per_pixel: over a
# whole picture with its border, and over the rows that are streamed at once. Measured at 1024 to
# 2048 pixels.
WHOLE_BYTES = {"openvino": 17.2, "tensorflow": 28.2}
STREAMED_BYTES = 56
# More rows at once are not faster, as what the layers pass to each other leaves the CPU's caches.
MOST_ROWS, FEWEST_ROWS = 64, 8
# Passes at a time in the whole process. On a CPU, a pass uses all cores and the free memory. On a
# GPU, one pass runs while the pixels of another are copied.
PASSES_ON_CPU, PASSES_ON_GPU = threading.Semaphore(1), threading.Semaphore(2)


class TooLarge(UserError):
    """A picture does not fit into memory, even a few rows at a time."""


@dataclass(frozen=True)
class Network:
    """A transformer network in a runtime."""

    whole: Callable[[np.ndarray], np.ndarray]  # stylizes (H, W, 3) uint8
    in_rows: Callable[[np.ndarray, int], Iterator[np.ndarray]]  # the same, given rows at a time
    release: Callable[[], None] = lambda: None  # frees memory that is kept for the next picture


class Stylizer:
    """The transformer network of a model folder, on the fastest runtime that is installed.

    Several threads can call it; their passes wait for each other.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Model,
        runtime: str = "auto",
        precision: str = "auto",
        style: str | None = None,
        max_memory: int | None = None,
    ):
        """model: a folder, the name of a style that ships, such as 'candy', or a Model in memory.

        runtime: 'tensorflow', 'openvino' or 'auto': OpenVINO if it is installed and TensorFlow has
        no GPU, or for int8.
        precision: 'float32', 'bfloat16', 'auto': bfloat16 where that is faster, or 'int8': OpenVINO
        multiplies in 8 bits, except for pictures in rows. Photos change by 1 to 2 grey levels on
        average. Flat graphics change more, see docs/stylize.md.
        style: in a folder with several styles, a name or a mix such as 'candy=0.6,wave=0.4'; for a
        model that takes any style, a style image or a mix, such as 'a.jpg=0.7,b.jpg=0.3'.
        max_memory: bytes. A picture that needs more goes through in rows (runtimes.streaming), with
        the same result in about twice the time. None: the memory that is free at each picture.

        Raises UserError if the folder holds no model, the runtime is not installed, and for other
        values.
        """
        for name, given, choices in (
            ("runtime", runtime, ("auto", "tensorflow", "openvino")),
            ("precision", precision, PRECISIONS),
        ):
            if given not in choices:
                raise UserError(f"{name}: {given!r} is none of {', '.join(choices)}")
        self.runtime = chosen_runtime(runtime, precision)
        on_gpu = self.runtime == "tensorflow" and nvidia_gpu()
        self.passes = PASSES_ON_GPU if on_gpu else PASSES_ON_CPU
        load = _load_in_openvino if self.runtime == "openvino" else _load_in_tensorflow
        if not isinstance(model, Model):
            model = read_model(find_model_folder(os.path.expanduser(model)))
        model = in_style(model, style, self.runtime)
        self.architecture = model.architecture
        self.network = load(model, precision)
        self.max_memory = max_memory
        self.precision = precision
        self.reported_sizes: set[tuple[int, int]] = set()  # warned about, once for a whole clip

    def __call__(
        self,
        picture: Any,
        *,
        strength: float = 1.0,
        preserve_color: bool = False,
        max_size: int | None = None,
        scale: float = 1.0,
        mask: Any = None,
    ) -> Any:
        """Returns the stylized picture, in the same form as the picture.

        picture: an array of RGB, grey or RGBA, (H, W, 3), (H, W) or (H, W, 4), or of several
        pictures, (N, H, W, 3), in uint8 or in floats of 0 to 255; a Pillow image; or the path of a
        file, which gives a Pillow image. Grey becomes RGB; alpha is kept.
        mask: a path, a Pillow image or an (H, W) array: bool, uint8 up to 255, or floats up to 1.
        For the other parameters see Stylization.
        Raises UserError for other values, and TooLarge if not even a few rows fit into memory.
        """
        mask = None if mask is None else mask_in_any_form(mask)
        how = Stylization(strength, preserve_color, max_size, scale, mask)
        return in_the_same_form(picture, partial(self.stylize, how=how))

    def stylize(self, picture: Picture, how: Stylization = Stylization()) -> Picture:
        """Returns the stylized picture, with the alpha and ICC profile of the original.

        Raises UserError as Stylization.of does, and TooLarge as a call does.
        """
        return how.of(picture, self._pass)

    def release(self) -> None:
        """Frees the memory that is kept for the next picture of the same size."""
        with self.passes:
            self.network.release()

    def _pass(self, rgb: np.ndarray) -> np.ndarray:
        height, width = rgb.shape[:2]
        channels = self.architecture.channels_per_pixel
        pixels = self.architecture.pixels_with_border(height, width)
        needed = round(pixels * channels * WHOLE_BYTES[self.runtime])
        a_row = round((width + sum(self.architecture.borders(width))) * channels * STREAMED_BYTES)
        with self.passes:
            memory = self.max_memory or free_memory()
            if needed <= memory:
                return self.network.whole(rgb)
            if FEWEST_ROWS * a_row > memory:
                raise TooLarge(
                    f"{width}x{height}: needs {FEWEST_ROWS * a_row / 1e6:,.0f} MB even in rows, "
                    f"and {memory / 1e6:,.0f} MB can be used; --max-size shrinks it"
                )
            first = (height, width) not in self.reported_sizes
            self.reported_sizes.add((height, width))
            in_8_bits = self.precision == "int8"
            if first and (self.max_memory is None or in_8_bits):
                same = "with the same result in about twice the time"
                logging.warning(
                    "%d x %d: needs %.1f GB and %.1f GB can be used; it goes through the network "
                    "in rows, %s",
                    *(width, height, needed / 1e9, memory / 1e9),
                    "in floats, as rows have no int8" if in_8_bits else same,
                )
            return collected(self.network.in_rows(rgb, min(memory // a_row, MOST_ROWS)), rgb.shape)


def chosen_runtime(runtime: str, precision: str = "auto") -> str:
    """Returns 'tensorflow' or 'openvino', for 'auto' the fastest one that is installed.

    Only OpenVINO has the precision 'int8'. Raises UserError if OpenVINO is needed and not
    installed, or needed and not asked for.
    """
    if precision == "int8":
        if runtime == "tensorflow":
            raise UserError("--precision int8: needs --runtime openvino")
        check_installed("--precision int8 needs", "cpu", "openvino")
        return "openvino"
    if runtime == "tensorflow":
        return runtime
    if find_spec("openvino"):
        return "tensorflow" if runtime == "auto" and nvidia_gpu() else "openvino"
    if runtime == "openvino":
        raise UserError("--runtime openvino: is not installed; pip install 'fast-style[cpu]'")
    return "tensorflow"


def _load_in_openvino(model: Model, precision: str) -> Network:
    from fast_style.runtimes.openvino_network import OpenVinoNetwork
    from fast_style.runtimes.openvino_rows import OpenVinoRows

    with naming(model.source):
        whole = OpenVinoNetwork(model.arrays, model.architecture, precision)
    in_rows = partial(stylize_rows, model.arrays, model.architecture, OpenVinoRows(precision))
    return Network(whole, in_rows, whole.release)


def _load_in_tensorflow(model: Model, precision: str) -> Network:
    start_tensorflow_to_stylize()
    import tensorflow as tf

    from fast_style.runtimes.tensorflow_rows import TensorFlowRows

    policy = DTYPE_POLICIES[fastest_precision() if precision == "auto" else precision]
    network = build_network(model, policy)
    picture = tf.TensorSpec((None, None, None, 3), tf.float32)
    # Not the tf.function itself: after a call with wrong arguments it keeps its lock (TensorFlow
    # 2.21), and every call from another thread waits for ever.
    run = tf.function(network, input_signature=[picture]).get_concrete_function()

    def whole(rgb: np.ndarray) -> np.ndarray:
        return to_uint8(run(tf.constant(rgb[None], tf.float32)).numpy()[0])

    in_rows = partial(stylize_rows, model.arrays, model.architecture, TensorFlowRows(policy))
    return Network(whole, in_rows)
