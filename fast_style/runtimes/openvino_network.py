"""The transformer network in OpenVINO, made from a model's arrays without TensorFlow."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import openvino
from openvino import opset1
from openvino import opset13 as ops

from fast_style import hardware
from fast_style.network.architecture import Architecture
from fast_style.network.feature_ranges import feature_ranges
from fast_style.network.graph import FLOAT, PIXELS, UINT8, as_constant, stylized

ELEMENTS = {FLOAT: openvino.Type.f32, UINT8: openvino.Type.u8}
MANY = 8  # pictures of one shape in a row, after which a network is compiled for it
# Shapes for which OpenVINO keeps what it prepared, 0.5 MB each. Its default of 5000 is gigabytes.
PREPARED_KEPT = 100


class OpenVinoNetwork:
    """Stylizes (H, W, 3) uint8 RGB pictures on the CPU."""

    def __init__(
        self, arrays: Mapping[str, np.ndarray], architecture: Architecture, precision: str
    ):
        """arrays: of one style and of that architecture, as in model.Model.

        precision: 'float32', 'bfloat16', 'auto', which is the type that is faster on this CPU, or
        'int8': convolutions but the first multiply in 8 bits, and the rest is as in 'auto'.
        Raises UserError if the arrays are of another network.
        """
        eight_bits = precision == "int8"
        self.network = openvino_network(arrays, architecture, "uint8", eight_bits)
        self.precision = precision
        self.compiled: openvino.CompiledModel | None = None
        self.compiled_for: tuple[int, ...] = ()  # empty: any shape
        self.latest: tuple[int, ...] = ()
        self.in_a_row = 0

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        return self._compiled_for((1, *rgb.shape))([rgb[None]])[0][0]

    def release(self) -> None:
        """Frees the memory of the features. The next picture takes 12% longer."""
        if self.compiled is not None:
            self.compiled.release_memory()

    def _compiled_for(self, shape: tuple[int, ...]) -> openvino.CompiledModel:
        """Returns a network for this shape only, which is 7 to 9% faster, or for any shape.

        Compiling takes as long as stylizing a small picture. So only the shape of the first picture
        and one of MANY pictures in a row have their own network.
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
        self.compiled = None  # frees the memory of its features
        self.compiled = compile_for_cpu(network, self.precision)
        self.compiled_for = shape
        return self.compiled


@functools.cache
def core() -> openvino.Core:
    """Returns OpenVINO's Core, one for the process."""
    # When a Core is destroyed in another thread than it was made in, its CPU plugin leaves signal
    # handlers on a stack that is gone, and Ctrl-C becomes a segmentation fault.
    return openvino.Core()


def float_type(precision: str) -> openvino.Type:
    """Returns the type in which floats are multiplied. precision: as in OpenVinoNetwork."""
    if precision == "float32" or (precision != "bfloat16" and hardware.hides_amx()):
        return openvino.Type.f32
    if precision == "bfloat16":
        multiplies_bfloat16 = "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return openvino.Type.bf16 if multiplies_bfloat16 else openvino.Type.f32
    return core().get_property("CPU", "INFERENCE_PRECISION_HINT")


def compile_for_cpu(model: openvino.Model, precision: str) -> openvino.CompiledModel:
    """Compiles a model for the CPU. precision: as in OpenVinoNetwork."""
    config: dict[str, Any] = {
        "CPU_RUNTIME_CACHE_CAPACITY": PREPARED_KEPT,
        "INFERENCE_PRECISION_HINT": float_type(precision),
    }
    return core().compile_model(model, "CPU", config)


def openvino_network(
    arrays: Mapping[str, np.ndarray],
    architecture: Architecture,
    pixels: str,
    eight_bits: bool = False,
) -> openvino.Model:
    """Returns a model of graph.stylized, with the input 'pictures' and the output 'stylized'.

    eight_bits: whether all convolutions but the first multiply numbers of 8 bits.
    """
    pictures = ops.parameter([-1, -1, -1, 3], ELEMENTS[PIXELS[pixels]], name="pictures")
    ranges = feature_ranges(arrays, architecture) if eight_bits else {}
    last = stylized(add_operator, pictures, arrays, architecture, pixels, ranges=ranges)
    last.output(0).set_names({"stylized"})
    pictures.output(0).set_names({"pictures"})
    return openvino.Model([ops.result(last)], [pictures], "transformer_network")


def add_operator(operator: str, *inputs: Any, **attributes: Any) -> openvino.Node:
    """Adds an operator of ONNX to a graph of OpenVINO: a graph.AddOperator."""
    nodes = (
        each if isinstance(each, openvino.Node) else ops.constant(as_constant(each))
        for each in inputs
    )
    return OPERATORS[operator](*nodes, **attributes)


# Constants are nodes, whose array is `data`.
OPERATORS: dict[str, Callable[..., openvino.Node]] = {
    "Add": ops.add,
    "Sub": ops.subtract,
    "Mul": ops.multiply,
    "Div": ops.divide,
    "Neg": ops.negative,
    "Mod": ops.floor_mod,
    "Min": ops.minimum,
    "Max": ops.maximum,
    "Relu": ops.relu,
    "Tanh": ops.tanh,
    "Clip": lambda x, low, high: ops.clamp(x, low.data.item(), high.data.item()),
    "Round": lambda x: ops.round(x, "half_to_even"),
    "Cast": lambda x, to: ops.convert(x, ELEMENTS[to]),
    "Shape": ops.shape_of,
    "Range": lambda first, end, step: ops.range(first, end, step, "i64"),
    "Gather": lambda x, places, axis: ops.gather(x, places, np.int64(axis)),
    "Slice": lambda x, starts, ends, axes: ops.slice(
        x, starts, ends, np.ones(len(axes.data), np.int64), axes
    ),
    "Pad": lambda x, sides, mode: ops.pad(x, *np.split(sides.data, 2), mode),
    "Transpose": lambda x, perm: ops.transpose(x, perm),
    "Concat": lambda *parts, axis: ops.concat(parts, axis),
    "DepthToSpace": lambda x, blocksize: ops.depth_to_space(x, "blocks_first", blocksize),
    "Reshape": lambda x, shape: ops.reshape(x, shape, special_zero=True),
    "ReduceMean": lambda x, axes, keepdims: ops.reduce_mean(x, axes, bool(keepdims)),
    "AveragePool": lambda x, kernel_shape, strides: ops.avg_pool(
        x, strides, [0, 0], [0, 0], kernel_shape, exclude_pad=True
    ),
    # Later opsets have a second output, the places of the largest values.
    "MaxPool": lambda x, kernel_shape, strides: opset1.max_pool(
        x, strides, [0, 0], [0, 0], kernel_shape
    ),
    "FakeQuantize": lambda x, low, high, to_low, to_high, levels: ops.fake_quantize(
        x, low, high, to_low, to_high, levels
    ),
    "MatMul": lambda x, y: ops.matmul(x, y, False, False),
    "Conv": lambda x, kernel, strides: ops.convolution(x, kernel, strides, [0, 0], [0, 0], [1, 1]),
    "InstanceNormalization": lambda x, scale, shift, epsilon: (
        ops.mvn(x, [2, 3], True, epsilon, "inside_sqrt") * ops.unsqueeze(scale, [1, 2])
        + ops.unsqueeze(shift, [1, 2])
    ),
}
