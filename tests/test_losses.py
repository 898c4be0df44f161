"""The terms of the objective against plain NumPy loops, and by their properties."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from fast_style.loss.losses import (
    content_loss,
    detail,
    gram_matrix,
    grid_loss,
    halved,
    mean_and_covariance,
    out_of_range_loss,
    patch_directions,
    quantiles,
    sliced_values,
    sliced_wasserstein_loss,
    style_loss,
    style_statistics,
    temporal_loss,
    total_variation_loss,
)

SHAPE = (3, 4, 5, 6)  # pictures, height, width, channels
KINDS = ("gram", "mean_covariance")
NORMALIZATIONS = ("published", "relative")


def features(seed: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Like those of a ReLU network: none below 0, about half of them 0."""
    return np.maximum(np.random.default_rng(seed).normal(0.2, 1, shape), 0).astype(np.float32)


def looped_gram(picture: np.ndarray) -> np.ndarray:
    height, width, channels = picture.shape
    gram = np.zeros((channels, channels))
    for i in range(channels):
        for j in range(channels):
            for y in range(height):
                for x in range(width):
                    gram[i, j] += float(picture[y, x, i]) * float(picture[y, x, j])
    return gram / (height * width * channels)


def looped_mean(picture: np.ndarray) -> np.ndarray:
    height, width, channels = picture.shape
    mean = np.zeros(channels)
    for y in range(height):
        for x in range(width):
            mean += picture[y, x]
    return mean / (height * width)


def looped_statistics(picture: np.ndarray, kind: str) -> list[np.ndarray]:
    if kind == "gram":
        return [looped_gram(picture)]
    mean = looped_mean(picture)
    return [mean, looped_gram(picture - mean)]


def test_gram_matrix_is_that_of_the_loops() -> None:
    pictures = features(0)
    gram = np.asarray(gram_matrix(pictures))
    assert gram.shape == (3, 6, 6) and gram.dtype == np.float32
    np.testing.assert_allclose(gram, [looped_gram(p) for p in pictures], rtol=1e-5)


