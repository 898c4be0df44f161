"""The loss network: a frozen VGG. Similar pictures have similar features."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from fast_style.conf.vgg_layers import PIXEL_MEAN, feature_of
from fast_style.loss.vgg_weights import read_weights

FIRST_CONVOLUTION = "block1_conv1"
POOLINGS = {"max": keras.layers.MaxPooling2D, "avg": keras.layers.AveragePooling2D}


def build_loss_network(
    loss_model: str,
    weights: str,
    layers: Sequence[str],
    pooling: str = "max",
    dtype: str = "float32",
) -> keras.Model:
    """Returns the VGG of Simonyan and Zisserman 2015 (section 2.1, table 1) up to the last layer.

    Input: (N, H, W, 3) RGB, 0..255. Output: {name: (N, h, w, C)} for every name in `layers`, such
    as `relu3_3`: features after the ReLU, at least 0. Block b has halved the sides b - 1 times,
    rounding down, and needs at least 2 ** (b - 1) pixels a side. No weight is trainable.

    weights: as for `read_weights`. pooling: `max`, as the network was trained, or `avg`, which
    looks cleaner (Gatys et al. 2016, section 2). dtype: a Keras dtype policy such as
    `mixed_bfloat16`. Features have its compute dtype, but the mean is subtracted in float32, in
    which the pixels are exact.

    Raises UserError as `read_weights` does.
    """
    inputs = keras.Input((None, None, 3), dtype="float32")
    x = ops.subtract(inputs, np.array(PIXEL_MEAN, np.float32))
    features: dict[str, keras.KerasTensor] = {}
    block = "block1"
    for name, parameters in read_weights(loss_model, weights).items():
        if features.keys() == set(layers):
            break
        if not name.startswith(block):
            x = POOLINGS[pooling](2, dtype=dtype, name=f"{block}_pool")(x)
            block = name.partition("_")[0]
        x = FrozenConvolution(*parameters, dtype=dtype, name=name)(x)
        feature = feature_of(name)
        if feature in layers:
            features[feature] = x
    assert features.keys() == set(layers)  # a conf has no others
    return keras.Model(inputs, features, name=loss_model)


class FrozenConvolution(keras.layers.Layer):
    """A padded 3x3 convolution and its ReLU, with constants instead of variables.

    A compiler can reorder a constant kernel once for the hardware: on a CPU with AVX2 the loss
    network's forward passes take half the time.
    """

    def __init__(self, kernel: np.ndarray, bias: np.ndarray, **kwargs):
        """kernel: (3, 3, C, filters), bias: (filters,)."""
        super().__init__(**kwargs)
        self.kernel, self.bias = kernel, bias

    def call(self, features):
        kernel = ops.convert_to_tensor(self.kernel, self.compute_dtype)
        bias = ops.convert_to_tensor(self.bias, self.compute_dtype)
        return ops.relu(ops.conv(features, kernel, padding="same") + bias)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.bias.shape[0])
