"""The Runtime of streaming.py in OpenVINO."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import openvino
from openvino import opset13 as ops

from fast_style.network import graph
from fast_style.runtimes.openvino_network import add_operator, compile_for_cpu
from fast_style.runtimes.streaming import Convolution, OnStrip, Wanted

ROWS_AND_COLUMNS = np.array([2, 3])


class OpenVinoRows:
    """A streaming.Runtime on the CPU. precision: as in OpenVinoNetwork."""

    def __init__(self, precision: str):
        self.precision = precision

    def on_strips(self, convolutions: Sequence[Convolution], wanted: Sequence[Wanted]) -> OnStrip:
        # For a known shape OpenVINO avoids copies between the order of the strips, which has the
        # channels last, and its own. There are at most three shapes: of the first strip, of the
        # last one, and of those between them.
        @functools.cache
        def compiled(
            shape: tuple[int, ...], above: tuple[int, ...], below: tuple[int, ...]
        ) -> Callable[[np.ndarray], dict[Wanted, np.ndarray]]:
            strip = ops.parameter([1, *shape], np.float32)
            x = strip
            for number, layer in enumerate(zip(convolutions, above, below, strict=True)):
                x = _prepared(x, *layer, channels_last=number == 0)
                x = _convolved(x if number else ops.transpose(x, [0, 3, 1, 2]), layer[0])
            mean = ops.reduce_mean(x, ROWS_AND_COLUMNS)
            apart = x - ops.reduce_mean(x, ROWS_AND_COLUMNS, True)
            found = {
                "rows": ops.transpose(x, [0, 2, 3, 1]),
                "mean": mean,
                "variance": ops.reduce_mean(apart * apart, ROWS_AND_COLUMNS),
            }
            model = openvino.Model([ops.result(found[name]) for name in wanted], [strip], "strip")
            run = compile_for_cpu(model, self.precision)
            return lambda rows: dict(
                zip(wanted, (v[0] for v in run([rows[None]]).values()), strict=True)
            )

        return lambda rows, above, below: compiled(rows.shape, tuple(above), tuple(below))(rows)


def _prepared(x: Any, convolution: Convolution, above: int, below: int, channels_last: bool) -> Any:
    factor, offset = convolution.factor, convolution.offset
    sides = convolution.border
    if not channels_last:
        factor, offset = np.reshape(factor, (-1, 1, 1)), np.reshape(offset, (-1, 1, 1))
    x = add_operator("Add", add_operator("Mul", x, factor), offset)
    x = add_operator("Relu", x) if convolution.relu else x
    before, behind = (above, sides), (below, sides)
    border = (0, *before, 0, 0, *behind, 0) if channels_last else (0, 0, *before, 0, 0, *behind)
    return add_operator(
        "Pad", x, border, mode="edge" if convolution.kind == "resize" else "reflect"
    )


def _convolved(x: Any, convolution: Convolution) -> Any:
    if convolution.kind == "resize":
        return graph.resize_convolution(add_operator, x, convolution.kernel, convolution.doubling)
    if convolution.kind == "rgb":
        assert convolution.bias is not None
        return graph.rgb_convolution(add_operator, x, convolution.kernel, convolution.bias)
    return graph.convolution(add_operator, x, convolution.kernel, convolution.stride)
