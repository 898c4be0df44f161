"""The Runtime of streaming.py in TensorFlow."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from fast_style.network.architecture import doubled_kernels
from fast_style.runtimes.streaming import Convolution, OnStrip, Wanted


class TensorFlowRows:
    """A streaming.Runtime on TensorFlow's device. policy: 'float32' or 'mixed_bfloat16'."""

    def __init__(self, policy: str):
        self.dtype = tf.bfloat16 if policy == "mixed_bfloat16" else tf.float32

    def on_strips(self, convolutions: Sequence[Convolution], wanted: Sequence[Wanted]) -> OnStrip:
        strip = tf.TensorSpec((None, None, convolutions[0].kernel.shape[2]), tf.float32)
        mirrored = tf.TensorSpec((len(convolutions),), tf.int32)

        @tf.function(input_signature=[strip, mirrored, mirrored])
        def run(rows, above, below):
            x = rows[None]
            for number, convolution in enumerate(convolutions):
                x = self._convolved(x, convolution, above[number], below[number])
            mean, variance = tf.nn.moments(x, (0, 1, 2))
            found = {"rows": x[0], "mean": mean, "variance": variance}
            return {name: found[name] for name in wanted}

        def on_strip(rows: np.ndarray, above: list[int], below: list[int]) -> dict:
            return {name: value.numpy() for name, value in run(rows, above, below).items()}

        return on_strip

    def _convolved(self, x: tf.Tensor, convolution: Convolution, above, below) -> tf.Tensor:
        pixels = convolution.border
        x = x * convolution.factor + convolution.offset
        x = tf.cast(tf.nn.relu(x) if convolution.relu else x, self.dtype)
        mode = "SYMMETRIC" if convolution.kind == "resize" else "REFLECT"
        x = x[:, tf.maximum(0, -above) : tf.shape(x)[1] - tf.maximum(0, -below)]
        above, below = tf.maximum(0, above), tf.maximum(0, below)
        x = tf.pad(x, [[0, 0], [above, below], [pixels, pixels], [0, 0]], mode)
        if convolution.kind == "resize":
            found = self._resize_convolution(x, convolution.kernel, convolution.doubling)
        else:
            kernel = tf.constant(convolution.kernel, self.dtype)
            found = tf.nn.conv2d(x, kernel, convolution.stride, "VALID")
        found = tf.cast(found, tf.float32)
        return found if convolution.bias is None else found + convolution.bias

    def _resize_convolution(self, x: tf.Tensor, kernel: np.ndarray, doubling: str) -> tf.Tensor:
        four = doubled_kernels(kernel.astype(np.float32), doubling)
        found = tf.nn.conv2d(x, tf.constant(four, self.dtype), 1, "VALID")
        if doubling == "nearest":
            height, width = tf.shape(found)[1] - 1, tf.shape(found)[2] - 1
            moved = [
                part[:, number // 2 : number // 2 + height, number % 2 : number % 2 + width]
                for number, part in enumerate(tf.split(found, 4, axis=3))
            ]
            found = tf.concat(moved, axis=3)
        return tf.nn.depth_to_space(found, 2)
