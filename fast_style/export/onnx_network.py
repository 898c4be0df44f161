"""The transformer network as an ONNX model, made from a model's arrays without Keras."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fast_style.network.architecture import (
    BORDER,
    EPSILON,
    NOISE_SIDE,
    OUTPUT_GAIN,
    OUTPUT_REACH,
    Architecture,
    doubled_kernels,
    noise_tile,
)

OPSET = 18
IR_VERSION = 9  # of the time of that opset: runtimes refuse files that are newer than they are
ELEMENT_TYPES = {"float": TensorProto.FLOAT, "uint8": TensorProto.UINT8}
TO_THE_END = np.iinfo(np.int64).max


def onnx_network(
    arrays: Mapping[str, np.ndarray], architecture: Architecture, pixels: str, half: bool
) -> onnx.ModelProto:
    """'pictures' to 'stylized', both (N, H, W, 3) RGB 0..255 of any N, H and W.

    arrays: of one style, as model.Model has them, and of that architecture.
    pixels: 'float' or 'uint8', of what goes in and of what comes out.
    half: weights are stored in float16, which halves the file; the arithmetic stays float32.
    """
    graph = Graph(half)
    sides = ["height", "width"]
    lengths = {
        side: graph.add("Shape", "pictures", start=axis, end=axis + 1)
        for axis, side in enumerate(sides, start=1)
    }
    multiple = graph.integers([architecture.downsampling])
    x = "pictures"
    for axis, side in enumerate(sides, start=1):
        x = graph.add("Gather", x, _mirrored_positions(graph, lengths[side], multiple), axis=axis)
    x = graph.add("Cast", x, to=TensorProto.FLOAT)
    x = graph.add("Transpose", x, perm=[0, 3, 1, 2])
    x = graph.add("Mul", x, graph.number(1 / 127.5))
    x = graph.add("Sub", x, graph.number(1.0))
    x = architecture.transformed(x, OnnxLayers(arrays, graph))
    x = graph.add("Mul", x, graph.number(OUTPUT_GAIN))
    x = x if architecture.output == "linear" else graph.add("Tanh", x)
    x = graph.add("Mul", x, graph.number(OUTPUT_REACH[architecture.output]))
    x = graph.add("Add", x, graph.number(127.5))
    x = graph.add("Clip", x, graph.number(0.0), graph.number(255.0))
    x = graph.add("Transpose", x, perm=[0, 2, 3, 1])
    for axis, side in enumerate(sides, start=1):
        first = graph.integers([BORDER])
        last = graph.add("Add", lengths[side], first)
        x = graph.add("Slice", x, first, last, graph.integers([axis]))
    if pixels == "uint8":
        x = graph.add("Cast", graph.add("Round", x), to=TensorProto.UINT8)
    graph.add("Identity", x, output="stylized")
    element = ELEMENT_TYPES[pixels]
    shape: list[int | str | None] = ["batch", *sides, 3]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "transformer_network",
            [helper.make_tensor_value_info("pictures", element, shape)],
            [helper.make_tensor_value_info("stylized", element, shape)],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="fast-style",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


class Graph:
    """Nodes and constants as they come; a tensor is its name."""

    def __init__(self, half: bool):
        self.half = half
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(
        self, operation: str, *inputs: str, output: str | None = None, **attributes: Any
    ) -> str:
        name = output or f"{operation.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, inputs, [name], name=name, **attributes))
        return name

    def constant(self, array: np.ndarray) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def weights(self, array: np.ndarray) -> str:
        if not self.half:
            return self.constant(array.astype(np.float32))
        return self.add("Cast", self.constant(array.astype(np.float16)), to=TensorProto.FLOAT)

    def number(self, value: float) -> str:
        return self.constant(np.array(value, np.float32))

    def integers(self, values: list[int]) -> str:
        return self.constant(np.array(values, np.int64))


class OnnxLayers:
    """What Architecture.transformed asks for; network/layers.py has it for Keras, and explains."""

    def __init__(self, arrays: Mapping[str, np.ndarray], graph: Graph):
        self.arrays = arrays
        self.graph = graph

    def normalized_convolution(
        self, x: str, filters: int, kernel: int, stride: int = 1, *, name: str
    ) -> str:
        found = self._convolution(self._mirrored(x, kernel // 2), name, stride)
        return self.graph.add("Relu", self._normalized(found, name))

    def fixed_noise(self, x: str, *, name: str) -> str:
        noise = self.graph.weights(noise_tile())
        for axis in (0, 1):
            places = _positions_in_tile(
                self.graph, self.graph.add("Shape", x, start=axis + 2, end=axis + 3)
            )
            noise = self.graph.add("Gather", noise, places, axis=axis)
        mixed = self.graph.add("MatMul", noise, self.graph.weights(self._array(f"{name}/mix")))
        return self.graph.add("Add", x, self.graph.add("Transpose", mixed, perm=[2, 0, 1]))

    def residual_block(self, x: str, filters: int, *, name: str) -> str:
        y = self.normalized_convolution(x, filters, 3, name=f"{name}_conv1")
        y = self._convolution(self._mirrored(y, 1), f"{name}_conv2")
        return self.graph.add("Add", x, self._normalized(y, f"{name}_conv2"))

    def resize_convolution(self, x: str, filters: int, doubling: str, *, name: str) -> str:
        four = doubled_kernels(self._array(f"{name}/kernel"), doubling).transpose(3, 2, 0, 1)
        # A symmetric border of one pixel is that pixel once more.
        bordered = self._mirrored(x, 1, "edge")
        found = self.graph.add("Conv", bordered, self.graph.weights(four))
        if doubling == "nearest":
            moved = [
                self._part(found, number * filters, (number + 1) * filters, number // 2, number % 2)
                for number in range(4)
            ]
            found = self.graph.add("Concat", *moved, axis=1)
        doubled = self.graph.add("DepthToSpace", found, blocksize=2, mode="DCR")
        return self.graph.add("Relu", self._normalized(doubled, name))

    def rgb_convolution(self, x: str, kernel: int, *, name: str) -> str:
        return self._convolution(self._mirrored(x, kernel // 2), name, bias=True)

    def _convolution(self, x: str, name: str, stride: int = 1, bias: bool = False) -> str:
        kernel = self.graph.weights(self._array(f"{name}/kernel").transpose(3, 2, 0, 1))
        biases = [self.graph.weights(self._array(f"{name}/bias"))] if bias else []
        return self.graph.add("Conv", x, kernel, *biases, strides=[stride, stride])

    def _normalized(self, x: str, name: str) -> str:
        scale, shift = (self._array(f"{name}_norm/{variable}") for variable in ("scale", "shift"))
        weights = self.graph.weights(scale), self.graph.weights(shift)
        return self.graph.add("InstanceNormalization", x, *weights, epsilon=EPSILON)

    def _mirrored(self, x: str, pixels: int, mode: str = "reflect") -> str:
        border = self.graph.integers([0, 0, pixels, pixels] * 2)
        return self.graph.add("Pad", x, border, mode=mode)

    def _part(self, x: str, first: int, last: int, down: int, across: int) -> str:
        """Channels first..last, without the last row and column or without the first."""
        starts = self.graph.integers([first, down, across])
        ends = self.graph.integers(
            [last, *(-1 if not cut else TO_THE_END for cut in (down, across))]
        )
        return self.graph.add("Slice", x, starts, ends, self.graph.integers([1, 2, 3]))

    def _array(self, path: str) -> np.ndarray:
        return self.arrays[f"network/{path}"]


def _mirrored_positions(graph: Graph, length: str, multiple: str) -> str:
    """Where a picture with its border takes its rows or columns from."""
    one, border = graph.integers([1]), graph.integers([BORDER])
    last = graph.add("Sub", length, one)
    up_to_a_multiple = graph.add("Mod", graph.add("Neg", length), multiple)
    end = graph.add("Add", graph.add("Add", length, border), up_to_a_multiple)
    positions = _range(graph, -BORDER, end)
    period = graph.add("Max", graph.add("Add", last, last), one)
    phase = graph.add("Mod", positions, period)
    return graph.add("Min", phase, graph.add("Sub", period, phase), last)


def _positions_in_tile(graph: Graph, length: str) -> str:
    return graph.add("Mod", _range(graph, 0, length), graph.integers([NOISE_SIDE]))


def _range(graph: Graph, first: int, end: str) -> str:
    """The whole numbers from `first` up to a tensor of one number."""
    scalar = graph.constant(np.array([], np.int64))
    start, step = (graph.constant(np.array(value, np.int64)) for value in (first, 1))
    return graph.add("Range", start, graph.add("Reshape", end, scalar), step)
