"""The predictor of network/style_predictor.py as a graph of ONNX operators."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fast_style.conf.config import Config
from fast_style.conf.vgg_layers import convolutions, feature_of
from fast_style.network.graph import AddOperator
from fast_style.network.style_predictor import OUTPUT_GAIN, PREDICTOR, SMALLEST, norm_paths


def norms_of(
    add: AddOperator,
    statistics: Mapping[str, tuple[Any, Any]],
    arrays: Mapping[str, np.ndarray],
    config: Config,
) -> dict[str, Any]:
    """Adds every scale and shift, (C,), by path: style_predictor.predicted_norms.

    statistics: as statistics_of adds them for this conf. arrays: those of the network and of its
    predictor, by path.
    """

    def array(name: str) -> np.ndarray:
        return arrays[PREDICTOR + name].astype(np.float32)

    def layer(x: Any, name: str) -> Any:
        return add("MatMul", x, array(name) / np.sqrt(len(array(name))))

    x = add("Sub", _features(add, statistics, config), array("centre"))
    x = add("Div", x, array("deviation"))
    for number in (1, 2):
        x = add("Add", layer(x, f"hidden{number}"), array(f"bias{number}"))
        x = add("Max", x, add("Mul", x, 0.2))
    x = add("Reshape", add("Mul", layer(x, "norms"), OUTPUT_GAIN), [-1])
    found, first = {}, 0
    for path in norm_paths(arrays):
        own = arrays[path].astype(np.float32)
        moved = add("Slice", x, [first], [first + len(own)], [0])
        found[path] = add("Add", own, moved)
        first += len(own)
    return found


def _features(add: AddOperator, statistics: Mapping[str, tuple[Any, Any]], config: Config) -> Any:
    """Adds style_predictor.features."""
    layers = convolutions(config.loss_model)
    widths = {feature_of(name): width for name, (_, width) in layers.items()}
    logarithms = []
    for name in sorted(statistics):
        mean, covariance = statistics[name]
        width = widths["_".join(name.split("_")[:2])]  # without the name of the scale
        diagonal = np.arange(width) * (width + 1)
        variance = add("Gather", add("Reshape", covariance, [1, -1]), diagonal, axis=1)
        variance = add("Add", add("Mul", variance, float(width)), SMALLEST)
        logarithms += [
            add("Log", add("Add", mean, SMALLEST)),
            add("Mul", add("Log", variance), 0.5),
        ]
    return add("Concat", *logarithms, axis=-1)
