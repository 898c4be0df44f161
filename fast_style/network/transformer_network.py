"""The transformer network in Keras: a picture in, the stylized picture out."""

import keras
from keras import ops

from fast_style.network import layers
from fast_style.network.architecture import (
    BORDER,
    OUTPUT_GAIN,
    OUTPUT_REACH,
    PAPER,
    Architecture,
)


def build_transformer_network(architecture: Architecture = PAPER) -> keras.Model:
    """A transformer network with random weights, for pictures of every size from 1 x 1 up.

    Input: (N, H, W, 3) float32 RGB, 0..255. Output: the same shape and dtype.
    The output 'tanh' stays inside 0..255 by (tanh + 1) * 127.5; 'scaled_tanh' reaches from -22.5 to
    277.5 by 150 * tanh + 127.5, so that white and black are not where tanh is saturated and passes
    no gradient; 'linear' is unbounded. The last two are clipped where pictures are made.

    Deviations of PAPER from table 1 of Johnson et al.'s supplement (2016): instance for batch
    normalization (Ulyanov et al. 2017), nearest resize and convolution for the fractionally strided
    ones (Odena et al. 2016), reflection inside for the 40 pixels of it around the picture, of which
    24 remain, to be cropped again, and a sixteenth of the last convolution, which has larger
    weights for it. SMOOTH and WIDE resize bilinearly.
    """
    pictures = keras.Input((None, None, 3), name="pictures", dtype="float32")
    multiple = architecture.downsampling
    x = ReflectedBorder(multiple, name="border", dtype="float32")(pictures)
    x = keras.layers.Rescaling(1 / 127.5, offset=-1, name="rescale", dtype="float32")(x)
    x = architecture.transformed(x, layers)
    x = OutputPixels(architecture.output, name="pixels", dtype="float32")(x)
    stylized = CropLike(name="crop", dtype="float32")([x, pictures])
    return keras.Model(pictures, stylized, name="transformer_network")


@keras.saving.register_keras_serializable("fast_style")
class ReflectedBorder(keras.layers.Layer):
    """Mirror pictures by 24 pixels, and on the right and below up to a multiple as well.

    Mirrors again and again where a picture is smaller than its border, so that 1 x 1 works.
    """

    def __init__(self, multiple: int = PAPER.downsampling, **kwargs):
        super().__init__(**kwargs)
        self.multiple = multiple

    def call(self, pictures):
        _, height, width, _ = ops.shape(pictures)
        rows = _mirrored_positions(height, self.multiple)
        columns = _mirrored_positions(width, self.multiple)
        return ops.take(ops.take(pictures, rows, axis=1), columns, axis=2)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        grown = [
            None if side is None else side + 2 * BORDER + -side % self.multiple
            for side in (height, width)
        ]
        return (batch, *grown, channels)

    def get_config(self):
        return {**super().get_config(), "multiple": self.multiple}


def _mirrored_positions(side, multiple: int):
    positions = ops.arange(-BORDER, side + BORDER + (-side) % multiple, dtype="int32")
    last = ops.cast(side - 1, "int32")
    period = ops.maximum(2 * last, 1)
    phase = ops.mod(positions, period)
    return ops.minimum(ops.minimum(phase, period - phase), last)


@keras.saving.register_keras_serializable("fast_style")
class OutputPixels(keras.layers.Layer):
    """From the last convolution to RGB 0..255, as build_transformer_network describes it."""

    def __init__(self, output: str, **kwargs):
        super().__init__(**kwargs)
        self.output_kind = output

    def call(self, x):
        x = OUTPUT_GAIN * x
        if self.output_kind != "linear":
            x = ops.tanh(x)
        return OUTPUT_REACH[self.output_kind] * x + 127.5

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "output": self.output_kind}


@keras.saving.register_keras_serializable("fast_style")
class CropLike(keras.layers.Layer):
    """Cut the border off again: exactly the pixels of the picture that went in."""

    def call(self, inputs):
        x, pictures = inputs
        _, height, width, _ = ops.shape(pictures)
        return x[:, BORDER : BORDER + height, BORDER : BORDER + width]

    def compute_output_shape(self, input_shapes):
        return input_shapes[1]
