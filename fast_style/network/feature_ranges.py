"""The ranges of a network's features, from its weights alone, for arithmetic in 8 bits.

Nagel et al. 2019 (Data-Free Quantization, arXiv 1906.04721, sections 4.2 and 5) take them from the
parameters of batch normalization, and need no pictures. Instance normalization suits this better:
in every picture, a channel has the mean and the deviation of its parameters, unless it is nearly
constant. That does not bound the features: in a picture of flat colour with a few small bright
parts, these are 20 deviations away and more.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from fast_style.network.architecture import Architecture, array_of

# Features that are farther from their mean are clipped. Photos by candy, candy_fast and live change
# least with 8: with 6 more is clipped, and with 10 and 12 the steps are coarser. Flat graphics
# would change less with 14, and smooth skies more.
DEVIATIONS = 8.0
SMALLEST = 1e-3  # a range that is not 0, for a channel that is 0 everywhere


class Range(NamedTuple):
    """Features from `low` to `high`, each (C,) float32."""

    low: np.ndarray
    high: np.ndarray


class Spread(NamedTuple):
    """The mean and the variance of each channel, (C,). positive: a ReLU follows them."""

    mean: np.ndarray
    variance: np.ndarray
    positive: bool

    @property
    def range(self) -> Range:
        reach = DEVIATIONS * np.sqrt(self.variance)
        high = np.maximum(self.mean + reach, SMALLEST)
        if self.positive:
            return Range(0 * high, high)
        farthest = np.maximum(high, reach - self.mean)
        return Range(-farthest, farthest)


def feature_ranges(
    arrays: Mapping[str, np.ndarray], architecture: Architecture
) -> Mapping[str, Range]:
    """Returns the ranges of what each convolution but the first multiplies, by its name.

    arrays: of one style and of that architecture, as in model.Model. The first convolution is left
    out: its few weights see the pixels, and 8 bits would change the picture most there.
    Raises UserError if the arrays are of another network.
    """
    layers = _Spreads(arrays)
    architecture.transformed(None, layers)
    return layers.ranges


class _Spreads:
    """The layers of Architecture.transformed, on the Spread of the features."""

    def __init__(self, arrays: Mapping[str, np.ndarray]):
        self.arrays = arrays
        self.ranges: dict[str, Range] = {}

    def normalized_convolution(
        self, x: Spread | None, filters: int, kernel: int, stride: int = 1, *, name: str
    ) -> Spread:
        self._convolve(x, name)
        return self._normalized(name, filters, positive=True)

    def residual_block(self, x: Spread, filters: int, *, name: str) -> Spread:
        self._convolve(x, f"{name}_conv1")
        between = self._normalized(f"{name}_conv1", filters, positive=True)
        self._convolve(between, f"{name}_conv2")
        y = self._normalized(f"{name}_conv2", filters, positive=False)
        # As if they were independent, and the ReLU before the first block changed neither.
        return Spread(x.mean + y.mean, x.variance + y.variance, positive=False)

    def resize_convolution(self, x: Spread, filters: int, doubling: str, *, name: str) -> Spread:
        self._convolve(x, name)
        return self._normalized(name, filters, positive=True)

    def rgb_convolution(self, x: Spread, kernel: int, *, name: str) -> None:
        self._convolve(x, name)

    def rgb_resize_convolution(self, x: Spread, doubling: str, *, name: str) -> None:
        self._convolve(x, name)

    def _convolve(self, x: Spread | None, name: str) -> None:
        if x is not None:
            self.ranges[name] = x.range

    def _normalized(self, name: str, channels: int, positive: bool) -> Spread:
        scale, shift = (
            array_of(self.arrays, f"{name}_norm/{value}", (channels,)).astype(np.float32)
            for value in ("scale", "shift")
        )
        return Spread(shift, scale**2, positive)
