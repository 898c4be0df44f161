"""The terms of the objective of Johnson et al. (2016), each a mean over the pictures of a batch.

All statistics and sums are float32, whatever the dtype of the features: sums over a feature map
overflow float16 and lose their small parts in bfloat16.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from keras import ops

Tensor: TypeAlias = Any  # of the Keras backend

GRID_BLOCK = 64

# Sliced Wasserstein terms. Strides are odd, so that no phase of the upsampling grid is favoured.
SLICES = 32
QUANTILES = 512
PATCH = 7
PATCH_STRIDES = (3, 3, 1, 1)  # of the picture at full, half, quarter and eighth size
PALETTE_HALVINGS = 2


def gram_matrix(features: Tensor) -> Tensor:
    """Returns (N, C, C) float32 Gram matrices, divided by H * W * C, of (N, H, W, C) features.

    Johnson et al. 2016, section 3.2.
    """
    positions, area, channels = _flatten(features)
    return _co_activations(positions) / (area * channels)


def mean_and_covariance(features: Tensor) -> tuple[Tensor, Tensor]:
    """Returns float32 channel means (N, C), and the Gram matrix (N, C, C) of the centred features.

    A plain Gram matrix is the sum of both, and where activations are dense, the means dominate it.
    If they are compared separately, as in optimal-transport style losses, texture still counts.
    """
    positions, area, channels = _flatten(features)
    mean = ops.mean(positions, axis=1, keepdims=True)
    # The sum of the centred features is 0, so their product has no gradient by the mean.
    centred = positions - ops.stop_gradient(mean)
    return ops.squeeze(mean, 1), _co_activations(centred) / (area * channels)


def style_statistics(features: Tensor, kind: str) -> tuple[Tensor, ...]:
    """Returns gram_matrix ('gram') or mean_and_covariance ('mean_covariance') of the features."""
    return (gram_matrix(features),) if kind == "gram" else mean_and_covariance(features)


def content_loss(stylized: Tensor, content: Tensor, normalization: str = "published") -> Tensor:
    """Returns the squared distance of two (N, H, W, C) feature maps.

    normalization: 'published' is the mean over N * H * W * C (Johnson et al. 2016, eq. 2).
    'relative' divides each picture's distance by its |content|², so that the weight does not depend
    on the scale of the loss network's activations. 'half_sum' is half the sum of squares of a
    picture (Gatys et al. 2016, eq. 1), and 'quarter_mean' this sum divided by 4 * H * W * C, as in
    a course on neural style transfer.
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
    """Returns the squared distance of one layer's style statistics from the style image's.

    statistics: each (N, ...). targets: the style image's, each (1, ...). feature_shape: (H, W, C).
    normalization: 'published' divides by N * H * W * C, for which the published style weights were
    tuned (Johnson et al. 2016, eq. 4, do not divide the squared Frobenius norm). 'relative' divides
    by N * |target|². 'balanced' divides by N * (|target|² + |statistic|²), so that no style counts
    more than others in a network for any style; the gradient leaves out the divisor (after Cheng et
    al. 2021, "Style-aware normalized loss for improving arbitrary style transfer"). 'gatys' divides
    by 4 * N; for images of one size this is the 1 / (4 C² (HW)²) of Gatys et al. 2016, eq. 4, whose
    Gram matrices are not divided by H * W * C.
    """
    total: Tensor = 0.0
    for statistic, target in zip(statistics, targets, strict=True):
        distance = ops.sum(ops.square(statistic - target))
        pictures = ops.cast(ops.shape(statistic)[0], "float32")
        if normalization == "relative":
            total += distance / (pictures * ops.sum(ops.square(target)))
        elif normalization == "balanced":
            sizes = ops.sum(ops.square(target)) + ops.sum(ops.square(statistic)) / pictures
            total += distance / (pictures * ops.stop_gradient(sizes))
        elif normalization == "gatys":
            total += distance / (4 * pictures)
        else:
            height, width, channels = feature_shape
            total += distance / (pictures * float(height * width * channels))
    return total


