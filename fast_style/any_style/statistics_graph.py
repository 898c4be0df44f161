"""The loss network and its statistics as a graph of ONNX operators.

The same as PerceptualLoss's style_targets for the style layers; loss/ explains the parts.
"""

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from fast_style.conf.config import Config
from fast_style.conf.vgg_layers import PIXEL_MEAN, SCALE_NAMES, feature_of
from fast_style.errors import UserError
from fast_style.loss.vgg_weights import Weights, read_weights
from fast_style.network.graph import FLOAT, AddOperator

POOLINGS = {"avg": "AveragePool", "max": "MaxPool"}
BLUR = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64  # as losses.halved


def statistics_of(
    add: AddOperator, pictures: Any, side: int, config: Config
) -> dict[str, tuple[Any, Any]]:
    """Adds the means and covariances of (1, side, side, 3) uint8 RGB `pictures`, by name.

    Raises UserError if the conf has other statistics, and as read_weights does.
    """
    if config.style_statistics != "mean_covariance":
        raise UserError(
            f"style_statistics: {config.style_statistics}: a network for any style reads "
            "mean_covariance"
        )
    weights = read_weights(config.loss_model, config.loss_weights)
    x = add("Transpose", add("Cast", pictures, to=FLOAT), perm=[0, 3, 1, 2])
    found = {}
    for scale in range(config.style_scales):
        if scale:
            x, side = _halved(add, x, side), (side + 1) // 2
        layers = [name for name, of in config.style_layer_weights.items() if of[scale]]
        border = config.style_border // 2**scale
        for layer, pair in _of_layers(add, x, side, weights, layers, config.pooling, border):
            found[layer + SCALE_NAMES[scale]] = pair
    return found


def _of_layers(
    add: AddOperator,
    x: Any,
    side: int,
    weights: Weights,
    layers: Collection[str],
    pooling: str,
    border: int,
) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Yields layers with their means and covariances. border: pixels that are left out."""
    missing = set(layers)
    x = add("Sub", x, np.array(PIXEL_MEAN, np.float32).reshape(1, 3, 1, 1))
    for name, (kernel, bias) in weights.items():
        if not missing:
            return
        if name.endswith("conv1") and not name.startswith("block1"):
            x = add(POOLINGS[pooling], x, kernel_shape=[2, 2], strides=[2, 2])
            side, border = side // 2, border // 2
        x = add("Pad", x, [0, 0, 1, 1] * 2, mode="constant")
        x = add("Conv", x, kernel.transpose(3, 2, 0, 1), strides=[1, 1])
        x = add("Relu", add("Add", x, bias.reshape(1, -1, 1, 1)))
        layer = feature_of(name)
        if layer in missing:
            missing.remove(layer)
            yield layer, _mean_and_covariance(add, x, side, min(border, (side - 1) // 2))


def _mean_and_covariance(add: AddOperator, x: Any, side: int, border: int) -> tuple[Any, Any]:
    """Adds losses.mean_and_covariance of (1, C, side, side) features inside a border."""
    inside = side - 2 * border
    x = add("Slice", x, [border] * 2, [border + inside] * 2, [2, 3])
    x = add("Reshape", x, [0, 0, -1])  # 0: the same length as before
    mean = add("ReduceMean", x, [2], keepdims=1)
    centred = add("Sub", x, mean)
    products = add("MatMul", centred, add("Transpose", centred, perm=[0, 2, 1]))
    channels = add("Cast", add("Gather", add("Shape", x), 1, axis=0), to=FLOAT)
    covariance = add("Div", products, add("Mul", channels, float(inside**2)))
    return add("Reshape", mean, [0, -1]), covariance


def _halved(add: AddOperator, x: Any, side: int) -> Any:
    kernel = np.einsum("hw,ci->cihw", BLUR, np.eye(3)).astype(np.float32)
    mirrored = np.pad(np.arange(side), (1, 1 + side % 2), mode="symmetric")
    for axis in (2, 3):
        x = add("Gather", x, mirrored, axis=axis)
    return add("Conv", x, kernel, strides=[2, 2])
