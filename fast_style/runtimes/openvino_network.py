"""The transformer network in OpenVINO, made from a model's arrays: neither Keras nor TensorFlow."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import openvino
from openvino import opset13 as ops

from fast_style.errors import UserError
from fast_style.network.architecture import (
    BORDER,
    EPSILON,
    NOISE_KINDS,
    NOISE_SIDE,
    OUTPUT_GAIN,
    OUTPUT_REACH,
    Architecture,
    doubled_kernels,
    noise_tile,
)

CHANNELS, DOWN, ACROSS = 1, 2, 3  # axes of (N, C, H, W), which is how OpenVINO has features
TO_THE_END = np.iinfo(np.int64).max
MANY = 8  # pictures of one shape in a row, after which more of them are expected
# Of what OpenVINO prepares for a shape that it did not know when it compiled: 0.5 MB for each
# picture of another shape, of which its own 5000 would keep gigabytes.
PREPARED_KEPT = 100


class OpenVinoNetwork:
    """A function of (H, W, 3) uint8 RGB pictures to the same, stylized, on the CPU."""

    def __init__(
        self, arrays: Mapping[str, np.ndarray], architecture: Architecture, precision: str
    ):
        """arrays: of one style, as model.Model has them, and of that architecture.

        precision: 'float32', 'bfloat16' or 'auto', which is bfloat16 where the CPU multiplies it.
        Raises UserError where the arrays are those of another network.
        """
        self.network = _network(arrays, architecture)
        self.borders = architecture.borders
        self.precision = precision
        self.compiled: openvino.CompiledModel | None = None
        self.compiled_for: tuple[int, ...] = ()  # a shape, or any
        self.latest: tuple[int, ...] = ()
        self.in_a_row = 0

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        height, width = rgb.shape[:2]
        with_border = np.pad(
            rgb, (self.borders(height), self.borders(width), (0, 0)), mode="reflect"
        )
        run = self._compiled_for((1, *with_border.shape))
        stylized = run([with_border[None]])[0][0]
        return stylized[BORDER : BORDER + height, BORDER : BORDER + width]

    def release(self) -> None:
        """Give back the memory of the features; the next picture takes 12% longer."""
        if self.compiled is not None:
            self.compiled.release_memory()

    def _compiled_for(self, shape: tuple[int, ...]) -> openvino.CompiledModel:
        """For the first picture's shape, and for one of which many come in a row: 7 to 9% faster.

        Compiling takes as long as a small picture's pass, so among pictures of changing shapes
        there is one network for all of them.
        """
        self.in_a_row = self.in_a_row + 1 if shape == self.latest else 1
        self.latest = shape
        if self.compiled is None or self.compiled_for not in (shape, ()):
            return self._compile(() if self.compiled else shape)
        if self.in_a_row >= MANY and not self.compiled_for:
            return self._compile(shape)
        return self.compiled

    def _compile(self, shape: tuple[int, ...]) -> openvino.CompiledModel:
        network = self.network
        if shape:
            network = network.clone()
            network.reshape(list(shape))
        self.compiled = None  # one at a time: each keeps the memory of its features
        self.compiled = compile_for_cpu(network, self.precision)
        self.compiled_for = shape
        return self.compiled


@functools.cache
def core() -> openvino.Core:
    """OpenVINO itself."""
    # One for the process: destroyed in another thread than it was made in, OpenVINO's CPU plugin
    # leaves this one's signals on a stack that is gone, and Ctrl-C becomes a segmentation fault.
    return openvino.Core()


def compile_for_cpu(model: openvino.Model, precision: str) -> openvino.CompiledModel:
    """The model for the CPU; precision: as OpenVinoNetwork's."""
    config: dict[str, Any] = {"CPU_RUNTIME_CACHE_CAPACITY": PREPARED_KEPT}
    if precision != "auto":
        config["INFERENCE_PRECISION_HINT"] = {"float32": "f32", "bfloat16": "bf16"}[precision]
    return core().compile_model(model, "CPU", config)


