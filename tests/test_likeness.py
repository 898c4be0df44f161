"""Strokes, palette and scene: against SciPy, and by what they have to be of known pictures."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import convolve1d
from scipy.stats import wasserstein_distance

from fast_style.errors import UserError
from fast_style.measure import likeness as figures

Photo = Callable[..., np.ndarray]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same figures of smaller pictures, from fewer directions."""
    monkeypatch.setattr(figures, "SHORT_SIDE", 128)
    monkeypatch.setattr(figures, "STROKE_DIRECTIONS", 16)
    monkeypatch.setattr(figures, "PALETTE_DIRECTIONS", 16)


def compared(picture: np.ndarray, photo: np.ndarray, painting: np.ndarray) -> dict:
    return figures.likeness(*map(figures.looks, (picture, photo, painting)))


def unit_vectors(how_many: int, dimensions: int) -> np.ndarray:
    vectors = np.random.default_rng(0).standard_normal((how_many, dimensions))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize(("first", "second"), [(500, 500), (500, 1300)])
def test_the_distance_is_the_mean_of_one_dimensional_ones(first: int, second: int) -> None:
    rng = np.random.default_rng(1)
    one = rng.normal(3, 2, (first, 5)).astype(np.float32)
    other = rng.exponential(4, (second, 5)).astype(np.float32)
    found = figures.distance(*(figures.projected_quantiles(each, 12) for each in (one, other)))
    expected = [wasserstein_distance(one @ v, other @ v) for v in unit_vectors(12, 5)]
    assert found == pytest.approx(np.mean(expected), rel=0.01)


@pytest.mark.parametrize("shape", [(64, 96), (65, 83)])
def test_the_pyramid_is_that_of_its_definition_and_adds_up(
    shape: tuple[int, int], photo: Photo
) -> None:
    pixels = photo(*shape).astype(np.float32)
    levels = figures.laplacian_pyramid(pixels)
    assert len(levels) == 5

    def blurred(image: np.ndarray) -> np.ndarray:
        for axis in (0, 1):
            image = convolve1d(image, np.array([1, 4, 6, 4, 1]) / 16, axis, mode="mirror")
        return image

    def between(image: np.ndarray, like: np.ndarray) -> np.ndarray:
        spread = np.zeros_like(like)
        spread[::2, ::2] = image
        return 4 * blurred(spread)

    below = blurred(pixels)[::2, ::2]
    np.testing.assert_allclose(levels[0], pixels - between(below, pixels), atol=1e-3)
    whole = levels[-1]
    for level in levels[-2::-1]:
        whole = level + between(whole, level)
    np.testing.assert_allclose(whole, pixels, atol=1e-3)


def test_patches_are_those_of_the_level_normalized(photo: Photo) -> None:
    level = photo(20, 24).astype(np.float32)
    found = figures.normalized_patches(level)
    patches = np.array([level[y : y + 7, x : x + 7] for y in range(14) for x in range(18)])
    patches = (patches - patches.mean((0, 1, 2))) / patches.std((0, 1, 2))
    expected = patches.transpose(0, 3, 1, 2).reshape(len(patches), -1)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    level[..., 1] = 77
    assert (figures.normalized_patches(level).reshape(-1, 3, 49)[:, 1] == 0).all()


def test_of_many_patches_a_part_is_taken_the_same_each_time(
    monkeypatch: pytest.MonkeyPatch, photo: Photo
) -> None:
    level = photo(40, 40).astype(np.float32)
    monkeypatch.setattr(figures, "MOST_PATCHES", 100)
    found = figures.normalized_patches(level)
    assert found.shape == (100, 147) and len(np.unique(found, axis=0)) == 100
    assert (found == figures.normalized_patches(level)).all()


def test_the_photo_is_1_and_the_painting_0(photo: Photo) -> None:
    content, painting = photo(128, 160), photo(128, 160, seed=7)
    of_photo = compared(content, content, painting)
    assert of_photo["strokes_by_level"] == [1.0] * 5
    assert (of_photo["strokes"], of_photo["palette"]) == (1, 1)
    assert of_photo["scene"] == pytest.approx(1)
    of_painting = compared(painting, content, painting)
    assert of_painting["strokes_by_level"] == [0.0] * 5 and of_painting["palette"] == 0
    assert of_painting["scene"] < 0.5


def test_figures_fall_from_the_photo_to_the_painting(photo: Photo) -> None:
    content, painting = photo(128, 160), photo(128, 160, seed=7)
    mixtures = [
        np.rint((1 - part) * content + part * painting).astype(np.uint8) for part in (0.5, 0.8, 1)
    ]
    found = [compared(each, content, painting) for each in mixtures]
    palettes, scenes = ([one[name] for one in found] for name in ("palette", "scene"))
    assert palettes == sorted(palettes, reverse=True) and scenes == sorted(scenes, reverse=True)


def test_a_shuffled_painting_has_its_palette_and_not_its_strokes(photo: Photo) -> None:
    content, painting = photo(128, 160), photo(128, 160, seed=7)
    shuffled = np.random.default_rng(0).permutation(painting.reshape(-1, 3)).reshape(128, 160, 3)
    found = compared(shuffled, content, painting)
    assert found["palette"] == 0 and found["strokes"] > 0.5


def test_strokes_know_the_sizes_of_strokes_and_not_their_colours_and_places(photo: Photo) -> None:
    content, painting = photo(128, 160), photo(160, 160, seed=7)
    # Fainter and darker: the normalization takes it out, and the palette has it.
    fainter = (30 + painting[:128] * 0.5).astype(np.uint8)
    found = compared(fainter, content, painting)
    assert found["strokes"] < 0.4 and found["palette"] > found["strokes"]
    grain = np.random.default_rng(0).normal(0, 25, painting.shape)
    grained = np.clip(painting + grain, 0, 255).astype(np.uint8)[:128]
    levels = compared(grained, content, painting)["strokes_by_level"]
    assert levels[0] > levels[3]


def test_the_scene_is_the_correlation_of_edges_at_two_sizes(photo: Photo) -> None:
    one, other = photo(128, 160), photo(128, 160, seed=3)
    expected = []
    lumas = [rgb @ np.array([0.299, 0.587, 0.114]) for rgb in (one, other)]
    for _ in range(2):
        for axis in (0, 1):
            lumas = [
                convolve1d(luma, np.array([1, 4, 6, 4, 1]) / 16, axis, mode="mirror")
                for luma in lumas
            ]
        lumas = [luma[::2, ::2] for luma in lumas]
        slopes = [np.sqrt(sum(slope**2 for slope in np.gradient(luma))) for luma in lumas]
        expected.append(np.corrcoef(slopes[0].ravel(), slopes[1].ravel())[0, 1])
    assert figures.scene_correlation(one, other) == pytest.approx(np.mean(expected), abs=1e-4)
    assert figures.scene_correlation(255 - one, one) == pytest.approx(1)
    assert figures.scene_correlation(np.full_like(one, 9), one) == 0


def test_pictures_are_compared_at_one_short_side(photo: Photo) -> None:
    assert figures.scaled(photo(256, 300)).shape == (128, 150, 3)
    assert figures.scaled(photo(90, 64)).shape == (180, 128, 3)


def test_a_photo_that_is_the_painting_leaves_nothing_to_compare(photo: Photo) -> None:
    picture = photo(128, 128)
    with pytest.raises(UserError, match="is equal to the painting"):
        compared(photo(128, 128, seed=1), picture, picture)
