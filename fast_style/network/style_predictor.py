"""Predicts the scales and shifts of a style from the statistics of its image.

Ghiasi et al. 2017 ("Exploring the structure of a real-time, arbitrary neural artistic stylization
network", section 2.2). Deviation: instead of a second convolutional network, the predictor reads
the means and variances of the loss network's features, which the objective needs anyway.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from fast_style.errors import UserError
from fast_style.network.style_mix import is_norm

PREDICTOR = "predictor/"  # begins the names of its arrays
LAYER = "relu"  # begins the names of the statistics of layers
HIDDEN = 256  # features of each hidden layer
# The part of a norm's scale that one unit of the last layer is. With it, a step of Adam moves a
# predicted norm about 5 times as far as one that is trained for a single style.
OUTPUT_GAIN = 0.4
SMALLEST = 1e-2  # added to means and variances before their logarithm

Statistics = Mapping[str, tuple[Any, ...]]


def features(statistics: Statistics, xp: Any) -> Any:
    """Returns (1, F): the logarithms of means and standard deviations in all layers.

    statistics: as PerceptualLoss.style_targets returns them, with `mean_covariance`; those without
    two arrays are ignored. xp: numpy or keras.ops.
    """
    logarithms = []
    for name in sorted(statistics):
        if name.startswith(LAYER):
            mean, covariance = statistics[name]
            variance = xp.diagonal(covariance, axis1=1, axis2=2) * mean.shape[-1]
            logarithms += [xp.log(mean + SMALLEST), xp.log(variance + SMALLEST) / 2]
    return xp.concatenate(logarithms, axis=-1)


def initial_arrays(norms: Mapping[str, int], seen: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Returns the arrays of a predictor that predicts the network's own norms for every style.

    norms: the channels of each scale and shift, by path. seen: (N, F) features of style images,
    whose mean and deviation over the images centre and scale the input.
    """
    random = np.random.default_rng(seed)
    sides = (seen.shape[1], HIDDEN, HIDDEN)
    arrays = {"centre": seen.mean(0), "deviation": seen.std(0) + 0.1}
    for number, (inputs, outputs) in enumerate(itertools.pairwise(sides), start=1):
        arrays[f"hidden{number}"] = random.standard_normal((inputs, outputs))
        arrays[f"bias{number}"] = np.zeros(outputs)
    arrays["norms"] = np.zeros((HIDDEN, sum(norms.values())))
    return {PREDICTOR + name: array.astype(np.float32) for name, array in arrays.items()}


def check_arrays(arrays: Mapping[str, np.ndarray], source: object) -> None:
    """Raises UserError, naming the file `source`, if no predictor has arrays of these shapes."""
    norms = sum(arrays[path].size for path in norm_paths(arrays))
    seen = arrays[f"{PREDICTOR}centre"].size if f"{PREDICTOR}centre" in arrays else 0
    shapes = {
        **{"centre": (seen,), "deviation": (seen,), "norms": (HIDDEN, norms)},
        **{"hidden1": (seen, HIDDEN), "hidden2": (HIDDEN, HIDDEN)},
        **{"bias1": (HIDDEN,), "bias2": (HIDDEN,)},
    }
    wanted = {PREDICTOR + name: shape for name, shape in shapes.items()}
    wanted |= {path: (arrays[path].size,) for path in norm_paths(arrays)}
    for path, shape in wanted.items():
        array = arrays.get(path)
        if array is None or array.shape != shape:
            found = "is missing" if array is None else f"has shape {array.shape}"
            raise UserError(
                f"{source}: {path} of shape {shape} is needed, but {found}; the file is of another "
                "network"
            )


def check_reads(arrays: Mapping[str, np.ndarray], statistics: Statistics, source: object) -> None:
    """Raises UserError, naming the model `source`, for statistics that it was not trained on."""
    of_layers = {name: of for name, of in statistics.items() if name.startswith(LAYER)}
    found = [2 * of[0].shape[-1] if len(of) == 2 else 0 for of in of_layers.values()]
    if not all(found) or sum(found) != arrays[f"{PREDICTOR}centre"].size:
        raise UserError(
            f"{source}: predicts from the mean_covariance of other style_layers than "
            f"{', '.join(of_layers)}"
        )


def predicted_norms(arrays: Mapping[str, Any], statistics: Statistics, xp: Any) -> dict[str, Any]:
    """Returns every scale and shift of the style with these statistics, by path.

    arrays: those of the network and of its predictor, by path. xp: numpy or keras.ops.

    Layers divide by the root of their inputs instead of beginning with small weights (Karras et al.
    2018, section 4.1), so that Adam, which moves all weights equally far, suits wide layers too.
    """

    def layer(x: Any, name: str) -> Any:
        return xp.matmul(x, arrays[PREDICTOR + name]) / np.float32(np.sqrt(x.shape[-1]))

    x = features(statistics, xp) - arrays[f"{PREDICTOR}centre"]
    x = x / arrays[f"{PREDICTOR}deviation"]
    for number in (1, 2):
        x = layer(x, f"hidden{number}") + arrays[f"{PREDICTOR}bias{number}"]
        x = xp.maximum(x, 0.2 * x)
    x = OUTPUT_GAIN * layer(x, "norms")[0]
    found, first = {}, 0
    for path in norm_paths(arrays):
        own = arrays[path]
        found[path] = own + x[first : first + own.shape[0]]
        first += own.shape[0]
    return found


def norm_paths(paths: Iterable[str]) -> Sequence[str]:
    """Returns the paths of scales and shifts in the order in which they are predicted."""
    return sorted(path for path in paths if is_norm(path))
