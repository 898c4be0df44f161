"""A small stylized image at the size of its photo, with the photo's own edges.

Larger strokes: the network draws them so many pixels wide whatever the size of the picture, and a
picture that is stylized small and enlarged has them wider.
"""

import math

import numpy as np
from PIL import Image

from fast_style.pictures.pixels import LUMA, by_rows, resize, to_uint8

RADIUS = 2  # of the windows in which slopes are found, in pixels of the small picture
NOISE = 20.0  # grey levels below which luma's variation says nothing of edges
STEEPEST = 2.0
REACH = RADIUS + 3  # rows beyond a strip that matter to it: the windows', and Lanczos's


def enlarged(stylized: np.ndarray, small: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """The stylized image, which is that of `small`, at the size of `photo`; all (h, w, 3) uint8.

    What shrinking took from the photo's luma comes back, times the slope of the stylized image
    over that luma nearby: the slope of the guided filter (He, Sun and Tang 2013, section 3.1) on
    the small pictures (He and Sun 2015). That filter's offset, which would blur the strokes, is
    left out for the enlarged stylized image itself.
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
        channels = [
            strokes[..., channel] + _interpolated(slopes[..., channel], (height, width), box) * lost
            for channel in range(3)
        ]
        return to_uint8(np.stack(channels, axis=-1))

    return by_rows(rows, photo)


def _slopes(luma: np.ndarray, stylized: np.ndarray) -> np.ndarray:
    """(h, w, 3): by how much the channels of the stylized image rise with luma around a pixel."""
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


def _interpolated(
    values: np.ndarray, size: tuple[int, int], box: tuple[float, float, float, float]
) -> np.ndarray:
    image = Image.fromarray(np.ascontiguousarray(values))
    return np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR, box))
