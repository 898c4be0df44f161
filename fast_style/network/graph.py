"""The transformer network as a graph of ONNX operators (https://onnx.ai/onnx/operators/).

ONNX and OpenVINO each have an AddOperator. Only OpenVINO has FakeQuantize, which makes features and
kernels numbers of 8 bits.
"""

import functools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from fast_style.network.architecture import (
    BORDER,
    EPSILON,
    OUTPUT_GAIN,
    OUTPUT_REACH,
    Architecture,
    array_of,
    doubled_kernels,
)
from fast_style.network.feature_ranges import Range

FLOAT, UINT8 = 1, 2  # ONNX's numbers for types of elements
PIXELS = {"float": FLOAT, "uint8": UINT8}
SMALLEST_WEIGHT = 1e-6  # a range that is not 0, for a filter without weights
TO_THE_END = np.iinfo(np.int64).max

AddOperator = Callable[..., Any]
"""add("Conv", x, kernel, strides=[1, 1]) adds an ONNX operator to a graph.

It returns the operator's first output, of a type of the graph. Inputs are such outputs, or
constants for as_constant.
"""


def as_constant(value: Any) -> np.ndarray:
    """Returns floats as float32 and whole numbers as int64."""
    array = np.asarray(value)
    return np.asarray(array, np.float32 if array.dtype.kind == "f" else np.int64, order="C")


def stylized(
    add: AddOperator,
    pictures: Any,
    arrays: Mapping[str, np.ndarray],
    architecture: Architecture,
    pixels: str,
    norms: Mapping[str, Any] | None = None,
    ranges: Mapping[str, Range] | None = None,
) -> Any:
    """Adds the network; returns the stylized pictures, (N, H, W, 3) RGB 0..255 like `pictures`.

    arrays: those of model_folder.model.Model for one style and this architecture.
    pixels: 'float' or 'uint8', the type of input and output.
    norms: scales and shifts of the graph by path, such as 'conv1_norm/scale', each (C,), instead of
    those of the arrays.
    ranges: as feature_ranges returns them; the convolutions that they name multiply in 8 bits.
    Raises UserError if the arrays are those of another network.
    """
    sides, x = add("Gather", add("Shape", pictures), [1, 2], axis=0), pictures
    for axis in (1, 2):
        length = add("Gather", sides, axis - 1, axis=0)
        x = add("Gather", x, _mirrored_positions(add, length, architecture), axis=axis)
    x = add("Transpose", add("Cast", x, to=FLOAT), perm=[0, 3, 1, 2])
    x = add("Sub", add("Mul", x, 1 / 127.5), 1.0)
    x = architecture.transformed(x, GraphLayers(add, arrays, norms, ranges))
    x = grey_levels(add, x, architecture.output)
    x = add("Cast", add("Round", x), to=UINT8) if pixels == "uint8" else x
    x = add("Transpose", x, perm=[0, 2, 3, 1])
    return add("Slice", x, [BORDER] * 2, add("Add", sides, BORDER), [1, 2])


def grey_levels(add: AddOperator, x: Any, output: str) -> Any:
    """Adds the grey levels, 0..255, of the last features. output: as in Architecture."""
    x = add("Mul", x, OUTPUT_GAIN)
    x = x if output == "linear" else add("Tanh", x)
    return add("Clip", add("Add", add("Mul", x, OUTPUT_REACH[output]), 127.5), 0.0, 255.0)


def _mirrored_positions(add: AddOperator, length: Any, architecture: Architecture) -> Any:
    """Adds the row or column of the picture for each one of the picture with its border."""
    last = add("Sub", length, 1)
    beyond = add("Mod", add("Neg", length), architecture.downsampling)
    end = add("Add", add("Add", length, BORDER), beyond)
    period = add("Max", add("Add", last, last), 1)
    phase = add("Mod", add("Range", -BORDER, end, 1), period)
    return add("Min", add("Min", phase, add("Sub", period, phase)), last)


