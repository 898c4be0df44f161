"""The Runtime of streaming.py in OpenVINO."""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import openvino
from openvino import opset13 as ops

from fast_style.network import graph
from fast_style.runtimes.openvino_network import add_operator, compile_for_cpu, float_type
from fast_style.runtimes.streaming import Convolution, OnStrip, Scaling, Wanted

ROWS_AND_COLUMNS = np.array([2, 3])
ELEMENTS = {"uint8": openvino.Type.u8, "uint16": openvino.Type.bf16, "float32": openvino.Type.f32}


class OpenVinoRows:
    """A streaming.Runtime on the CPU.

    precision: as in OpenVinoNetwork, but 'int8' multiplies floats as 'auto' does.
    """

    def __init__(self, precision: str):
        self.precision = precision
        in_bfloat16 = float_type(precision) == openvino.Type.bf16
        self.dtype: type[np.generic] = np.uint16 if in_bfloat16 else np.float32

    def on_strips(self, convolutions: Sequence[Convolution], wanted: Sequence[Wanted]) -> OnStrip:
        # For a known shape OpenVINO avoids copies between the order of the strips, which has the
        # channels last, and its own. There are at most three shapes: of the first strip, of the
        # last one, and of those between them. Each frees the memory of the one before it.
        @functools.lru_cache(maxsize=1)
        def compiled(
            sources: tuple[tuple[tuple[int, ...], str], ...],
            above: tuple[int, ...],
            below: tuple[int, ...],
        ) -> Callable[[list[np.ndarray]], dict[Wanted, np.ndarray]]:
            strips = [ops.parameter([1, *shape], ELEMENTS[dtype]) for shape, dtype in sources]
            x = summed = _sum(strips, convolutions[0].scalings, (-1,))
            layers = zip(convolutions, above, below, strict=True)
            for number, (convolution, before, behind) in enumerate(layers):
                if number:
                    x = _sum([x], convolution.scalings, (-1, 1, 1))
                x = _with_border(x, convolution, before, behind, channels_last=number == 0)
                x = _convolved(x if number else ops.transpose(x, [0, 3, 1, 2]), convolution)
            mean, variance = _statistics(x)
            if output := convolutions[-1].output:
                levels = graph.grey_levels(add_operator, x, output)
                rows = ops.convert(add_operator("Round", levels), openvino.Type.u8)
            else:
                rows = self._as_kept(x)
            found = {
                "rows": ops.transpose(rows, [0, 2, 3, 1]),
                "mean": mean,
                "variance": variance,
                "sum": self._as_kept(summed),
            }
            model = openvino.Model([ops.result(found[name]) for name in wanted], strips, "strip")
            network = compile_for_cpu(model, self.precision)
            # While one request computes, what the other one found is written.
            requests = itertools.cycle([network.create_infer_request() for _ in range(2)])

            def run(strips: list[np.ndarray]) -> dict[Wanted, np.ndarray]:
                request = next(requests)
                request.infer([_tensor(strip) for strip in strips], share_inputs=True)
                outputs = map(request.get_output_tensor, range(len(wanted)))
                return dict(zip(wanted, map(_array, outputs), strict=True))

            return run

        def on_strip(
            strips: list[np.ndarray], above: list[int], below: list[int]
        ) -> dict[Wanted, np.ndarray]:
            sources = tuple((strip.shape, strip.dtype.name) for strip in strips)
            return compiled(sources, tuple(above), tuple(below))(strips)

        return on_strip

    def _as_kept(self, x: Any) -> Any:
        return ops.convert(x, ELEMENTS[np.dtype(self.dtype).name])


def _tensor(strip: np.ndarray) -> openvino.Tensor:
    return openvino.Tensor(strip, [1, *strip.shape], ELEMENTS[strip.dtype.name])


def _array(tensor: openvino.Tensor) -> np.ndarray:
    array = tensor.data[0]
    return array.view(np.uint16) if tensor.element_type == openvino.Type.bf16 else array


def _sum(inputs: Sequence[Any], scalings: Sequence[Scaling], shape: tuple[int, ...]) -> Any:
    """Adds the sum of the scaled inputs. shape: of a value for each channel."""
    scaled = []
    for x, scaling in zip(inputs, scalings, strict=True):
        x = ops.convert(x, openvino.Type.f32)
        for operator, value in (("Mul", scaling.factor), ("Add", scaling.offset)):
            x = add_operator(operator, x, np.reshape(value, shape))
        scaled.append(add_operator("Relu", x) if scaling.relu else x)
    return functools.reduce(lambda x, y: add_operator("Add", x, y), scaled)


def _statistics(x: Any) -> tuple[Any, Any]:
    """Adds the mean and variance of each channel, from one pass over the features."""
    # Relative to the mean of the first row, so that the difference of the squares is exact.
    near = ops.reduce_mean(add_operator("Slice", x, [0], [1], [2]), ROWS_AND_COLUMNS, True)
    apart = x - near
    mean = ops.reduce_mean(apart, ROWS_AND_COLUMNS)
    norm = add_operator("Mul", ops.reduce_l2(apart, ROWS_AND_COLUMNS), np.prod(x.shape[2:]) ** -0.5)
    return mean + ops.squeeze(near, ROWS_AND_COLUMNS), norm * norm - mean * mean


def _with_border(
    x: Any, convolution: Convolution, above: int, below: int, channels_last: bool
) -> Any:
    sides = convolution.border
    before, behind = (above, sides), (below, sides)
    border = (0, *before, 0, 0, *behind, 0) if channels_last else (0, 0, *before, 0, 0, *behind)
    return add_operator(
        "Pad", x, border, mode="edge" if convolution.kind == "resize" else "reflect"
    )


def _convolved(x: Any, convolution: Convolution) -> Any:
    kernel, bias = convolution.kernel, convolution.bias
    if convolution.kind == "resize":
        return graph.resize_convolution(add_operator, x, kernel, convolution.doubling, bias)
    if convolution.kind == "rgb":
        assert bias is not None
        return graph.rgb_convolution(add_operator, x, kernel, bias)
    return graph.convolution(add_operator, x, kernel, convolution.stride)