def halved(images: Tensor) -> Tensor:
    """Returns (N, H, W, C) images at half size, rounding up; H and W are at least 2.

    A 1-3-3-1 blur comes first, because means of 2 x 2 pixels keep frequencies that give the
    gradient a grid.
    """
    kernel = _blur_kernel([1, 3, 3, 1], images.shape[-1])
    _, height, width, _ = ops.shape(images)
    padding = ((0, 0), (1, 1 + height % 2), (1, 1 + width % 2), (0, 0))
    padded = ops.pad(_float32(images), padding, mode="symmetric")
    return ops.depthwise_conv(padded, kernel, strides=2)


def pyramid(images: Tensor, sizes: int) -> list[Tensor]:
    """Returns a list of (N, H, W, C) images at full, half, quarter ... size."""
    found = [images]
    for _ in range(sizes - 1):
        found.append(halved(found[-1]))
    return found


def detail(images: Tensor) -> Tensor:
    """Returns (N, H, W, C) images minus their 1-4-6-4-1 blur: about the finest octave."""
    images = _float32(images)
    padded = ops.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    return images - ops.depthwise_conv(padded, _blur_kernel([1, 4, 6, 4, 1], images.shape[-1]))


def _blur_kernel(taps: list[int], channels: int) -> np.ndarray:
    kernel = np.outer(taps, taps) / sum(taps) ** 2
    return np.tile(kernel[:, :, None, None], (1, 1, channels, 1)).astype(np.float32)


def patch_directions(size: int, seed: int) -> np.ndarray:
    """Returns (size, size, 3, SLICES) float32: unit vectors in the space of size x size patches.

    First a grey wave of each direction and length that fits into a patch, then random vectors in
    colour. Along random vectors alone, a pattern of one wavelength looks like grain of all of them.
    Equal arguments give equal vectors, so that a training depends on its conf alone.
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
    """Returns the sorted patches of (N, H, W, 3) images along each direction: (N, SLICES, n).

    directions: as patch_directions returns them.
    """
    along = ops.conv(_float32(images), directions, strides=stride)
    batch, height, width, _ = ops.shape(along)
    along = ops.transpose(ops.reshape(along, (batch, height * width, SLICES)), (0, 2, 1))
    return ops.sort(along, axis=-1)


def quantiles(values: Tensor, count: int) -> Tensor:
    """Returns `count` evenly spaced quantiles of sorted (..., n) values, by interpolation."""
    last = values.shape[-1] - 1
    places = np.clip((np.arange(count) + 0.5) / count * (last + 1) - 0.5, 0, last)
    below = np.floor(places).astype(np.int32)
    part = (places - below).astype(np.float32)
    above = np.minimum(below + 1, last)
    return ops.take(values, below, axis=-1) * (1 - part) + ops.take(values, above, axis=-1) * part


def sliced_wasserstein_loss(values: Tensor, target: Tensor, balanced: bool = False) -> Tensor:
    """Returns the squared 2-Wasserstein distance of sliced values over the target's variance.

    values: (N, SLICES, n), sorted. target: (1, SLICES, QUANTILES). 0 for equal distributions,
    about 1 for images of one colour. balanced: over the sum of both variances, as in style_loss.
    Rabin et al. (2012) for the sliced distance; Elnekave and
    Weiss (2022, "Generating natural images with direct patch distributions matching") for patches
    of pixels at several sizes.
    """
    wanted = quantiles(target, values.shape[-1])
    size = _mean_variance(target)
    if balanced:
        size += ops.stop_gradient(_mean_variance(values))
    return ops.mean(ops.square(values - wanted)) / size


def _mean_variance(values: Tensor) -> Tensor:
    return ops.mean(ops.square(values - ops.mean(values, axis=-1, keepdims=True)))


def sliced_target(slices: list[Tensor]) -> tuple[Tensor, ...]:
    """Returns the quantiles of a painting's sliced values: for each size (1, SLICES, QUANTILES)."""
    return tuple(quantiles(values, QUANTILES) for values in slices)


