"""The convolution for training on AVX2 against the plain one, values and gradients."""

import numpy as np
import pytest
import tensorflow as tf

from fast_style.network.avx2_convolution import convolve


@pytest.mark.parametrize("channels", [3, 16])
@pytest.mark.parametrize(
    ("kernel", "stride", "size"),
    [((3, 3), 1, (11, 8)), ((3, 3), 2, (11, 8)), ((3, 3), 2, (10, 9)), ((1, 9), 1, (9, 12))],
)
def test_values_and_gradients_are_those_of_the_plain_convolution(
    kernel: tuple[int, int], stride: int, size: tuple[int, int], channels: int
) -> None:
    rng = np.random.default_rng(0)
    features = tf.constant(rng.normal(size=(2, *size, channels)), tf.float32)
    weights = tf.constant(rng.normal(size=(*kernel, channels, 5)), tf.float32)

    def value_and_gradients(convolution):
        with tf.GradientTape() as tape:
            tape.watch([features, weights])
            value = convolution(features, weights, stride)
            total = tf.reduce_sum(tf.sin(value))
        return [value, *tape.gradient(total, [features, weights])]

    expected = value_and_gradients(lambda *args: tf.nn.conv2d(*args, "VALID"))
    for ours in (value_and_gradients(convolve), tf.function(value_and_gradients)(convolve)):
        for got, wanted in zip(ours, expected, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)
