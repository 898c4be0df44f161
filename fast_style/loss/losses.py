"""The terms of the objective of Johnson et al. (2016), each a mean over the pictures of a batch.

All statistics and sums are float32, whatever the dtype of the features: sums over a feature map
overflow float16 and lose their small parts in bfloat16.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from keras import ops

Tensor: TypeAlias = Any  # of whichever backend Keras runs on

GRID_BLOCK = 64

# Sliced Wasserstein terms. Strides are odd, so that no phase of the upsampling grid is favoured.
SLICES = 32
QUANTILES = 512
PATCH = 7
PATCH_STRIDES = (3, 3, 1, 1)  # of the picture at full, half, quarter and eighth size
PALETTE_HALVINGS = 2


def gram_matrix(features: Tensor) -> Tensor:
    """Channel co-activations divided by H * W * C (Johnson et al. 2016, section 3.2).

    features: (N, H, W, C) of any float dtype. Returns (N, C, C) float32.
    """
    positions, area, channels = _flatten(features)
    return _co_activations(positions) / (area * channels)


def mean_and_covariance(features: Tensor) -> tuple[Tensor, Tensor]:
    """Channel means (N, C), and Gram matrix (N, C, C) of the features less their means, float32.

    The Gram matrix adds up the two, and where activations are dense the outer product of the means
    drowns the rest; matched apart, as in optimal-transport style losses, texture still counts.
    """
    positions, area, channels = _flatten(features)
    mean = ops.mean(positions, axis=1, keepdims=True)
    return ops.squeeze(mean, 1), _co_activations(positions - mean) / (area * channels)


def style_statistics(features: Tensor, kind: str) -> tuple[Tensor, ...]:
    """What the style term compares of a layer's (N, H, W, C) features.

    kind: 'gram', for gram_matrix, or 'mean_covariance', for mean_and_covariance.
    """
    return (gram_matrix(features),) if kind == "gram" else mean_and_covariance(features)


def content_loss(stylized: Tensor, content: Tensor, normalization: str = "published") -> Tensor:
    """Squared distance of two (N, H, W, C) feature maps.

    'published' is its mean over N * H * W * C (Johnson et al. 2016, eq. 2). 'relative' divides
    each picture's distance by the |content|² of that picture instead, so that the weight does not
    depend on how large a loss network's activations are. Per picture, 'half_sum' is half the sum
    of squares (Gatys et al. 2016, eq. 1), 'quarter_mean' their sum over 4 * H * W * C, as a course
    on neural style transfer teaches it.
    """
    content = _float32(content)
    squares = ops.square(_float32(stylized) - content)
    if normalization == "published":
        return ops.mean(squares)
    if normalization == "quarter_mean":
        return ops.mean(squares) / 4
    axes = (1, 2, 3)
    if normalization == "half_sum":
        return ops.mean(ops.sum(squares, axes)) / 2
    return ops.mean(ops.sum(squares, axes) / ops.sum(ops.square(content), axes))


def style_loss(
    statistics: tuple[Tensor, ...],
    targets: tuple[Tensor, ...],
    feature_shape: tuple[int, int, int],
    normalization: str,
) -> Tensor:
    """Squared distance of one layer's style statistics from the style image's.

    statistics: each (N, ...); targets: the style image's, each (1, ...).
    'published' divides by N * H * W * C of the layer's feature map, given as feature_shape, which
    is what the published style weights were tuned for (Johnson et al. 2016, eq. 4 leaves the
    squared Frobenius norm undivided). 'relative' divides by N * |target|² instead. 'gatys' divides
    by 4 * N, which is their 1 / (4 C² (HW)²) (Gatys et al. 2016, eq. 4) for Gram matrices that are
    not divided by H * W * C, as long as both images have the same size; they need not here.
    """
    total: Tensor = 0.0
    for statistic, target in zip(statistics, targets, strict=True):
        distance = ops.sum(ops.square(statistic - target))
        pictures = ops.cast(ops.shape(statistic)[0], "float32")
        if normalization == "relative":
            total += distance / (pictures * ops.sum(ops.square(target)))
        elif normalization == "gatys":
            total += distance / (4 * pictures)
        else:
            height, width, channels = feature_shape
            total += distance / (pictures * float(height * width * channels))
    return total


def halved(images: Tensor) -> Tensor:
    """(N, H, W, C) images at half size, rounding up; H and W are at least 2.

    Blurred by 1-3-3-1 before every second pixel is taken: means of 2 x 2 pixels let through
    frequencies that come back as a grid in the gradient.
    """
    kernel = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64
    channels = images.shape[-1]
    kernel = np.tile(kernel[:, :, None, None], (1, 1, channels, 1)).astype(np.float32)
    _, height, width, _ = ops.shape(images)
    padding = ((0, 0), (1, 1 + height % 2), (1, 1 + width % 2), (0, 0))
    padded = ops.pad(_float32(images), padding, mode="symmetric")
    return ops.depthwise_conv(padded, kernel, strides=2)


def pyramid(images: Tensor, sizes: int) -> list[Tensor]:
    """(N, H, W, C) images at full, half, quarter ... size."""
    found = [images]
    for _ in range(sizes - 1):
        found.append(halved(found[-1]))
    return found


def detail(images: Tensor) -> Tensor:
    """What a 1-4-6-4-1 blur takes from (N, H, W, C) images: about the finest octave."""
    tap = np.array([1, 4, 6, 4, 1]) / 16
    kernel = np.outer(tap, tap)[:, :, None, None].astype(np.float32)
    kernel = np.tile(kernel, (1, 1, images.shape[-1], 1))
    images = _float32(images)
    padded = ops.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    return images - ops.depthwise_conv(padded, kernel)


def patch_directions(size: int, seed: int) -> np.ndarray:
    """(size, size, 3, SLICES) float32: unit vectors in the space of size x size RGB patches.

    First a grey wave of each direction and length that a patch tells apart, then random vectors in
    colour. Along random vectors alone, a pattern of one wavelength looks like grain of all of them.
    Fixed, so that a training is a function of its conf, and a style image's quantiles along them
    are computed once.
    """
    generator = np.random.default_rng((seed, size))
    directions = generator.standard_normal((size, size, 3, SLICES))
    place, most = np.arange(size), size // 2
    waves = [(u, v) for u in range(most + 1) for v in range(-most, most + 1) if u > 0 or v > 0]
    for number, (u, v) in enumerate(waves[:SLICES]):
        angle = 2 * np.pi / size * (u * place[:, None] + v * place)
        directions[..., number] = np.cos(angle + generator.uniform(0, 2 * np.pi))[..., None]
    return (directions / np.sqrt(np.square(directions).sum((0, 1, 2)))).astype(np.float32)


def sliced_values(images: Tensor, directions: np.ndarray, stride: int = 1) -> Tensor:
    """The patches of (N, H, W, 3) images along each direction, sorted: (N, SLICES, positions)."""
    along = ops.conv(_float32(images), directions, strides=stride)
    batch, height, width, _ = ops.shape(along)
    along = ops.transpose(ops.reshape(along, (batch, height * width, SLICES)), (0, 2, 1))
    return ops.sort(along, axis=-1)


def quantiles(values: Tensor, count: int) -> Tensor:
    """`count` evenly spaced quantiles of sorted (..., n) values, between which it interpolates."""
    last = values.shape[-1] - 1
    places = np.clip((np.arange(count) + 0.5) / count * (last + 1) - 0.5, 0, last)
    below = np.floor(places).astype(np.int32)
    part = (places - below).astype(np.float32)
    above = np.minimum(below + 1, last)
    return ops.take(values, below, axis=-1) * (1 - part) + ops.take(values, above, axis=-1) * part


def sliced_wasserstein_loss(values: Tensor, target: Tensor) -> Tensor:
    """Squared 2-Wasserstein distance of sliced values, relative to the target's variance.

    values: (N, SLICES, n) sorted, of stylized images; target: (1, SLICES, QUANTILES), the style
    image's. Rabin et al. (2012) for the sliced distance; Elnekave and Weiss (2022, "Generating
    natural images with direct patch distributions matching") for patches of pixels at several
    sizes. 0 where all distributions agree; about 1 for images of one colour.
    """
    wanted = quantiles(target, values.shape[-1])
    centred = target - ops.mean(target, axis=-1, keepdims=True)
    return ops.mean(ops.square(values - wanted)) / ops.mean(ops.square(centred))


def sliced_target(slices: list[Tensor]) -> tuple[Tensor, ...]:
    """What is kept of a painting's sliced values: for each size (1, SLICES, QUANTILES)."""
    return tuple(quantiles(values, QUANTILES) for values in slices)


