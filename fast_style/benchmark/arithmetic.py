"""How much arithmetic a network asks for, and how much this machine can do; in operations.

A multiplication and an addition are two operations, as in every machine's data sheet.
"""

import math
import time

import keras
from keras import ops

from fast_style.network.architecture import DOUBLINGS
from fast_style.network.layers import ResizeConv2D

PEAK_SIDE = 2048


def convolution_operations(network: keras.Model, height: int, width: int) -> float:
    """What the convolutions of one pass over an (H, W, 3) picture take; all else is left out."""
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
    """What the convolutions of a training step take for each (side, side, 3) picture.

    The transformer network's forwards, and twice as much for the gradients of its features and
    kernels; the loss network's forwards and the gradients of its features, as it is frozen; and
    its forwards alone for the content image.
    """
    return (
        3 * convolution_operations(transformer, side, side)
        + 2 * convolution_operations(loss_network, side, side)
        + convolution_operations(content_network, side, side)
    )


class MatmulPeak:
    """The operations per second of a large product of square matrices: the machine's own limit."""

    def __init__(self, precision: str):
        self.factor = ops.ones((PEAK_SIDE, PEAK_SIDE), precision)
        self.best = 0.0

    def measure(self) -> None:
        """Multiply once more; `best` is the fastest so far."""
        started = time.perf_counter()
        float(ops.sum(ops.matmul(self.factor, self.factor)[:1, :1]))  # waits for the result
        self.best = max(self.best, 2 * PEAK_SIDE**3 / (time.perf_counter() - started))