class GraphLayers:
    """The layers of Architecture.transformed; network/layers.py explains them."""

    def __init__(
        self,
        add: AddOperator,
        arrays: Mapping[str, np.ndarray],
        norms: Mapping[str, Any] | None = None,
        ranges: Mapping[str, Range] | None = None,
    ):
        """norms, ranges: as for stylized."""
        self.add = add
        self.arrays = arrays
        self.norms = norms or {}
        self.ranges = ranges or {}
        self.channels = 3  # of the last features

    def normalized_convolution(
        self, x: Any, filters: int, kernel: int, stride: int = 1, *, name: str
    ) -> Any:
        found = self._padded_convolution(x, filters, kernel, stride, name=name)
        return self.add("Relu", self._normalized(found, name))

    def residual_block(self, x: Any, filters: int, *, name: str) -> Any:
        y = self.normalized_convolution(x, filters, 3, name=f"{name}_conv1")
        y = self._padded_convolution(y, filters, 3, name=f"{name}_conv2")
        return self.add("Add", x, self._normalized(y, f"{name}_conv2"))

    def resize_convolution(self, x: Any, filters: int, doubling: str, *, name: str) -> Any:
        add, x, kernel = self._factors(x, name, 3, filters)
        doubled = resize_convolution(add, mirrored(add, x, 1, "edge"), kernel, doubling)
        return self.add("Relu", self._normalized(doubled, name))

    def rgb_resize_convolution(self, x: Any, doubling: str, *, name: str) -> Any:
        add, x, kernel = self._factors(x, name, 3, 3)
        bias = self._array(f"{name}/bias", (3,))
        return resize_convolution(add, mirrored(add, x, 1, "edge"), kernel, doubling, bias)

    def rgb_convolution(self, x: Any, kernel: int, *, name: str) -> Any:
        add, x, taps = self._factors(x, name, kernel, 3)
        bias = self._array(f"{name}/bias", (3,))
        return rgb_convolution(add, mirrored(add, x, kernel // 2), taps, bias)

    def _padded_convolution(
        self, x: Any, filters: int, kernel: int, stride: int = 1, *, name: str
    ) -> Any:
        add, x, taps = self._factors(x, name, kernel, filters)
        return convolution(add, mirrored(add, x, kernel // 2), taps, stride)

    def _normalized(self, x: Any, name: str) -> Any:
        scale, shift = (
            self.norms.get(path, self._array(path, (self.channels,)))
            for path in (f"{name}_norm/scale", f"{name}_norm/shift")
        )
        return self.add("InstanceNormalization", x, scale, shift, epsilon=EPSILON)

    def _factors(
        self, x: Any, name: str, side: int, filters: int
    ) -> tuple[AddOperator, Any, np.ndarray]:
        """Returns the features and the kernel that a convolution multiplies, and how to add it."""
        kernel = self._array(f"{name}/kernel", (side, side, self.channels, filters))
        self.channels = filters
        if name not in self.ranges:
            return self.add, x, kernel
        low, high = (bound[None, :, None, None] for bound in self.ranges[name])
        # Features become fractions of their channel's range, which the kernel makes up for: the
        # products of all channels can be added as whole numbers.
        lowest, levels = (-1.0, 255) if low.any() else (0.0, 256)
        x = self.add("FakeQuantize", x, low, high, lowest, 1.0, levels=levels)
        return partial(_add_in_8_bits, self.add), x, kernel * self.ranges[name].high[:, None]

    def _array(self, path: str, shape: tuple[int, ...]) -> np.ndarray:
        return array_of(self.arrays, path, shape)


def _add_in_8_bits(add: AddOperator, operator: str, *inputs: Any, **attributes: Any) -> Any:
    """Adds an operator; the kernel of a convolution is rounded to 8 bits for each filter."""
    if operator == "Conv":
        x, kernel = inputs
        largest = np.maximum(np.abs(kernel).max((1, 2, 3), keepdims=True), SMALLEST_WEIGHT)
        inputs = x, add("FakeQuantize", kernel, -largest, largest, -largest, largest, levels=255)
    return add(operator, *inputs, **attributes)


def convolution(add: AddOperator, x: Any, kernel: np.ndarray, stride: int = 1) -> Any:
    """Adds a convolution without padding."""
    return add("Conv", x, kernel.transpose(3, 2, 0, 1), strides=[stride, stride])


def resize_convolution(
    add: AddOperator, x: Any, kernel: np.ndarray, doubling: str, bias: np.ndarray | None = None
) -> Any:
    """Adds a ResizeConv2D of features that already have their border of 1."""
    found = convolution(add, x, doubled_kernels(kernel, doubling))
    if doubling == "nearest":
        filters = kernel.shape[3]
        moved = [
            _part(add, found, 2 * down + across, filters, [down, across], [1 - down, 1 - across])
            for down in (0, 1)
            for across in (0, 1)
        ]
        found = add("Concat", *moved, axis=1)
    if bias is not None:
        # Not afterwards: where there are 3 channels, OpenVINO needs several times as long.
        found = _biased(add, found, np.tile(bias, 4))
    return add("DepthToSpace", found, blocksize=2)


def rgb_convolution(add: AddOperator, x: Any, kernel: np.ndarray, bias: np.ndarray) -> Any:
    """Adds a RowwiseConv2D of features that already have their border."""
    taps, _, inputs, filters = kernel.shape
    flat = kernel.transpose(1, 2, 0, 3).reshape(1, taps, inputs, -1)
    found = convolution(add, x, flat)
    rows = (_part(add, found, row, filters, [row, 0], [taps - 1 - row, 0]) for row in range(taps))
    return _biased(add, functools.reduce(lambda x, y: add("Add", x, y), rows), bias)


def _biased(add: AddOperator, x: Any, bias: np.ndarray) -> Any:
    """Adds the bias of each channel."""
    return add("Add", x, bias[None, :, None, None])


def mirrored(add: AddOperator, x: Any, pixels: int, mode: str = "reflect") -> Any:
    """Adds a border. With the mode 'edge', a border of 1 is symmetric."""
    return add("Pad", x, [0, 0, pixels, pixels] * 2, mode=mode)


def _part(
    add: AddOperator, x: Any, number: int, channels: int, before: list[int], after: list[int]
) -> Any:
    """Adds a slice of part `number`, of `channels` channels, without the cut rows and columns."""
    starts = [number * channels, *before]
    ends = [(number + 1) * channels, *(-cut if cut else TO_THE_END for cut in after)]
    return add("Slice", x, starts, ends, [1, 2, 3])