def sliced_loss(slices: list[Tensor], target: tuple[Tensor, ...]) -> Tensor:
    """The mean of sliced_wasserstein_loss over the sizes that stylized images and target have.

    A small picture has fewer sizes than the painting.
    """
    pairs = list(zip(slices, target, strict=False))
    return sum(sliced_wasserstein_loss(values, wanted) for values, wanted in pairs) / len(pairs)


def patch_slices(images: Tensor) -> list[Tensor]:
    """Sliced values of the patches of (N, H, W, 3) images, for each size that has any."""
    sizes = pyramid(images, len(PATCH_STRIDES))
    return [
        sliced_values(detail(images), patch_directions(PATCH, seed), stride)
        for seed, (images, stride) in enumerate(zip(sizes, PATCH_STRIDES, strict=True))
        if min(images.shape[1:3]) >= PATCH
    ]


def palette_slices(images: Tensor) -> list[Tensor]:
    """Sliced values of the colours of (N, H, W, 3) images, at a quarter of their size."""
    small = pyramid(images, PALETTE_HALVINGS + 1)[-1]
    return [sliced_values(small, patch_directions(1, seed=0))]


def total_variation_loss(images: Tensor) -> Tensor:
    """½ mean dx² + ½ mean dy² over neighbouring pixels of (N, H, W, C) images.

    Johnson et al. (2016, section 3.2) name total variation without a formula; this is the one of
    the TF1 program whose weights ours keep.
    """
    images = _float32(images)
    dx = images[:, :, 1:] - images[:, :, :-1]
    dy = images[:, 1:] - images[:, :-1]
    return (ops.mean(ops.square(dx)) + ops.mean(ops.square(dy))) / 2