def exportable_network(
    arrays: Mapping[str, np.ndarray], architecture: Architecture, pixels: str
) -> openvino.Model:
    """'pictures' to 'stylized', both (N, H, W, 3) RGB 0..255 of any N, H and W, for other programs.

    arrays and architecture: as OpenVinoNetwork's. pixels: 'float' or 'uint8', of what goes in and
    of what comes out.
    """
    element = np.uint8 if pixels == "uint8" else np.float32
    pictures = ops.parameter([-1, -1, -1, 3], element, name="pictures")
    lengths = ops.shape_of(pictures)
    x = pictures
    for axis in (1, 2):
        length = ops.gather(lengths, integers(axis), integers(0))
        x = ops.gather(x, _mirrored_positions(length, architecture), integers(axis))
    x = _stylized(ops.convert(x, "f32"), arrays, architecture)
    sides = ops.gather(lengths, integers([1, 2]), integers(0))
    first, axes = integers([BORDER, BORDER]), integers([1, 2])
    x = ops.slice(x, first, sides + first, integers([1, 1]), axes)
    x = _rounded(x) if pixels == "uint8" else x
    x.output(0).set_names({"stylized"})
    pictures.output(0).set_names({"pictures"})
    return openvino.Model([ops.result(x)], [pictures], "transformer_network")


def _network(arrays: Mapping[str, np.ndarray], architecture: Architecture) -> openvino.Model:
    """Of pictures that have their border, in uint8."""
    pictures = ops.parameter([-1, -1, -1, 3], np.uint8, name="pictures")
    stylized = _rounded(_stylized(ops.convert(pictures, "f32"), arrays, architecture))
    return openvino.Model([ops.result(stylized)], [pictures], "transformer_network")


def _stylized(pictures: Any, arrays: Mapping[str, np.ndarray], architecture: Architecture) -> Any:
    x = ops.transpose(pictures, [0, 3, 1, 2]) * constant(1 / 127.5) - constant(1)
    x = architecture.transformed(x, Layers(arrays)) * constant(OUTPUT_GAIN)
    x = x if architecture.output == "linear" else ops.tanh(x)
    x = x * constant(OUTPUT_REACH[architecture.output])
    return ops.transpose(ops.clamp(x + constant(127.5), 0.0, 255.0), [0, 2, 3, 1])


def _rounded(x: Any) -> Any:
    return ops.convert(ops.round(x, "half_to_even"), "u8")


def _mirrored_positions(length: Any, architecture: Architecture) -> Any:
    """Where a picture with its border takes its rows or columns from."""
    last = length - integers(1)
    multiple = integers(architecture.downsampling)
    end = length + integers(BORDER) + ops.floor_mod(integers(0) - length, multiple)
    positions = ops.range(integers(-BORDER), end, integers(1), "i64")
    period = ops.maximum(last + last, integers(1))
    phase = ops.floor_mod(positions, period)
    return ops.minimum(ops.minimum(phase, period - phase), last)


