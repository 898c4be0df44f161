"""Resizes, crops and mixes pictures."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image

from fast_style.pictures.images import Picture
from fast_style.pictures.large import collected

# ITU-R BT.601 luma, as in JPEG's YCbCr.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
ROWS_AT_ONCE = 256


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """Rounds grey levels of any shape and clips them to 0..255."""
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def square(
    rgb: np.ndarray, side: int, *, zoom: float = 1.0, across: float = 0.5, down: float = 0.5
) -> np.ndarray:
    """Returns a square part of a picture, scaled to (side, side, 3) uint8.

    The square's side is the picture's short side divided by zoom. across and down (0 to 1) place
    it between left and right, top and bottom; 0.5 is the centre. The result is that of scaling
    the picture and cropping it, but only the pixels of the square are scaled.
    """
    height, width = rgb.shape[:2]
    part = max(1.0, min(height, width) / zoom)
    left, top = (width - part) * across, (height - part) * down
    return resize(rgb, side, side, (left, top, left + part, top + part))


def fit_within(picture: Picture, max_size: int) -> Picture:
    """Shrinks the picture so that its long side is at most max_size pixels. Never enlarges."""
    height, width = picture.rgb.shape[:2]
    if max_size >= max(height, width):
        return picture
    scale = max_size / max(height, width)
    return resized(picture, max(1, round(height * scale)), max(1, round(width * scale)))


def resized(picture: Picture, height: int, width: int) -> Picture:
    """Resizes the pixels and the alpha of a picture."""
    alpha = None if picture.alpha is None else resize(picture.alpha, height, width)
    return replace(picture, rgb=resize(picture.rgb, height, width), alpha=alpha)


def resize(
    pixels: np.ndarray,
    height: int,
    width: int,
    box: tuple[float, float, float, float] | None = None,
) -> np.ndarray:
    """Resizes (H, W) or (H, W, 3) uint8, or the part `box` of it (left, top, right, bottom)."""
    # reducing_gap: averages whole pixels down to three times the wanted size first, then Lanczos.
    size, lanczos = (width, height), Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(pixels).resize(size, lanczos, box, reducing_gap=3.0))


def with_chroma_of(content: np.ndarray, stylized: np.ndarray) -> np.ndarray:
    """Returns the luminance of `stylized` with the chroma of `content`; all (H, W, 3) uint8.

    Gatys et al., Preserving Color in Neural Artistic Style Transfer (2016), section 3.2. Adding
    the change of luma to each of R, G and B changes Cb and Cr only where values are clipped.
    """

    def rows(first: int, ours: np.ndarray) -> np.ndarray:
        theirs = content[first : first + len(ours)]
        change = (ours.astype(np.float32) - theirs) @ LUMA
        return to_uint8(theirs + change[..., None])

    return by_rows(rows, stylized)


def blend(
    content: np.ndarray, stylized: np.ndarray, strength: float, mask: np.ndarray | None = None
) -> np.ndarray:
    """Returns (1 - strength) * content + strength * stylized; all (H, W, 3) uint8.

    mask: (H, W) uint8; the strength of each pixel is multiplied by mask / 255.
    """

    def rows(first: int, ours: np.ndarray) -> np.ndarray:
        theirs = content[first : first + len(ours)].astype(np.float32)
        weight: float | np.ndarray = strength
        if mask is not None:
            weight = mask[first : first + len(ours), :, None] * np.float32(strength / 255)
        return to_uint8((1 - weight) * theirs + weight * ours)

    return by_rows(rows, stylized)


def by_rows(compute: Callable[[int, np.ndarray], np.ndarray], rgb: np.ndarray) -> np.ndarray:
    """Applies `compute` to a strip of rows at a time, given the number of its first row.

    As floats, all of a large picture would take at least four times its memory.
    """
    firsts = range(0, len(rgb), ROWS_AT_ONCE)
    parts = (compute(first, rgb[first : first + ROWS_AT_ONCE]) for first in firsts)
    return collected(parts, rgb.shape)