def out_of_range_loss(images: Tensor) -> Tensor:
    """Mean squared distance of (N, H, W, C) pixels from 0..255; not in the paper.

    Keeps an output that may leave the range from doing so: a clipped pixel passes no gradient.
    """
    images = _float32(images)
    return ops.mean(ops.square(images - ops.clip(images, 0.0, 255.0)))


def grid_loss(images: Tensor, period: int) -> Tensor:
    """How much (N, H, W, C) images, `period` pixels a side or more, repeat with an upsampling grid.

    In blocks of up to 64 x 64: the mean over each of the period x period phases of the grid, minus
    the mean of them all, squared; in squared grey levels. Not in the paper. A transformer network
    learns to draw texture from the edges that nearest upsampling leaves, which the loss network
    takes for the style's; the means of a picture without such a pattern are alike, whatever is in
    it. period: what the network upsamples by in all.
    """
    height, width, channels = ops.shape(images)[1:]
    block = min(GRID_BLOCK, height - height % period, width - width % period)
    down, across, cells = height // block, width // block, block // period
    whole_blocks = _float32(images)[:, : down * block, : across * block]
    by_phase = (-1, down, cells, period, across, cells, period, channels)
    phases = ops.mean(ops.reshape(whole_blocks, by_phase), axis=(2, 5))
    return ops.mean(ops.square(phases - ops.mean(phases, axis=(2, 4), keepdims=True)))


