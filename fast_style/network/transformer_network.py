"""The transformer network in Keras: from a picture to the stylized picture."""

import keras
from keras import ops

from fast_style.network import layers
from fast_style.network.architecture import BORDER, OUTPUT_GAIN, OUTPUT_REACH, PAPER, Architecture


def build_transformer_network(architecture: Architecture = PAPER) -> keras.Model:
    """Returns a transformer network with random weights, for pictures of any size from 1 x 1.

    Input: (N, H, W, 3) float32 RGB, 0..255. Output: the same shape and dtype.
    With the output 'tanh' it is (tanh + 1) * 127.5, inside 0..255. With 'scaled_tanh' it is
    150 * tanh + 127.5, so that tanh, which passes no gradient where it is saturated, is not
    saturated at white and black. 'linear' is unbounded. The caller clips the last two.

    Deviations of PAPER from table 1 of Johnson et al.'s supplement (2016): instance instead of
    batch normalization (Ulyanov et al. 2017); nearest resize and convolution instead of
    fractionally strided ones (Odena et al. 2016); reflection in each layer and 24 cropped pixels
    around the picture instead of 40 pixels around it; a sixteenth of the last convolution, with
    larger weights. SMOOTH, MEDIUM and SMALL resize bilinearly.
    """
    pictures = keras.Input((None, None, 3), name="pictures", dtype="float32")
    multiple = architecture.downsampling
    x = ReflectedBorder(multiple, name="border", dtype="float32")(pictures)
    x = keras.layers.Rescaling(1 / 127.5, offset=-1, name="rescale", dtype="float32")(x)
    x = OUTPUT_GAIN * ops.cast(architecture.transformed(x, layers), "float32")
    x = x if architecture.output == "linear" else ops.tanh(x)
    x = OUTPUT_REACH[architecture.output] * x + 127.5
    stylized = CropLike(name="crop", dtype="float32")([x, pictures])
    return keras.Model(pictures, stylized, name="transformer_network")


@keras.saving.register_keras_serializable("fast_style")
class ReflectedBorder(keras.layers.Layer):
    """Mirrors pictures by 24 pixels, and more on the right and below, up to a multiple.

    A picture smaller than its border is mirrored several times, so that 1 x 1 works.
    """

    def __init__(self, multiple: int, **kwargs):
        super().__init__(**kwargs)
        self.multiple = multiple

    def call(self, pictures):
        _, height, width, _ = ops.shape(pictures)
        rows = _mirrored_positions(height, self.multiple)
        columns = _mirrored_positions(width, self.multiple)
        return ops.take(ops.take(pictures, rows, axis=1), columns, axis=2)


def _mirrored_positions(side, multiple: int):
    positions = ops.arange(-BORDER, side + BORDER + (-side) % multiple, dtype="int32")
    last = ops.cast(side - 1, "int32")
    period = ops.maximum(2 * last, 1)
    phase = ops.mod(positions, period)
    return ops.minimum(ops.minimum(phase, period - phase), last)


@keras.saving.register_keras_serializable("fast_style")
class CropLike(keras.layers.Layer):
    """Crops the border: only the pixels of the input picture remain."""

    def call(self, inputs):
        x, pictures = inputs
        _, height, width, _ = ops.shape(pictures)
        return x[:, BORDER : BORDER + height, BORDER : BORDER + width]
