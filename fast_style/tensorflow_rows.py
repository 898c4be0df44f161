"""What streaming.py asks of a runtime, in TensorFlow."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from fast_style.architecture import RESIZED_KERNELS, RESIZED_TAPS
from fast_style.streaming import Operation

Layer = Callable[[tf.Tensor], tf.Tensor]
ANY = tf.TensorSpec((1, None, None, None), tf.float32)


class TensorFlowRows:
    """streaming.Operations on whatever TensorFlow finds; policy: Keras's, as 'mixed_bfloat16'."""

    def __init__(self, policy: str):
        self.dtype = tf.bfloat16 if policy == "mixed_bfloat16" else tf.float32

    def convolution(self, kernel: np.ndarray, stride: int, relu: bool) -> Operation:
        weights = tf.constant(kernel, self.dtype)

        def layer(x: tf.Tensor) -> tf.Tensor:
            return tf.nn.conv2d(_mirrored(x, kernel.shape[1] // 2), weights, stride, "VALID")

        return self._operation(layer, relu)

    def resize_convolution(self, kernel: np.ndarray, relu: bool) -> Operation:
        four = np.einsum(RESIZED_KERNELS, RESIZED_TAPS, RESIZED_TAPS, kernel.astype(np.float32))
        weights = tf.constant(four.reshape(2, 2, kernel.shape[2], -1), self.dtype)

        def layer(x: tf.Tensor) -> tf.Tensor:
            found = tf.nn.conv2d(_mirrored(x, 1, "SYMMETRIC"), weights, 1, "VALID")
            height, width = tf.shape(found)[1] - 1, tf.shape(found)[2] - 1
            moved = [
                part[:, number // 2 : number // 2 + height, number % 2 : number % 2 + width]
                for number, part in enumerate(tf.split(found, 4, axis=3))
            ]
            return tf.nn.depth_to_space(tf.concat(moved, axis=3), 2)

        return self._operation(layer, relu)

    def rgb_convolution(self, kernel: np.ndarray, bias: np.ndarray, relu: bool) -> Operation:
        plain = self.convolution(kernel, 1, relu)
        return lambda *given: plain(*given) + bias[None, :, None, None].astype(np.float32)

    def moments(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, variance = tf.nn.moments(tf.constant(rows), (0, 2, 3))
        return mean.numpy().astype(np.float64), variance.numpy().astype(np.float64)

    def _operation(self, layer: Layer, relu: bool) -> Operation:
        @tf.function(input_signature=[ANY] * 4)
        def run(above, rows, factor, offset):
            x = tf.concat([above, rows], axis=2) * factor + offset
            x = tf.transpose(tf.nn.relu(x) if relu else x, (0, 2, 3, 1))
            found = layer(tf.cast(x, self.dtype))
            return tf.transpose(tf.cast(found, tf.float32), (0, 3, 1, 2))

        return lambda *given: run(*given).numpy()


def _mirrored(x: tf.Tensor, pixels: int, mode: str = "REFLECT") -> tf.Tensor:
    return tf.pad(x, ((0, 0), (0, 0), (pixels, pixels), (0, 0)), mode)
