"""Figures of a stylized picture's likeness to a painting, without a loss network.

Strokes and palette are distances to the painting, as a fraction of the photo's distance: 1 is the
plain photo, 0 the painting. Scene is how much of the photo remains: 1 is the photo.
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from fast_style.errors import UserError
from fast_style.pictures.pixels import LUMA, resize

SHORT_SIDE = 512
LEVELS = 5
PATCH = 7
MOST_PATCHES = 32768  # with 8192, two samples of a painting's finest level differ by a sixth
STROKE_DIRECTIONS = 256
PALETTE_DIRECTIONS = 64
DIRECTIONS_AT_ONCE = 16
QUANTILES = 4096
SEED = 0
BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16


@dataclass(frozen=True, eq=False)
class Looks:
    """The properties of a picture that are compared.

    rgb: (H, W, 3) uint8, with a short side of SHORT_SIDE. strokes: projected_quantiles of the
    patches of each level of the pyramid, fine levels first. palette: projected_quantiles of the
    colours.
    """

    rgb: np.ndarray
    strokes: list[np.ndarray]
    palette: np.ndarray


def looks(rgb: np.ndarray) -> Looks:
    """Returns the looks of a (H, W, 3) uint8 picture, as scaled() returns it."""
    pixels = rgb.astype(np.float32)
    strokes = [
        projected_quantiles(normalized_patches(level), STROKE_DIRECTIONS)
        for level in laplacian_pyramid(pixels)
    ]
    palette = projected_quantiles(pixels.reshape(-1, 3), PALETTE_DIRECTIONS)
    return Looks(rgb, strokes, palette)


def scaled(rgb: np.ndarray) -> np.ndarray:
    """Returns a (H, W, 3) uint8 picture scaled to a short side of SHORT_SIDE pixels."""
    height, width = rgb.shape[:2]
    scale = SHORT_SIDE / min(height, width)
    return resize(rgb, round(height * scale), round(width * scale))


def likeness(picture: Looks, photo: Looks, painting: Looks) -> dict:
    """Returns the figures of a picture made from a photo in the style of a painting.

    strokes_by_level: the distances of the patches on each level, fine levels first, over those of
    the photo. strokes: their mean. palette: the same for the colours. scene: scene_correlation.
    picture and photo have the same shape. Raises UserError if the photo's distance is 0.
    """
    levels = [
        _fraction(distance(ours, theirs), distance(plain, theirs))
        for ours, plain, theirs in zip(
            picture.strokes, photo.strokes, painting.strokes, strict=True
        )
    ]
    palette = _fraction(
        distance(picture.palette, painting.palette), distance(photo.palette, painting.palette)
    )
    return {
        "strokes": float(np.mean(levels)),
        "strokes_by_level": levels,
        "palette": palette,
        "scene": scene_correlation(picture.rgb, photo.rgb),
    }


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the sliced Wasserstein distance of two sets, from their projected_quantiles.

    This is the mean over directions of the mean difference of the quantiles (Rabin et al. 2011).
    """
    return float(np.abs(one - other).mean(dtype=np.float64))


def projected_quantiles(points: np.ndarray, directions: int) -> np.ndarray:
    """Returns (directions, QUANTILES) float32: quantiles of a set along random unit directions.

    points: (N, D) float32. Every quantile is the value of a point. The directions depend on D
    alone, so sets of different N can be compared.
    """
    towards = np.random.default_rng(SEED).standard_normal((directions, points.shape[1]))
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    places = ((np.arange(QUANTILES) + 0.5) / QUANTILES * len(points)).astype(int)
    quantiles = np.empty((directions, QUANTILES), np.float32)
    for first in range(0, directions, DIRECTIONS_AT_ONCE):
        some = slice(first, first + DIRECTIONS_AT_ONCE)
        projected = towards[some].astype(np.float32) @ points.T
        projected.sort(axis=1)
        quantiles[some] = projected[:, places]
    return quantiles


def normalized_patches(level: np.ndarray) -> np.ndarray:
    """Returns (N, 7 * 7 * 3) float32: the patches of a pyramid's level, normalized by channel.

    level: (H, W, 3) float32, at least 7 pixels a side. In each of R, G and B all patches together
    get mean 0 and standard deviation 1 (Karras et al. 2018, "Progressive Growing of GANs", section
    5); a flat channel becomes 0. At most MOST_PATCHES are sampled, at positions that depend on the
    shape alone.
    """
    windows = sliding_window_view(level, (PATCH, PATCH), axis=(0, 1))
    rows, columns = windows.shape[:2]
    chosen = np.arange(rows * columns)
    if chosen.size > MOST_PATCHES:
        chosen = np.random.default_rng(SEED).choice(chosen, MOST_PATCHES, replace=False)
    patches = windows[chosen // columns, chosen % columns]
    patches = patches - patches.mean(axis=(0, 2, 3), keepdims=True)
    deviation = patches.std(axis=(0, 2, 3), keepdims=True)
    # Because of rounding, the deviation of a flat channel is only nearly 0.
    patches /= np.where(deviation > 1e-3, deviation, np.inf)
    return patches.reshape(len(chosen), -1)


def laplacian_pyramid(pixels: np.ndarray) -> list[np.ndarray]:
    """Returns LEVELS arrays, each half as large as the one before.

    pixels: (H, W, 3) float32. Burt and Adelson (1983): a level is the difference between the
    picture and its blurred and halved version, which is the picture of the next level.
    """
    levels = []
    for _ in range(LEVELS - 1):
        smaller = halved(pixels)
        levels.append(pixels - enlarged(smaller, *pixels.shape[:2]))
        pixels = smaller
    return [*levels, pixels]


def halved(pixels: np.ndarray) -> np.ndarray:
    """Returns every second pixel of (H, W, C) blurred by the binomial [1, 4, 6, 4, 1] / 16."""
    return _blurred(pixels)[::2, ::2]


def enlarged(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns (height, width, C) from half the size: zeros between the pixels, then the blur."""
    spread = np.zeros((height, width, pixels.shape[2]), np.float32)
    spread[::2, ::2] = pixels
    return 4 * _blurred(spread)


def scene_correlation(picture: np.ndarray, photo: np.ndarray) -> float:
    """Returns the correlation of a picture's edges with the photo's, -1 to 1.

    Both are (H, W, 3) uint8 of one shape. It compares the magnitudes of luma's gradient at half and
    at a quarter of the size, and takes the mean; 0 if one of them has no edges.
    """
    one, other = (rgb.astype(np.float32) @ LUMA[:, None] for rgb in (picture, photo))
    correlations = []
    for _ in range(2):
        one, other = halved(one), halved(other)
        edges = [np.hypot(*np.gradient(luma[..., 0])).ravel() for luma in (one, other)]
        flat = min(float(np.std(each)) for each in edges) < 1e-3
        correlations.append(0.0 if flat else float(np.corrcoef(*edges)[0, 1]))
    return float(np.mean(correlations))


def _blurred(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    reach = len(BINOMIAL) // 2
    tall = np.pad(pixels, ((reach, reach), (0, 0), (0, 0)), "reflect")
    pixels = sum(weight * tall[at : at + height] for at, weight in enumerate(BINOMIAL))
    wide = np.pad(pixels, ((0, 0), (reach, reach), (0, 0)), "reflect")
    return sum(weight * wide[:, at : at + width] for at, weight in enumerate(BINOMIAL))


def _fraction(ours: float, plain: float) -> float:
    if plain == 0:
        raise UserError("a photo is equal to the painting, so there is no distance to compare")
    return ours / plain