def temporal_loss(stylized: Tensor, moved: Tensor, shift: Tensor) -> Tensor:
    """Mean squared difference of two stylized views of a picture where both see it.

    stylized: (N, H, W, C); moved: (N, h, w, C), no larger: the stylized image of the part of the
    same picture that begins at row and column `shift`, (2,) int32, with whatever noise. In squared
    grey levels: 0 where strokes stay on what they were painted on, as they should in a video.
    After the transform invariance of Eilertsen, Mantiuk and Unger (2019, "Single-Frame
    Regularization for Temporally Stable CNNs"), which needs neither videos nor optical flow.
    """
    start = ops.pad(ops.cast(shift, "int32"), (1, 1))
    there = ops.slice(stylized, start, ops.shape(moved))
    return ops.mean(ops.square(_float32(moved) - _float32(there)))


@dataclass(frozen=True)
class Compared:
    """What the terms of a batch are computed from.

    stylized: (N, H, W, 3) RGB 0..255. content, style: scalars, the weighted sums over the layers
    of the loss network. targets: for each term with a `target`, that of the painting. period: of
    the transformer network's upsampling, in pixels. moved: another view of the content images,
    stylized, and its shift, as temporal_loss takes them; None without one.
    """

    stylized: Tensor
    content: Tensor
    style: Tensor
    targets: Mapping[str, tuple[Tensor, ...]]
    period: int
    moved: Tensor = None


@dataclass(frozen=True)
class Term:
    """One term of the objective.

    weight: the key of a conf that weighs it. loss: computes it. target: what it keeps of a
    (1, H, W, 3) painting, for terms that compare more than the loss network's features.
    of_style: its weight follows the conf's style_ramp. always: it is computed, to be logged, where
    its weight is 0 too. moves: it needs `Compared.moved`.
    """

    name: str
    weight: str
    loss: Callable[[Compared], Tensor]
    target: Callable[[Tensor], tuple[Tensor, ...]] | None = None
    of_style: bool = False
    always: bool = False
    moves: bool = False


TERMS = (
    Term("content", "content_weight", lambda of: of.content, always=True),
    Term("style", "style_weight", lambda of: of.style, of_style=True, always=True),
    Term("tv", "tv_weight", lambda of: total_variation_loss(of.stylized), always=True),
    Term(
        "patch",
        "patch_weight",
        lambda of: sliced_loss(patch_slices(of.stylized), of.targets["patch"]),
        target=lambda painting: sliced_target(patch_slices(painting)),
        of_style=True,
    ),
    Term(
        "palette",
        "palette_weight",
        lambda of: sliced_loss(palette_slices(of.stylized), of.targets["palette"]),
        target=lambda painting: sliced_target(palette_slices(painting)),
        of_style=True,
    ),
    Term("range", "range_weight", lambda of: out_of_range_loss(of.stylized)),
    Term("grid", "grid_weight", lambda of: grid_loss(of.stylized, of.period)),
    Term(
        "temporal", "temporal_weight", lambda of: temporal_loss(of.stylized, *of.moved), moves=True
    ),
)
"""Every term of the objective; `total` adds them up."""


def _float32(features: Tensor) -> Tensor:
    return ops.cast(features, "float32")


def _flatten(features: Tensor) -> tuple[Tensor, Tensor, int]:
    batch, height, width, channels = ops.shape(features)
    positions = ops.reshape(_float32(features), (batch, height * width, channels))
    return positions, ops.cast(height * width, "float32"), channels


def _co_activations(positions: Tensor) -> Tensor:
    return ops.matmul(ops.transpose(positions, (0, 2, 1)), positions)
