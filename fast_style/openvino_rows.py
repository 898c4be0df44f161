"""What streaming.py asks of a runtime, in OpenVINO."""

from functools import partial
from typing import Any

import numpy as np
import openvino
from openvino import opset13 as ops

from fast_style import openvino_network as network
from fast_style.streaming import Operation

mirrored = partial(network.mirrored, rows=False)


class OpenVinoRows:
    """streaming.Operations on the CPU; precision: as compile_network's."""

    def __init__(self, precision: str):
        self.precision = precision
        rows = ops.parameter([1, -1, -1, -1], np.float32)
        axes = np.array([0, network.DOWN, network.ACROSS])
        mean = ops.reduce_mean(rows, axes, True)
        variance = ops.reduce_mean(ops.squared_difference(rows, mean), axes, True)
        self._moments = self._compiled([mean, variance], [rows])

    def convolution(self, kernel: np.ndarray, stride: int, relu: bool) -> Operation:
        def layer(x: Any) -> Any:
            return network.convolution(mirrored(x, kernel.shape[1] // 2), kernel, stride)

        return self._operation(layer, kernel, relu)

    def resize_convolution(self, kernel: np.ndarray, relu: bool) -> Operation:
        def layer(x: Any) -> Any:
            return network.resize_convolution(mirrored(x, 1, "symmetric"), kernel)

        return self._operation(layer, kernel, relu)

    def rgb_convolution(self, kernel: np.ndarray, bias: np.ndarray, relu: bool) -> Operation:
        def layer(x: Any) -> Any:
            return network.rgb_convolution(mirrored(x, kernel.shape[1] // 2), kernel, bias)

        return self._operation(layer, kernel, relu)

    def moments(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = self._moments([rows])
        return found[0].ravel().astype(np.float64), found[1].ravel().astype(np.float64)

    def _operation(self, layer, kernel: np.ndarray, relu: bool) -> Operation:
        inputs = kernel.shape[2]
        above, rows = (ops.parameter([1, inputs, -1, -1], np.float32) for _ in range(2))
        factor, offset = (ops.parameter([1, inputs, 1, 1], np.float32) for _ in range(2))
        x = ops.concat([above, rows], network.DOWN) * factor + offset
        result = layer(ops.relu(x) if relu else x)
        run = self._compiled([result], [above, rows, factor, offset])
        return lambda *given: run(given)[0]

    def _compiled(self, results: list[Any], parameters: list[Any]) -> openvino.CompiledModel:
        model = openvino.Model([ops.result(result) for result in results], parameters)
        return network.compiled(model, self.precision)