class Layers:
    """What Architecture.transformed asks for; network/layers.py has it for Keras, and explains.

    The numbers of filters and the sizes of kernels only say which shapes the arrays must have.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]):
        self.arrays = arrays

    def normalized_convolution(
        self, x: Any, filters: int, kernel: int, stride: int = 1, *, name: str
    ) -> Any:
        found = self._padded_convolution(x, filters, kernel, stride, name=name)
        return ops.relu(self._normalized(found, filters, name))

    def fixed_noise(self, x: Any, *, name: str) -> Any:
        mix = self._array(f"{name}/mix", (NOISE_KINDS, channels(x)))
        lengths, noise = ops.shape_of(x), constant(noise_tile())
        for axis, side in enumerate((DOWN, ACROSS)):
            length = ops.gather(lengths, integers(side), integers(0))
            places = ops.range(integers(0), length, integers(1), "i64")
            places = ops.floor_mod(places, integers(NOISE_SIDE))
            noise = ops.gather(noise, places, integers(axis))
        mixed = ops.matmul(noise, constant(mix), False, False)
        return x + ops.transpose(mixed, [2, 0, 1])

    def residual_block(self, x: Any, filters: int, *, name: str) -> Any:
        y = self.normalized_convolution(x, filters, 3, name=f"{name}_conv1")
        y = self._padded_convolution(y, filters, 3, name=f"{name}_conv2")
        return x + self._normalized(y, filters, f"{name}_conv2")

    def resize_convolution(self, x: Any, filters: int, doubling: str, *, name: str) -> Any:
        kernel = self._array(f"{name}/kernel", (3, 3, channels(x), filters))
        doubled = resize_convolution(mirrored(x, 1, "symmetric"), kernel, doubling)
        return ops.relu(self._normalized(doubled, filters, name))

    def rgb_convolution(self, x: Any, kernel: int, *, name: str) -> Any:
        taps = self._array(f"{name}/kernel", (kernel, kernel, channels(x), 3))
        bias = self._array(f"{name}/bias", (3,))
        return rgb_convolution(mirrored(x, kernel // 2), taps, bias)

    def _padded_convolution(
        self, x: Any, filters: int, kernel: int, stride: int = 1, *, name: str
    ) -> Any:
        taps = self._array(f"{name}/kernel", (kernel, kernel, channels(x), filters))
        return convolution(mirrored(x, kernel // 2), taps, stride)

    def _normalized(self, x: Any, filters: int, name: str) -> Any:
        scale, shift = (
            constant(self._array(f"{name}_norm/{variable}", (filters,))[None, :, None, None])
            for variable in ("scale", "shift")
        )
        return ops.mvn(x, [DOWN, ACROSS], True, EPSILON, "inside_sqrt") * scale + shift

    def _array(self, path: str, shape: tuple[int, ...]) -> np.ndarray:
        array = self.arrays.get(f"network/{path}")
        if array is None or array.shape != shape:
            found = "is missing" if array is None else f"has shape {array.shape}"
            raise UserError(
                f"{path} of shape {shape} is wanted, and {found}; the file is another network's"
            )
        return array


def convolution(x: Any, kernel: np.ndarray, stride: int = 1) -> Any:
    """Without a border."""
    filters = constant(kernel.transpose(3, 2, 0, 1))
    return ops.convolution(x, filters, [stride, stride], [0, 0], [0, 0], [1, 1])


def resize_convolution(x: Any, kernel: np.ndarray, doubling: str) -> Any:
    """ResizeConv2D of features that have their border of 1 already."""
    found = convolution(x, doubled_kernels(kernel, doubling))
    if doubling == "nearest":
        parts = ops.split(found, CHANNELS, 4)
        moved = [
            _cut(parts.output(2 * down + across), [down, across], [1 - down, 1 - across])
            for down in (0, 1)
            for across in (0, 1)
        ]
        found = ops.concat(moved, CHANNELS)
    return ops.depth_to_space(found, "blocks_first", 2)


def rgb_convolution(x: Any, kernel: np.ndarray, bias: np.ndarray) -> Any:
    """RowwiseConv2D of features that have their border already."""
    taps, _, inputs, _ = kernel.shape
    flat = kernel.transpose(1, 2, 0, 3).reshape(1, taps, inputs, -1)
    found = ops.split(convolution(x, flat), CHANNELS, taps)
    rgb = constant(bias[None, :, None, None])
    for row in range(taps):
        rgb = rgb + _cut(found.output(row), [row, 0], [taps - 1 - row, 0])
    return rgb


def mirrored(x: Any, pixels: int, mode: str = "reflect", rows: bool = True) -> Any:
    """With a border; rows: above and below too."""
    border = [0, 0, pixels if rows else 0, pixels]
    return ops.pad(x, border, border, mode)


def channels(x: Any) -> int:
    return x.get_output_partial_shape(0)[CHANNELS].get_length()


def constant(values: Any) -> Any:
    return ops.constant(np.ascontiguousarray(values, np.float32))


def _cut(x: Any, before: list[int], after: list[int]) -> Any:
    """Without that many rows and columns."""
    ends = [-end if end else TO_THE_END for end in after]
    return ops.slice(*(x, *map(integers, (before, ends, [1, 1], [DOWN, ACROSS]))))


def integers(values: int | list[int]) -> Any:
    return ops.constant(np.array(values, np.int64))
