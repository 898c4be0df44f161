"""The loss network: a frozen VGG whose features say how alike two pictures are."""

import hashlib
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
    """The VGG of Simonyan and Zisserman 2015 (section 2.1, table 1), up to the deepest layer asked.

    Takes (N, H, W, 3) RGB of 0..255 and gives {canonical name: (N, h, w, C)}, features after the
    ReLU, at least 0, for every name in `layers`, such as `relu3_3`. Block b halves the sides b - 1
    times, rounding down, and needs at least 2 ** (b - 1) pixels a side.

    `weights` is what `read_weights` takes. `pooling` is `max`, as the network was trained, or
    `avg`, which Gatys et al. 2016 (section 2) found to look cleaner. `dtype` is a Keras dtype
    policy such as `mixed_bfloat16`; features have its compute dtype, but the mean is subtracted
    in float32, where the pixels are still exact. Nothing in the network is trainable.

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


def fingerprint(network: keras.Model) -> str:
    """16 hexadecimal digits that tell the weights of one loss network from those of another."""
    first = network.get_layer(FIRST_CONVOLUTION)
    return hashlib.sha256(np.asarray(first.kernel, np.float32).tobytes()).hexdigest()[:16]


class FrozenConvolution(keras.layers.Layer):
    """A padded 3x3 convolution and its ReLU, with constants where other layers have variables.

    A compiler that knows the kernel lays it out once as the hardware likes it: on a CPU with AVX2
    the loss network's forward passes take half the time.
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