def test_mean_and_covariance_are_those_of_the_loops_and_of_numpy() -> None:
    pictures = features(1)
    mean, covariance = (np.asarray(s) for s in mean_and_covariance(pictures))
    assert mean.shape == (3, 6) and covariance.shape == (3, 6, 6)
    np.testing.assert_allclose(mean, [looped_mean(p) for p in pictures], rtol=1e-5)
    for picture, found in zip(pictures, covariance, strict=True):
        expected = np.cov(picture.reshape(-1, 6).T, bias=True) / 6
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_the_gram_is_the_covariance_and_the_outer_product_of_the_means() -> None:
    pictures = features(2)
    mean, covariance = (np.asarray(s) for s in mean_and_covariance(pictures))
    outer = mean[:, :, None] * mean[:, None, :] / 6
    np.testing.assert_allclose(gram_matrix(pictures), covariance + outer, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_of_a_style_loss_is_that_of_small_steps(kind: str) -> None:
    target = [np.asarray(each) for each in style_statistics(features(5), kind)]

    def loss(pictures):
        found = style_statistics(pictures, kind)
        return sum(tf.reduce_sum((a - b) ** 2) for a, b in zip(found, target, strict=True))

    pictures, direction = features(4), features(6)
    variable = tf.constant(pictures)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        value = loss(variable)
    slope = np.sum(tape.gradient(value, variable) * direction)
    step = 1e-3
    ahead, behind = (float(loss(pictures + sign * step * direction)) for sign in (1, -1))
    assert slope == pytest.approx((ahead - behind) / (2 * step), rel=1e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_style_statistics_forget_where_things_are(kind: str) -> None:
    pictures = features(3)
    positions = pictures.reshape(3, 20, 6)
    permuted = positions[:, np.random.default_rng(0).permutation(20)].reshape(SHAPE)
    assert not np.array_equal(pictures, permuted)
    for one, other in zip(
        style_statistics(pictures, kind), style_statistics(permuted, kind), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_content_loss_is_that_of_the_loops(normalization: str) -> None:
    stylized, content = features(4), features(5)
    by_picture = []
    for one, other in zip(stylized, content, strict=True):
        squares = sum(float(a - b) ** 2 for a, b in zip(one.ravel(), other.ravel(), strict=True))
        size = sum(float(b) ** 2 for b in other.ravel())
        by_picture.append(squares / (other.size if normalization == "published" else size))
    found = float(content_loss(stylized, content, normalization))
    assert found == pytest.approx(np.mean(by_picture), rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_style_loss_is_that_of_the_loops(kind: str, normalization: str) -> None:
    stylized, style = features(6), features(7, (1, 7, 3, 6))
    targets = looped_statistics(style[0], kind)
    expected = 0.0
    for picture in stylized:
        for statistic, target in zip(looped_statistics(picture, kind), targets, strict=True):
            by = np.sum(target**2) if normalization == "relative" else 4 * 5 * 6
            expected += np.sum((statistic - target) ** 2) / by / len(stylized)
    found = style_loss(
        style_statistics(stylized, kind), style_statistics(style, kind), (4, 5, 6), normalization
    )
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_total_variation_is_that_of_the_loops() -> None:
    images = np.random.default_rng(8).uniform(0, 255, (2, 4, 5, 3)).astype(np.float32)
    across = [
        float(images[n, y, x + 1, c] - images[n, y, x, c]) ** 2
        for n in range(2)
        for y in range(4)
        for x in range(4)
        for c in range(3)
    ]
    down = [
        float(images[n, y + 1, x, c] - images[n, y, x, c]) ** 2
        for n in range(2)
        for y in range(3)
        for x in range(5)
        for c in range(3)
    ]
    expected = np.mean(across) / 2 + np.mean(down) / 2
    assert float(total_variation_loss(images)) == pytest.approx(expected, rel=1e-5)


def test_total_variation_of_a_ramp_and_of_flat_pictures() -> None:
    ramp = np.tile(np.arange(0, 30, 3, dtype=np.float32)[None, None, :, None], (1, 4, 1, 3))
    assert float(total_variation_loss(ramp)) == 4.5
    assert float(total_variation_loss(np.full((2, 4, 4, 3), 77.0, np.float32))) == 0


def test_out_of_range_counts_only_what_is_outside() -> None:
    images = np.full((1, 2, 2, 3), 128.0, np.float32)
    images[0, 0, 0] = [-3.0, 0.0, 255.0]
    images[0, 1, 1] = [259.0, 255.5, 1.0]
    assert float(out_of_range_loss(images)) == pytest.approx((9 + 16 + 0.25) / 12)
    assert float(out_of_range_loss(np.clip(images, 0, 255))) == 0


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_equal_pictures_give_zero(normalization: str) -> None:
    pictures = features(9)
    assert float(content_loss(pictures, pictures, normalization)) == 0
    for kind in KINDS:
        statistics = style_statistics(pictures[:1], kind)
        assert float(style_loss(statistics, statistics, (4, 5, 6), normalization)) == 0


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_the_mean_over_a_batch_does_not_depend_on_its_order_or_on_copies(
    normalization: str,
) -> None:
    stylized, content, style = features(10), features(11), features(12, (1, 4, 5, 6))

    def both(order: list[int]) -> list[float]:
        return [
            float(content_loss(stylized[order], content[order], normalization)),
            *(
                float(
                    style_loss(
                        style_statistics(stylized[order], kind),
                        style_statistics(style, kind),
                        (4, 5, 6),
                        normalization,
                    )
                )
                for kind in KINDS
            ),
        ]

    expected = both([0, 1, 2])
    assert both([2, 0, 1]) == pytest.approx(expected, rel=1e-5)
    assert both([0, 1, 2, 0, 1, 2]) == pytest.approx(expected, rel=1e-5)
    alone = np.mean([both([0]), both([1]), both([2])], axis=0)
    assert list(alone) == pytest.approx(expected, rel=1e-5)


def test_relative_terms_do_not_depend_on_how_large_the_activations_are() -> None:
    stylized, content, style = features(13), features(14), features(15, (1, 4, 5, 6))

    def both(scale: float) -> tuple[float, float]:
        return (
            float(content_loss(scale * stylized, scale * content, "relative")),
            float(
                style_loss(
                    style_statistics(scale * stylized, "mean_covariance"),
                    style_statistics(scale * style, "mean_covariance"),
                    (4, 5, 6),
                    "relative",
                )
            ),
        )

    assert both(8.0) == pytest.approx(both(1.0), rel=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_features_are_summed_in_float32(dtype: str) -> None:
    from keras import ops

    # 200² * 4096 positions is 1.6e8, where float16 ends at 65,504 and bfloat16 has 8 bits.
    wide = np.full((2, 64, 64, 4), 200.0, np.float32)
    narrow = ops.cast(wide, dtype)
    gram = np.asarray(gram_matrix(narrow))
    assert gram.dtype == np.float32
    np.testing.assert_allclose(gram, np.full((2, 4, 4), 1e4), rtol=1e-6)
    mean, covariance = (np.asarray(s) for s in mean_and_covariance(narrow))
    np.testing.assert_allclose(mean, np.full((2, 4), 200.0), rtol=1e-6)
    np.testing.assert_allclose(covariance, np.zeros((2, 4, 4)), atol=1e-3)
    zero = ops.zeros_like(narrow)
    losses = (
        content_loss(zero, narrow),
        content_loss(zero, narrow, "relative"),
        style_loss((gram,), (gram[:1] / 2,), (64, 64, 4), "published"),
        total_variation_loss(narrow),
        out_of_range_loss(narrow),
    )
    expected = (4e4, 1.0, 16 * 5e3**2 / (64 * 64 * 4), 0.0, 0.0)
    for loss, value in zip(losses, expected, strict=True):
        assert np.asarray(loss).dtype == np.float32
        assert float(loss) == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize(
    ("period", "height", "width", "block"),
    [(4, 130, 70, 64), (4, 30, 41, 28), (4, 4, 9, 4), (8, 130, 70, 64), (8, 31, 41, 24)],
)
def test_the_grid_loss_is_that_of_the_loops(
    period: int, height: int, width: int, block: int
) -> None:
    phases = list(itertools.product(range(period), range(period)))
    images = np.random.default_rng(9).uniform(0, 255, (2, height, width, 3)).astype(np.float32)
    squares = []
    for y in range(0, height - block + 1, block):
        for x in range(0, width - block + 1, block):
            part = images[:, y : y + block, x : x + block].astype(np.float64)
            means = np.array([part[:, i::period, j::period].mean(axis=(1, 2)) for i, j in phases])
            squares.append((means - means.mean(axis=0)) ** 2)
    assert float(grid_loss(images, period)) == pytest.approx(np.mean(squares), rel=1e-3)


@pytest.mark.parametrize(("period", "seen"), [(4, {2, 4}), (8, {2, 4, 8})])
@pytest.mark.parametrize("wavelength", [2, 3, 4, 8, 16])
def test_the_grid_loss_sees_what_repeats_with_the_grid(
    period: int, seen: set[int], wavelength: int
) -> None:
    wave = np.where(np.arange(48) % wavelength < wavelength / 2, 5.0, -5.0)
    wave -= wave.mean()
    images = 100.0 + np.tile(wave[None, None, :, None], (1, 48, 1, 3)).astype(np.float32)
    expected = 25.0 if wavelength in seen else 0.0
    assert float(grid_loss(images, period)) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("shift", [(0, 0), (2, 0), (1, 3)])
def test_the_temporal_loss_is_that_of_the_loops(shift: tuple[int, int]) -> None:
    stylized = features(8, (2, 7, 9, 3))
    moved = features(9, (2, 5, 6, 3))
    squares = [
        (float(moved[n, y, x, c]) - float(stylized[n, y + shift[0], x + shift[1], c])) ** 2
        for n, y, x, c in np.ndindex(moved.shape)
    ]
    found = temporal_loss(stylized, moved, np.array(shift, np.int32))
    assert float(found) == pytest.approx(np.mean(squares), rel=1e-5)


def test_a_picture_that_only_moves_has_no_temporal_loss() -> None:
    stylized = features(10, (1, 12, 12, 3))
    moved = stylized[:, 3:11, 1:9]
    assert float(temporal_loss(stylized, moved, np.array([3, 1], np.int32))) == 0
    assert float(temporal_loss(stylized, moved + 2, np.array([3, 1], np.int32))) == pytest.approx(4)
    assert float(temporal_loss(stylized, moved, np.array([1, 3], np.int32))) > 0.1


@pytest.mark.parametrize(("height", "width"), [(8, 12), (7, 9), (2, 3)])
def test_a_halved_picture_is_numpys_blur_at_every_second_pixel(height: int, width: int) -> None:
    images = np.random.default_rng(0).uniform(0, 255, (2, height, width, 3)).astype(np.float32)
    found = np.asarray(halved(images))
    assert found.shape == (2, -(-height // 2), -(-width // 2), 3)
    tap = np.array([1, 3, 3, 1]) / 8
    padded = np.pad(images, ((0, 0), (1, 2), (1, 2), (0, 0)), mode="symmetric")
    for y in range(found.shape[1]):
        for x in range(found.shape[2]):
            window = padded[:, 2 * y : 2 * y + 4, 2 * x : 2 * x + 4]
            expected = np.einsum("nijc,i,j->nc", window, tap, tap)
            np.testing.assert_allclose(found[:, y, x], expected, rtol=1e-4)


def test_detail_is_what_a_blur_takes_away() -> None:
    flat = np.full((1, 9, 8, 3), 77, np.float32)
    np.testing.assert_allclose(detail(flat), 0, atol=1e-3)
    ramp = np.repeat(np.broadcast_to(np.arange(16.0), (1, 12, 16))[..., None], 3, 3)
    np.testing.assert_allclose(np.asarray(detail(ramp))[:, :, 2:-2], 0, atol=1e-4)
    checks = np.indices((1, 12, 16, 3)).sum(0) % 2 * 2.0 - 1
    checks[..., 1] = checks[..., 0]
    np.testing.assert_allclose(np.asarray(detail(checks)), checks, atol=1e-5)


def test_quantiles_are_numpys() -> None:
    values = np.sort(np.random.default_rng(1).normal(0, 1, (2, 3, 50)).astype(np.float32), -1)
    for count in (10, 50, 170):
        places = (np.arange(count) + 0.5) / count
        expected = np.quantile(values, places, axis=-1, method="hazen")
        found = np.moveaxis(np.asarray(quantiles(values, count)), -1, 0)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_directions_are_unit_vectors_that_depend_on_the_seed() -> None:
    directions = patch_directions(7, 3)
    np.testing.assert_allclose(np.square(directions).sum((0, 1, 2)), 1, rtol=1e-5)
    np.testing.assert_array_equal(directions, patch_directions(7, 3))
    assert np.abs(directions - patch_directions(7, 4)).max() > 0.1


def test_patches_of_stripes_are_far_from_those_of_grain_of_the_same_strength() -> None:
    """As random directions cannot tell, which add up all wavelengths."""
    random = np.random.default_rng(0)
    grain = random.normal(0, 10, (2, 64, 64, 1)).repeat(3, axis=3).astype(np.float32)
    across = np.arange(64) * 2 * np.pi * 2 / 7
    stripes = np.broadcast_to(10 * np.sqrt(2) * np.cos(across)[None, None, :, None], (1, 64, 64, 3))

    def distance(images: np.ndarray, style: np.ndarray) -> float:
        directions = patch_directions(7, 0)
        target = quantiles(sliced_values(style, directions), 512)
        return float(sliced_wasserstein_loss(sliced_values(images, directions), target))

    assert distance(grain[:1], grain[1:]) < 0.01
    assert distance(stripes.astype(np.float32), grain[1:]) > 0.5


def test_sliced_wasserstein_is_zero_for_a_shuffled_picture_and_one_for_a_flat_one() -> None:
    random = np.random.default_rng(2)
    images = random.uniform(0, 255, (1, 20, 20, 3)).astype(np.float32)
    shuffled = random.permutation(images.reshape(-1, 3)).reshape(images.shape)
    directions = patch_directions(1, 0)
    target = quantiles(sliced_values(images, directions), 400)
    same = sliced_wasserstein_loss(sliced_values(shuffled, directions), target)
    np.testing.assert_allclose(same, 0, atol=1e-5)
    flat = np.broadcast_to(images.mean((1, 2), keepdims=True), images.shape)
    np.testing.assert_allclose(
        sliced_wasserstein_loss(sliced_values(flat, directions), target), 1, rtol=1e-3
    )


def test_sliced_wasserstein_of_a_brighter_picture_is_its_shift_over_the_variance() -> None:
    images = np.random.default_rng(3).uniform(0, 255, (1, 20, 20, 3)).astype(np.float32)
    directions = patch_directions(1, 0)
    values = np.asarray(sliced_values(images, directions), np.float64)
    found = sliced_wasserstein_loss(
        sliced_values(images + 20, directions), quantiles(sliced_values(images, directions), 400)
    )
    shifts = 20 * directions.sum((0, 1, 2), dtype=np.float64)
    np.testing.assert_allclose(found, np.mean(shifts**2) / values.var(axis=-1).mean(), rtol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_balanced_style_loss_is_bounded_and_that_of_the_loops(kind: str) -> None:
    stylized, style = features(6), features(7, (1, 7, 3, 6))
    target = style_statistics(style, kind)
    for factor in (1.0, 1e-3, 1e3):  # of the stylized pictures, or of another style
        statistics = style_statistics(stylized * np.float32(factor), kind)
        expected = 0.0
        for found, wanted in zip(statistics, target, strict=True):
            found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
            distance = sum(np.sum((one - wanted[0]) ** 2) for one in found)
            mean_size = np.mean([np.sum(one**2) for one in found])
            expected += distance / len(found) / (np.sum(wanted**2) + mean_size)
        loss = float(style_loss(statistics, target, (4, 5, 6), "balanced"))
        assert loss == pytest.approx(expected, rel=1e-4)
        assert loss <= 2 * len(target)


def test_the_gradient_of_the_balanced_loss_leaves_out_the_divisor() -> None:
    statistic, target = np.float32([[3.0, 1.0]]), np.float32([[1.0, 2.0]])
    variable = tf.Variable(statistic)
    with tf.GradientTape() as tape:
        loss = style_loss((variable,), (target,), (1, 1, 2), "balanced")
    found = tape.gradient(loss, variable)
    np.testing.assert_allclose(found, 2 * (statistic - target) / (10 + 5), rtol=1e-6)


def test_balanced_sliced_wasserstein_divides_by_both_variances() -> None:
    random = np.random.default_rng(4)
    values = np.sort(random.normal(0, 3, (2, 5, 40)), axis=-1).astype(np.float32)
    target = np.sort(random.normal(1, 7, (1, 5, 40)), axis=-1).astype(np.float32)
    wanted = np.mean((values - target) ** 2) / (
        np.mean(values.var(axis=-1)) + np.mean(target.var(axis=-1))
    )
    assert float(sliced_wasserstein_loss(values, target, balanced=True)) == pytest.approx(
        float(wanted), rel=1e-4
    )
