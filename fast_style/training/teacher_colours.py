"""Gives a taught network the colours of its teacher."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from fast_style.network.architecture import OUTPUT_GAIN, OUTPUT_REACH

LARGEST_TANH = 0.995  # beyond, the inverse of tanh would weigh a few pixels too much
EVERY = 7  # each 7th pixel counts; odd, so that no phase of the upsampling is favoured
PICTURES = 32  # whose colours are compared
LEAST = 1e-4  # of the largest variance: a nearly constant colour is not stretched without bound


def match_colours(
    network: Any, teacher: Callable, pictures: Iterable[np.ndarray], output: str
) -> None:
    """Changes the last layer so that its colours have the mean and the covariance of the teacher's.

    A network that is taught by mean squared differences paints what its teacher paints on average,
    with less contrast and greyer colours. The linear map of 3 channels is that of Pitié and
    Kokaram (2007, "The linear Monge-Kantorovitch linear colour mapping", section 4), of the values
    before tanh. It becomes a part of the kernel and the bias.

    network: a StyledNetwork of one style. teacher: takes and returns pictures. pictures: batches of
    (N, H, W, 3), RGB 0..255. output: a key of OUTPUT_REACH.
    """
    own, taught = [], []
    for batch in pictures:
        batch = np.asarray(batch, np.float32)
        own.append(_before_output(network(batch), output))
        taught.append(_before_output(teacher(batch), output))
    means, covariances = [], []
    for found in (np.concatenate(own), np.concatenate(taught)):
        means.append(found.mean(0))
        covariances.append(np.cov(found.T))
    root, inverse = _power(covariances[0], 0.5), _power(covariances[0], -0.5)
    colours = inverse @ _power(root @ covariances[1] @ root, 0.5) @ inverse

    variables = {variable.path: variable for variable in network.variables}
    kernel, bias = variables["conv_out/kernel"], variables["conv_out/bias"]
    offset = (np.asarray(bias) * OUTPUT_GAIN - means[0]) @ colours + means[1]
    kernel.assign(np.asarray(kernel) @ colours)
    bias.assign(offset / OUTPUT_GAIN)


def _before_output(stylized, output: str) -> np.ndarray:
    """Returns (M, 3) float64: some pixels of stylized pictures, as they are before tanh."""
    pixels = np.asarray(stylized, np.float64).reshape(-1, 3)[::EVERY]
    scaled = (pixels - 127.5) / OUTPUT_REACH[output]
    return scaled if output == "linear" else np.arctanh(scaled.clip(-LARGEST_TANH, LARGEST_TANH))


def _power(symmetric: np.ndarray, exponent: float) -> np.ndarray:
    values, vectors = np.linalg.eigh(symmetric)
    return (vectors * np.maximum(values, LEAST * values.max() + 1e-12) ** exponent) @ vectors.T
