"""The arithmetic of a network, and the peak of this machine, in operations.

A multiplication and an addition are two operations, as in data sheets.
"""

import math
import time

import keras
from keras import ops

from fast_style.network.architecture import DOUBLINGS
from fast_style.network.layers import ResizeConv2D

PEAK_SIDE = 2048


def convolution_operations(network: keras.Model, height: int, width: int) -> float:
    """Returns the operations of the convolutions of one pass over an (H, W, 3) picture."""
    layers = [layer for layer in network.layers if hasattr(layer, "kernel")]
    through = keras.Model(network.inputs, [layer.output for layer in layers])
    outputs = through.compute_output_spec(keras.KerasTensor((1, height, width, 3)))
    return sum(
        2.0 * math.prod(output.shape) * _taps(layer) * layer.kernel.shape[2]
        for layer, output in zip(layers, outputs, strict=True)
    )


def _taps(layer: keras.layers.Layer) -> int:
    if isinstance(layer, ResizeConv2D):
        return DOUBLINGS[layer.doubling].shape[1] ** 2
    rows, columns = layer.kernel.shape[:2]
    return rows * columns


def step_operations(
    transformer: keras.Model, loss_network: keras.Model, content_network: keras.Model, side: int
) -> float:
    """Returns the operations of a training step's convolutions for a (side, side, 3) picture.

    These are three passes of the transformer network (forward, gradients of features and kernels),
    two of the loss network, which is frozen, and a forward pass of it for the content image.
    """
    return (
        3 * convolution_operations(transformer, side, side)
        + 2 * convolution_operations(loss_network, side, side)
        + convolution_operations(content_network, side, side)
    )


class MatmulPeak:
    """Measures the operations per second of a large product of square matrices."""

    def __init__(self, precision: str):
        self.factor = ops.ones((PEAK_SIDE, PEAK_SIDE), precision)
        self.best = 0.0

    def measure(self) -> None:
        """Multiplies once; `best` is the fastest so far."""
        started = time.perf_counter()
        float(ops.sum(ops.matmul(self.factor, self.factor)[:1, :1]))  # waits for the result
        self.best = max(self.best, 2 * PEAK_SIDE**3 / (time.perf_counter() - started))
