"""Larger strokes: enlarges a small stylized image, guided by the edges of the photo.

The network draws strokes of the same number of pixels at any size of the picture. They become
larger if a small copy of the picture is stylized and the result is enlarged.
"""

import math

import numpy as np
from PIL import Image

from fast_style.pictures.pixels import LUMA, by_rows, resize, to_uint8

RADIUS = 2  # of the windows for the slopes, in pixels of the small picture
NOISE = 20.0  # variance of luma, in squared grey levels, below which there is no edge
STEEPEST = 2.0
REACH = RADIUS + 3  # rows beyond a strip that its result depends on: the windows' and Lanczos's


def enlarged(stylized: np.ndarray, small: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Enlarges `stylized`, the stylized image of `small`, to the size of `photo`.

    All are (h, w, 3) uint8. Adds the detail that shrinking removed from the luma of the photo,
    times the slope of the stylized image over the luma nearby. The slope is that of the guided
    filter (He, Sun and Tang 2013, section 3.1) on the small pictures (He and Sun 2015). The
    filter's offset would blur the strokes, so the enlarged stylized image replaces it.
    """
    scale = len(small) / len(photo)

    def rows(first: int, part: np.ndarray) -> np.ndarray:
        top = max(0, math.floor(first * scale) - REACH)
        bottom = min(len(small), math.ceil((first + len(part)) * scale) + REACH)
        ours, theirs = stylized[top:bottom], small[top:bottom]
        box = (0, first * scale - top, small.shape[1], (first + len(part)) * scale - top)
        height, width = part.shape[:2]
        lost = part @ LUMA - resize(theirs, height, width, box) @ LUMA
        slopes = _slopes(theirs @ LUMA, ours.astype(np.float32))
        strokes = resize(ours, height, width, box)
        size, bilinear = (width, height), Image.Resampling.BILINEAR
        channels = (Image.fromarray(np.ascontiguousarray(slopes[..., n])) for n in range(3))
        resized = np.dstack([np.asarray(x.resize(size, bilinear, box)) for x in channels])
        return to_uint8(strokes + resized * lost[..., None])

    return by_rows(rows, photo)


def _slopes(luma: np.ndarray, stylized: np.ndarray) -> np.ndarray:
    """Returns (h, w, 3): how much each stylized channel rises with luma around a pixel."""
    guide = luma[..., None]
    mean, means = _box_mean(guide), _box_mean(stylized)
    variance = _box_mean(guide * guide) - mean * mean
    covariance = _box_mean(guide * stylized) - mean * means
    return np.clip(covariance / (variance + NOISE), -STEEPEST, STEEPEST)


def _box_mean(values: np.ndarray) -> np.ndarray:
    window = 2 * RADIUS + 1
    for axis in (0, 1):
        border = [(RADIUS, RADIUS) if side == axis else (0, 0) for side in range(3)]
        views = np.lib.stride_tricks.sliding_window_view(
            np.pad(values, border, mode="edge"), window, axis
        )
        values = views.mean(axis=-1)
    return values