def sliced_loss(slices: list[Tensor], target: tuple[Tensor, ...], balanced: bool) -> Tensor:
    """Returns the mean of sliced_wasserstein_loss over the sizes that both have."""
    pairs = zip(slices, target, strict=False)  # a small picture has fewer sizes
    losses = [sliced_wasserstein_loss(values, wanted, balanced) for values, wanted in pairs]
    return sum(losses) / len(losses)


def patch_slices(images: Tensor) -> list[Tensor]:
    """Returns sliced values of the patches of (N, H, W, 3) images, for each size with patches."""
    sizes = pyramid(images, len(PATCH_STRIDES))
    return [
        sliced_values(detail(images), patch_directions(PATCH, seed), stride)
        for seed, (images, stride) in enumerate(zip(sizes, PATCH_STRIDES, strict=True))
        if min(images.shape[1:3]) >= PATCH
    ]


def palette_slices(images: Tensor) -> list[Tensor]:
    """Returns sliced values of the colours of (N, H, W, 3) images at a quarter of their size."""
    small = pyramid(images, PALETTE_HALVINGS + 1)[-1]
    return [sliced_values(small, patch_directions(1, seed=0))]


def total_variation_loss(images: Tensor) -> Tensor:
    """Returns ½ mean dx² + ½ mean dy² over neighbouring pixels of (N, H, W, C) images.

    Johnson et al. (2016, section 3.2) give no formula; this one is from the TF1 program whose
    weights we keep.
    """
    images = _float32(images)
    dx = images[:, :, 1:] - images[:, :, :-1]
    dy = images[:, 1:] - images[:, :-1]
    return (ops.mean(ops.square(dx)) + ops.mean(ops.square(dy))) / 2


def out_of_range_loss(images: Tensor) -> Tensor:
    """Returns the mean squared distance of (N, H, W, C) pixels from 0..255; not in the paper.

    Needed for outputs that can leave the range, because a clipped pixel passes no gradient.
    """
    images = _float32(images)
    return ops.mean(ops.square(images - ops.clip(images, 0.0, 255.0)))


def grid_loss(images: Tensor, period: int) -> Tensor:
    """Returns how much (N, H, W, C) images repeat with an upsampling grid; not in the paper.

    In blocks of up to 64 x 64: the mean over each of the period x period phases of the grid, minus
    the mean of all phases, squared; in squared grey levels. period: of the network's upsampling in
    all, at most H and W. A transformer network learns to draw texture from the edges that nearest
    upsampling leaves. Without such a pattern the phases of any picture have nearly equal means.
    """
    height, width, channels = ops.shape(images)[1:]
    block = min(GRID_BLOCK, height - height % period, width - width % period)
    down, across, cells = height // block, width // block, block // period
    whole_blocks = _float32(images)[:, : down * block, : across * block]
    by_phase = (-1, down, cells, period, across, cells, period, channels)
    phases = ops.mean(ops.reshape(whole_blocks, by_phase), axis=(2, 5))
    return ops.mean(ops.square(phases - ops.mean(phases, axis=(2, 4), keepdims=True)))


def temporal_loss(stylized: Tensor, moved: Tensor, shift: Tensor) -> Tensor:
    """Returns the mean squared difference of two stylized views of a picture, where they overlap.

    stylized: (N, H, W, C). moved: (N, h, w, C), no larger: stylized from the part of the picture
    that begins at row and column `shift`, (2,) int32, with noise. In squared grey levels: 0 if the
    strokes move with the picture, as they should in a video. After Eilertsen, Mantiuk and Unger
    (2019, "Single-Frame Regularization for Temporally Stable CNNs").
    """
    start = ops.pad(ops.cast(shift, "int32"), (1, 1))
    there = ops.slice(stylized, start, ops.shape(moved))
    return ops.mean(ops.square(_float32(moved) - _float32(there)))


