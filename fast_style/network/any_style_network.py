"""One transformer network for any style: its scales and shifts are predicted."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from fast_style.network.style_predictor import (
    Statistics,
    features,
    initial_arrays,
    norm_paths,
    predicted_norms,
)


class AnyStyleNetwork:
    """A transformer network whose instance normalizations a style's statistics decide.

    network/style_predictor.py explains the predictor. All pictures of a batch have the same style.
    """

    def __init__(self, network: keras.Model, seen: Sequence[Statistics], seed: int):
        """seen: statistics of some style images, which centre and scale the predictor's input."""
        self.network = network
        own = {variable.path: variable for variable in network.trainable_variables}
        channels = {path: own[path].shape[0] for path in norm_paths(own)}
        inputs = np.concatenate([np.asarray(features(one, ops)) for one in seen])
        self.variables = [*own.values()]
        for path, start in initial_arrays(channels, inputs, seed).items():
            scope, _, name = path.rpartition("/")
            with keras.name_scope(scope):
                self.variables.append(keras.Variable(start, name=name, autocast=False))

    def __call__(self, pictures, style: Statistics, training=False):
        """Stylizes (N, H, W, 3) float32 RGB 0..255. style: the statistics of a style image."""
        arrays = {variable.path: variable.value for variable in self.variables}
        values = arrays | predicted_norms(arrays, style, ops)
        own = [values[variable.path] for variable in self.network.trainable_variables]
        stylized, _ = self.network.stateless_call(own, [], pictures, training=training)
        return stylized
