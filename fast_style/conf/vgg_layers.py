"""The convolutions of a VGG network, their names, and its pixel mean. Without TensorFlow.

Convolution c of block b is `block{b}_conv{c}` in a network and in a weight file. Its output after
the ReLU is the feature `relu{b}_{c}`.
"""

import functools
import re
from collections.abc import Mapping

from fast_style.errors import UserError, nearest

# Simonyan and Zisserman 2015, table 1, columns D and E; the half is D at half width.
CONVOLUTIONS = {
    "vgg_16": (2, 2, 3, 3, 3),
    "vgg_19": (2, 2, 4, 4, 4),
    "vgg_16_half": (2, 2, 3, 3, 3),
}
WIDTHS = {
    "vgg_16": (64, 128, 256, 512, 512),
    "vgg_19": (64, 128, 256, 512, 512),
    "vgg_16_half": (32, 64, 128, 256, 256),
}
SCALE_NAMES = ("", "_half", "_quarter", "_eighth")  # end the names of layers at smaller sizes
PIXEL_MEAN = (123.68, 116.779, 103.939)  # RGB of 0..255, over ImageNet


@functools.cache
def convolutions(loss_model: str) -> Mapping[str, tuple[int, int]]:
    """Returns input and output channels of every convolution, from the first to the deepest.

    >>> convolutions("vgg_16")["block2_conv1"]
    (64, 128)
    """
    channels = {}
    inputs = 3
    blocks = zip(CONVOLUTIONS[loss_model], WIDTHS[loss_model], strict=True)
    for block, (count, width) in enumerate(blocks, start=1):
        for conv in range(1, count + 1):
            channels[f"block{block}_conv{conv}"] = (inputs, width)
            inputs = width
    return channels


def pixels_between(feature: str) -> int:
    """Returns the distance in pixels of two neighbours of a feature: 4 for `relu3_3`."""
    block = int(feature.removeprefix("relu").split("_")[0])
    return 2 ** (block - 1)


def feature_of(convolution: str) -> str:
    """Returns the feature of a convolution: `relu3_2` for `block3_conv2`."""
    return convolution.replace("block", "relu").replace("conv", "")


def feature_name(name: str, loss_model: str) -> str:
    """Returns the canonical name, such as `relu3_3`, of a layer of `loss_model`.

    `relu3_3`, `conv3_3`, `block3_conv3` and TF-slim's `vgg_16/conv3/conv3_3` are the same tensor,
    after the ReLU. The scope can be that of any VGG, so that a conf can change its `loss_model` and
    keep its layers. Raises UserError, with the nearest layer, for any other name.
    """
    canonical = _spellings(loss_model)
    if name in canonical:
        return canonical[name]
    alike = [known for known in canonical if _letters(known) == _letters(name)]
    valid = alike or list(dict.fromkeys(canonical.values()))
    raise UserError(f"no layer {name!r} in {loss_model}; {nearest(name, valid)}")


@functools.cache
def _spellings(loss_model: str) -> Mapping[str, str]:
    canonical = {}
    for convolution in convolutions(loss_model):
        block, conv = re.findall(r"\d", convolution)
        leaf = f"conv{block}_{conv}"
        scoped = [f"{scope}/conv{block}/{leaf}" for scope in CONVOLUTIONS]
        for spelling in (feature_of(convolution), leaf, convolution, *scoped):
            canonical[spelling] = feature_of(convolution)
    return canonical


def _letters(name: str) -> str:
    return re.sub(r"\d", "", name)
