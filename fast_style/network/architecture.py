"""What the transformer network is made of, said once for every library that runs it."""

from typing import Any

import numpy as np

# Pixels mirrored around a picture, and cut off again. Within about 20 of its own edges a trained
# network draws differently (with the colours that the style asks for somewhere, anywhere): a frame.
BORDER = 24
DOWNSAMPLING = 4  # sides inside are multiples of this
EPSILON = 1e-5  # inside the root of instance normalization: a constant channel is no NaN

# Adam moves every weight as far as every other, and the 2,592 weights behind one output pixel move
# together. Without this, three steps of 1e-3 can take nearly all pixels out of range, where tanh
# is saturated and passes no gradient: blobs that come back slowly if at all.
OUTPUT_GAIN = 1 / 16

# How far an output reaches from the middle of 0..255 where tanh is 1; 'linear' does without tanh.
OUTPUT_REACH = {"tanh": 127.5, "scaled_tanh": 150.0, "linear": 127.5}

# For an even and an odd output pixel of a doubled picture: on which of the 2 input pixels that it
# sees each of the 3 taps falls.
RESIZED_TAPS = np.array([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]], np.float32)
RESIZED_KERNELS = "atu,bsv,uvio->tsiabo"  # RESIZED_TAPS twice and a 3x3 kernel


def borders(side: int) -> tuple[int, int]:
    """The pixels that are mirrored before and behind a picture of so many rows or columns."""
    return BORDER, BORDER + -side % DOWNSAMPLING


def pixels_with_border(height: int, width: int) -> int:
    """The pixels that a picture is computed on, which are many more where it is thin."""
    return (height + sum(borders(height))) * (width + sum(borders(width)))


def transformed(x: Any, layers: Any) -> Any:
    """Features of 3 channels from pixels in -1..1, by table 1 of Johnson et al.'s supplement.

    layers: has normalized_convolution, residual_block, resize_convolution and rgb_convolution, each
    of which makes features of features, and has its variables under the name that it is given.
    """
    x = layers.normalized_convolution(x, 32, 9, name="conv1")
    x = layers.normalized_convolution(x, 64, 3, 2, name="conv2")
    x = layers.normalized_convolution(x, 128, 3, 2, name="conv3")
    for block in range(1, 6):
        x = layers.residual_block(x, 128, name=f"residual{block}")
    x = layers.resize_convolution(x, 64, name="upsample1")
    x = layers.resize_convolution(x, 32, name="upsample2")
    return layers.rgb_convolution(x, 9, name="conv_out")
