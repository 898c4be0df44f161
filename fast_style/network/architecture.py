"""The layers of the transformer networks, described once for every library that runs them.

`Architecture.transformed` lists the layers. The functions with these names are in
network/layers.py for Keras, network/graph.py for OpenVINO and ONNX, runtimes/streaming.py for a few
rows of a picture at a time, and network/feature_ranges.py for 8 bits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fast_style.errors import UserError

# Pixels mirrored around a picture, and cropped again: a trained network draws a frame within about
# 20 pixels of its edges. Twice the border is a multiple of every architecture's downsampling.
BORDER = 24
EPSILON = 1e-5  # inside the root of instance normalization, so that a constant channel is not NaN

# Adam moves all weights equally far, and the 2,592 weights of one output pixel move together.
# Without this factor, three steps of 1e-3 can move nearly all pixels out of range, where tanh is
# saturated and passes no gradient.
OUTPUT_GAIN = 1 / 16

# The distance of an output from the middle of 0..255 where tanh is 1; 'linear' has no tanh.
OUTPUT_REACH = {"tanh": 127.5, "scaled_tanh": 150.0, "linear": 127.5}

# The interpolation of doubled features. For an even and an odd output pixel, for each input pixel:
# its weight under each of the 3 taps of a convolution.
DOUBLINGS: Mapping[str, np.ndarray] = {
    "nearest": np.array([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]], np.float32),
    "bilinear": np.array(
        [[[3, 1, 0], [1, 3, 3], [0, 0, 1]], [[1, 0, 0], [3, 3, 1], [0, 1, 3]]], np.float32
    )
    / 4,
}
DOUBLED_KERNELS = "atu,bsv,uvio->tsiabo"  # one of DOUBLINGS twice and a 3x3 kernel


def doubled_kernels(kernel: np.ndarray, doubling: str) -> np.ndarray:
    """Converts a kernel for doubled features, (3, 3, in, out), to (k, k, in, 4 * out) before.

    k is 2 for 'nearest' and 3 for 'bilinear'. The outputs are those of even rows and even columns,
    even rows and odd columns, odd rows and even columns, odd rows and odd columns.
    """
    taps = DOUBLINGS[doubling]
    found = np.einsum(DOUBLED_KERNELS, taps, taps, kernel)
    return found.reshape(*found.shape[:3], -1)


@dataclass(frozen=True)
class Architecture:
    """A transformer network: halvings of the picture, residual blocks, and doublings back.

    widths: channels at the size of the picture, at half of it, and so on down to the blocks. 0 at
    the size of the picture: the first convolution halves it, and the last one doubles its features.
    ends: the side of the kernels of the first and the last convolution at the size of the picture.
    doubling: the interpolation, a key of DOUBLINGS. output: how the last layer becomes pixels, a
    key of OUTPUT_REACH.
    """

    name: str
    widths: tuple[int, ...]
    blocks: int = 5
    ends: int = 9
    doubling: str = "nearest"
    output: str = "tanh"

    def has_weights_like(self, other: "Architecture") -> bool:
        """Returns whether both have weights of the same shapes."""
        alike = replace(other, name=self.name, doubling=self.doubling, output=self.output)
        return self == alike

    @property
    def downsampling(self) -> int:
        """The factor by which sides shrink; the sides with border are multiples of it."""
        return 2 ** (len(self.widths) - 1)

    @property
    def channels_per_pixel(self) -> float:
        """The channels of the largest features per pixel of the picture, to estimate memory."""
        return max(width / 4**halvings for halvings, width in enumerate(self.widths))

    def borders(self, side: int) -> tuple[int, int]:
        """Returns the mirrored pixels before and behind `side` rows or columns of a picture."""
        return BORDER, BORDER + -side % self.downsampling

    def pixels_with_border(self, height: int, width: int) -> int:
        """Returns the pixels of a picture with its border."""
        return (height + sum(self.borders(height))) * (width + sum(self.borders(width)))

    def transformed(self, x: Any, layers: Any) -> Any:
        """Returns features of 3 channels from pixels in -1..1.

        layers: has normalized_convolution, residual_block, resize_convolution, rgb_convolution and
        rgb_resize_convolution. Each takes and returns features; `name` identifies its variables.
        """
        whole, *smaller = self.widths
        if whole:
            x = layers.normalized_convolution(x, whole, self.ends, name="conv1")
        for number, width in enumerate(smaller, start=2):
            x = layers.normalized_convolution(x, width, 3, 2, name=f"conv{number}")
        for number in range(1, self.blocks + 1):
            x = layers.residual_block(x, self.widths[-1], name=f"residual{number}")
        larger = [width for width in self.widths[-2::-1] if width]
        for number, width in enumerate(larger, start=1):
            x = layers.resize_convolution(x, width, self.doubling, name=f"upsample{number}")
        if not whole:
            return layers.rgb_resize_convolution(x, self.doubling, name="conv_out")
        return layers.rgb_convolution(x, self.ends, name="conv_out")


# Table 1 of Johnson et al.'s supplement.
PAPER = Architecture("paper", (32, 64, 128))
# Not in the paper: contours without steps of 4 pixels, at 115% of the arithmetic.
SMOOTH = Architecture("smooth", (32, 64, 128), doubling="bilinear")
# Not in the paper: at two fifths of the arithmetic of SMOOTH, to be distilled from one of these.
MEDIUM = Architecture("medium", (16, 48, 96, 128), doubling="bilinear")
# Not in the paper: for live pictures, at a twelfth of the arithmetic. conf/live.yml distils it.
# Convolutions of few channels at the size of the picture would take half of its time.
SMALL = Architecture("small", (0, 24, 48, 64), doubling="bilinear")

ARCHITECTURES: Mapping[str, Architecture] = {
    each.name: each for each in (PAPER, SMOOTH, MEDIUM, SMALL)
}


def array_of(arrays: Mapping[str, np.ndarray], path: str, shape: tuple[int, ...]) -> np.ndarray:
    """Returns an array of a network, such as 'conv1/kernel'. arrays: as in model.Model.

    Raises UserError if it is missing or has another shape.
    """
    array = arrays.get(f"network/{path}")
    if array is None or array.shape != shape:
        found = "is missing" if array is None else f"has shape {array.shape}"
        raise UserError(
            f"{path} of shape {shape} is needed, but {found}; the file is of another network"
        )
    return array


def architecture_of(network: str, output: str) -> Architecture:
    """Returns the architecture for a conf's keys `network` and `output`."""
    return replace(ARCHITECTURES[network], output=output)