def teacher_loss(stylized: Tensor, taught: Tensor) -> Tensor:
    """Returns the mean squared difference from what another network makes of the same pictures.

    stylized, taught: (N, H, W, 3), in grey levels. Distillation (Hinton et al. 2015), of pictures
    in place of classes.
    """
    return ops.mean(ops.square(_float32(stylized) - _float32(taught)))


@dataclass(frozen=True)
class Compared:
    """The input of the terms for one batch.

    stylized: (N, H, W, 3) RGB 0..255. content, style: scalars, the weighted sums over the layers
    of the loss network. targets: those of the painting, for each term with a `target`. period: of
    the transformer network's upsampling, in pixels. balanced: as for style_loss. moved: the `moved`
    and `shift` of temporal_loss, or None. taught: that of teacher_loss, or None.
    """

    stylized: Tensor
    content: Tensor
    style: Tensor
    targets: Mapping[str, tuple[Tensor, ...]]
    period: int
    balanced: bool
    moved: Tensor = None
    taught: Tensor = None


@dataclass(frozen=True)
class Term:
    """One term of the objective.

    weight: the conf key of its weight. loss: computes it. target: computes what it compares with
    from a (1, H, W, 3) painting, for terms without the loss network. of_style: its weight follows
    the conf's style_ramp. always: it is computed for the log even if its weight is 0. needs: what
    of Compared it needs; it is left out if that is None.
    """

    name: str
    weight: str
    loss: Callable[[Compared], Tensor]
    target: Callable[[Tensor], tuple[Tensor, ...]] | None = None
    of_style: bool = False
    always: bool = False
    needs: str = "stylized"


def _sliced_term(name: str, slices: Callable[[Tensor], list[Tensor]]) -> Term:
    return Term(
        name,
        f"{name}_weight",
        lambda of: sliced_loss(slices(of.stylized), of.targets[name], of.balanced),
        target=lambda painting: sliced_target(slices(painting)),
        of_style=True,
    )


TERMS = (
    Term("content", "content_weight", lambda of: of.content, always=True),
    Term("style", "style_weight", lambda of: of.style, of_style=True, always=True),
    Term("tv", "tv_weight", lambda of: total_variation_loss(of.stylized), always=True),
    _sliced_term("patch", patch_slices),
    _sliced_term("palette", palette_slices),
    Term("range", "range_weight", lambda of: out_of_range_loss(of.stylized)),
    Term("grid", "grid_weight", lambda of: grid_loss(of.stylized, of.period)),
    Term(
        "temporal",
        "temporal_weight",
        lambda of: temporal_loss(of.stylized, *of.moved),
        needs="moved",
    ),
    Term(
        "teacher", "teacher_weight", lambda of: teacher_loss(of.stylized, of.taught), needs="taught"
    ),
)
"""Every term of the objective; `total` is their weighted sum."""


def _float32(features: Tensor) -> Tensor:
    return ops.cast(features, "float32")


def _flatten(features: Tensor) -> tuple[Tensor, Tensor, int]:
    batch, height, width, channels = ops.shape(features)
    positions = ops.reshape(_float32(features), (batch, height * width, channels))
    return positions, ops.cast(height * width, "float32"), channels


def _co_activations(positions: Tensor) -> Tensor:
    """Returns FᵀF, (N, C, C), of (N, H * W, C) positions F.

    The gradient is right for losses to which both halves of the symmetric matrix matter equally,
    as here: each half then gives the same product, so only one is computed.
    """
    transposed = ops.transpose(ops.stop_gradient(positions), (0, 2, 1))
    product = ops.matmul(transposed, positions)
    return 2 * product - ops.stop_gradient(product)
