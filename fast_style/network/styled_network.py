"""One transformer network for many styles, each with its own scales and shifts."""

import keras
import numpy as np
from keras import ops

from fast_style.network.style_mix import is_norm


class StyledNetwork:
    """A transformer network with conditional instance normalization.

    Dumoulin, Shlens and Kudlur 2017, section 2.2. With one style it is the plain network. Deviation
    from the paper: all pictures of a batch have the same style, and the styles alternate.
    """

    def __init__(self, network: keras.Model, styles: int):
        self.network = network
        self.styles = styles
        self.variables = [
            _for_each_style(variable, styles) if styles > 1 and is_norm(variable.path) else variable
            for variable in network.trainable_variables
        ]

    def __call__(self, pictures, style=0, training=False):
        """Stylizes (N, H, W, 3) float32 RGB 0..255. style: the number of the style, from 0."""
        if self.styles == 1:
            return self.network(pictures, training=training)
        # A product, because the gradient of a lookup would be sparse.
        chosen = ops.one_hot(style, self.styles)
        values = [
            ops.matmul(chosen, variable) if is_norm(variable.path) else variable.value
            for variable in self.variables
        ]
        stylized, _ = self.network.stateless_call(values, [], pictures, training=training)
        return stylized


def _for_each_style(variable, styles: int) -> keras.Variable:
    scope, _, name = variable.path.rpartition("/")
    with keras.name_scope(scope):
        start = np.repeat(np.asarray(variable)[None], styles, axis=0)
        return keras.Variable(start, name=name, autocast=False)
