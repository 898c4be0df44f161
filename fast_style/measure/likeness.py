"""How much of a painting a stylized picture has, in figures that no loss network knows.

Strokes and palette are distances to the painting, as a fraction of the photo's own distance: 1 is
the plain photo, 0 the painting. Scene is how much of the photo is left: 1 is the photo.
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from fast_style.errors import UserError
from fast_style.pictures.pixels import LUMA, resize

SHORT_SIDE = 512
LEVELS = 5
PATCH = 7
MOST_PATCHES = 32768  # with 8192 the finest level of a painting differs from itself by a sixth
STROKE_DIRECTIONS = 256
PALETTE_DIRECTIONS = 64
DIRECTIONS_AT_ONCE = 16
QUANTILES = 4096
SEED = 0
BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16


@dataclass(frozen=True, eq=False)
class Looks:
    """What is compared of a picture, once it has been computed.

    rgb: (H, W, 3) uint8, of a short side of SHORT_SIDE. strokes: for each level of the pyramid, the
    fine ones first, the quantiles of its patches; palette: those of its colours; as
    projected_quantiles gives them.
    """

    rgb: np.ndarray
    strokes: list[np.ndarray]
    palette: np.ndarray


def looks(rgb: np.ndarray) -> Looks:
    """The looks of a (H, W, 3) uint8 picture that scaled() has made."""
    pixels = rgb.astype(np.float32)
    strokes = [
        projected_quantiles(normalized_patches(level), STROKE_DIRECTIONS)
        for level in laplacian_pyramid(pixels)
    ]
    palette = projected_quantiles(pixels.reshape(-1, 3), PALETTE_DIRECTIONS)
    return Looks(rgb, strokes, palette)


def scaled(rgb: np.ndarray) -> np.ndarray:
    """A (H, W, 3) uint8 picture with its short side at SHORT_SIDE pixels."""
    height, width = rgb.shape[:2]
    scale = SHORT_SIDE / min(height, width)
    return resize(rgb, round(height * scale), round(width * scale))


def likeness(picture: Looks, photo: Looks, painting: Looks) -> dict:
    """The figures of a picture that was made of a photo in the style of a painting.

    strokes_by_level: the distances of the patches on each level, the fine ones first, each over
    the photo's; strokes: their mean; palette: the same of the colours; scene: scene_correlation.
    picture and photo have the same shape.
    Raises UserError where the photo's distance is 0, as that of the painting itself is.
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
    """The sliced Wasserstein distance of two sets, from their projected_quantiles.

    The mean over directions of the one-dimensional distance, which is the mean difference of the
    quantiles (Rabin et al. 2011).
    """
    return float(np.abs(one - other).mean(dtype=np.float64))


def projected_quantiles(points: np.ndarray, directions: int) -> np.ndarray:
    """(directions, QUANTILES) float32: how a set lies along random unit directions.

    points: (N, D) float32. The directions are the same for every set of the same D, and every
    quantile is the value of a point, so any two sets can be compared, of whatever N.
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
    """(N, 7 * 7 * 3) float32: the patches of a pyramid's level, normalized channel by channel.

    level: (H, W, 3) float32, at least 7 pixels a side. In each of R, G and B all patches together
    get mean 0 and standard deviation 1 (Karras et al. 2018, "Progressive Growing of GANs", section
    5); a channel that is flat becomes 0. Of more than MOST_PATCHES a random part is taken, the
    same for every picture of that shape.
    """
    windows = sliding_window_view(level, (PATCH, PATCH), axis=(0, 1))
    rows, columns = windows.shape[:2]
    chosen = np.arange(rows * columns)
    if chosen.size > MOST_PATCHES:
        chosen = np.random.default_rng(SEED).choice(chosen, MOST_PATCHES, replace=False)
    patches = windows[chosen // columns, chosen % columns]
    patches = patches - patches.mean(axis=(0, 2, 3), keepdims=True)
    deviation = patches.std(axis=(0, 2, 3), keepdims=True)
    # Rounding leaves a flat channel with a deviation of nearly 0.
    patches /= np.where(deviation > 1e-3, deviation, np.inf)
    return patches.reshape(len(chosen), -1)


def laplacian_pyramid(pixels: np.ndarray) -> list[np.ndarray]:
    """LEVELS arrays that add up to the picture, each half as large as the one before it.

    pixels: (H, W, 3) float32. Burt and Adelson (1983): what a level loses when it is blurred and
    halved; the last is what is left.
    """
    levels = []
    for _ in range(LEVELS - 1):
        smaller = halved(pixels)
        levels.append(pixels - enlarged(smaller, *pixels.shape[:2]))
        pixels = smaller
    return [*levels, pixels]


def halved(pixels: np.ndarray) -> np.ndarray:
    """(H, W, C) blurred by the binomial [1, 4, 6, 4, 1] / 16, and every other pixel of it."""
    return _blurred(pixels)[::2, ::2]


def enlarged(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """(height, width, C) of which `pixels` is half: zeros between the pixels, then the blur."""
    spread = np.zeros((height, width, pixels.shape[2]), np.float32)
    spread[::2, ::2] = pixels
    return 4 * _blurred(spread)


def scene_correlation(picture: np.ndarray, photo: np.ndarray) -> float:
    """How well the edges of a picture are where the photo's are, -1 to 1.

    Both (H, W, 3) uint8 of one shape. The correlation of the magnitudes of luma's gradient at half
    and at a quarter of the size, the mean of the two; 0 where one of them has no edges.
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
        raise UserError("a photo looks exactly like the painting, so nothing is between them")
    return ours / plain
