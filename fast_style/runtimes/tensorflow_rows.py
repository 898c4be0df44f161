"""The Runtime of streaming.py in TensorFlow."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from fast_style.network.architecture import OUTPUT_GAIN, OUTPUT_REACH, doubled_kernels
from fast_style.runtimes.streaming import Convolution, OnStrip, Scaling, Wanted


class TensorFlowRows:
    """A streaming.Runtime on TensorFlow's device. policy: 'float32' or 'mixed_bfloat16'."""

    def __init__(self, policy: str):
        in_bfloat16 = policy == "mixed_bfloat16"
        self.precision = tf.bfloat16 if in_bfloat16 else tf.float32
        self.dtype: type[np.generic] = np.uint16 if in_bfloat16 else np.float32

    def on_strips(self, convolutions: Sequence[Convolution], wanted: Sequence[Wanted]) -> OnStrip:
        @tf.function(reduce_retracing=True)
        def run(strips, above, below):
            x = summed = _sum([strip[None] for strip in strips], convolutions[0].scalings)
            for number, convolution in enumerate(convolutions):
                if number:
                    x = _sum([x], convolution.scalings)
                x = self._convolved(x, convolution, above[number], below[number])
            mean, variance = tf.nn.moments(x, (0, 1, 2))
            output = convolutions[-1].output
            rows = _grey_levels(x, output) if output else self._as_kept(x)
            found = {
                "rows": rows[0],
                "mean": mean,
                "variance": variance,
                "sum": self._as_kept(summed)[0],
            }
            return {name: found[name] for name in wanted}

        def on_strip(strips: list[np.ndarray], above: list[int], below: list[int]) -> dict:
            found = run(list(map(tf.constant, strips)), tf.constant(above), tf.constant(below))
            return {name: value.numpy() for name, value in found.items()}

        return on_strip

    def _as_kept(self, x: tf.Tensor) -> tf.Tensor:
        if self.dtype == np.float32:
            return x
        return tf.bitcast(tf.cast(x, tf.bfloat16), tf.uint16)

    def _convolved(self, x: tf.Tensor, convolution: Convolution, above, below) -> tf.Tensor:
        pixels = convolution.border
        x = tf.cast(x, self.precision)
        mode = "SYMMETRIC" if convolution.kind == "resize" else "REFLECT"
        x = x[:, tf.maximum(0, -above) : tf.shape(x)[1] - tf.maximum(0, -below)]
        above, below = tf.maximum(0, above), tf.maximum(0, below)
        x = tf.pad(x, [[0, 0], [above, below], [pixels, pixels], [0, 0]], mode)
        if convolution.kind == "resize":
            found = self._resize_convolution(x, convolution.kernel, convolution.doubling)
        else:
            kernel = tf.constant(convolution.kernel, self.precision)
            found = tf.nn.conv2d(x, kernel, convolution.stride, "VALID")
        found = tf.cast(found, tf.float32)
        return found if convolution.bias is None else found + convolution.bias

    def _resize_convolution(self, x: tf.Tensor, kernel: np.ndarray, doubling: str) -> tf.Tensor:
        four = doubled_kernels(kernel.astype(np.float32), doubling)
        found = tf.nn.conv2d(x, tf.constant(four, self.precision), 1, "VALID")
        if doubling == "nearest":
            height, width = tf.shape(found)[1] - 1, tf.shape(found)[2] - 1
            moved = [
                part[:, number // 2 : number // 2 + height, number % 2 : number % 2 + width]
                for number, part in enumerate(tf.split(found, 4, axis=3))
            ]
            found = tf.concat(moved, axis=3)
        return tf.nn.depth_to_space(found, 2)


def _sum(inputs: Sequence[tf.Tensor], scalings: Sequence[Scaling]) -> tf.Tensor:
    scaled = []
    for x, scaling in zip(inputs, scalings, strict=True):
        x = tf.bitcast(x, tf.bfloat16) if x.dtype == tf.uint16 else x
        x = tf.cast(x, tf.float32) * scaling.factor + scaling.offset
        scaled.append(tf.nn.relu(x) if scaling.relu else x)
    return tf.add_n(scaled)


def _grey_levels(x: tf.Tensor, output: str) -> tf.Tensor:
    x = x * OUTPUT_GAIN
    x = x if output == "linear" else tf.tanh(x)
    x = tf.clip_by_value(x * OUTPUT_REACH[output] + 127.5, 0, 255)
    return tf.cast(tf.round(x), tf.uint8)
