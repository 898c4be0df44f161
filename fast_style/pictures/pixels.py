"""What is computed on the pixels of pictures: other sizes, parts, and mixtures of two."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image

from fast_style.pictures.images import Picture

# ITU-R BT.601 luma, as in JPEG's YCbCr.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
ROWS_AT_ONCE = 256


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """Grey levels of any shape, rounded and clipped to 0..255."""
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def square(
    rgb: np.ndarray, side: int, *, zoom: float = 1.0, across: float = 0.5, down: float = 0.5
) -> np.ndarray:
    """A square part of a picture, scaled to (side, side, 3) uint8.

    With zoom 1 the square is as large as the short side allows, with 1.25 four fifths of that.
    across and down (0 to 1) place it between left and right, top and bottom; 0.5 is the centre.
    Resize-to-cover followed by a crop, without the pixels that the crop would throw away, which
    for a picture of 20,000x3 are nearly all.
    """
    height, width = rgb.shape[:2]
    part = max(1.0, min(height, width) / zoom)
    left, top = (width - part) * across, (height - part) * down
    return resize(rgb, side, side, (left, top, left + part, top + part))


def fit_within(picture: Picture, max_size: int) -> Picture:
    """The picture with its long side at most max_size pixels; a smaller one comes back as it is."""
    height, width = picture.rgb.shape[:2]
    if max_size >= max(height, width):
        return picture
    scale = max_size / max(height, width)
    return resized(picture, max(1, round(height * scale)), max(1, round(width * scale)))


def resized(picture: Picture, height: int, width: int) -> Picture:
    """The picture, alpha and all, at another size."""
    alpha = None if picture.alpha is None else resize(picture.alpha, height, width)
    return replace(picture, rgb=resize(picture.rgb, height, width), alpha=alpha)


def resize(
    pixels: np.ndarray,
    height: int,
    width: int,
    box: tuple[float, float, float, float] | None = None,
) -> np.ndarray:
    """(H, W) or (H, W, 3) uint8 at another size; `box` is the part of it that is taken."""
    # reducing_gap: averages whole pixels down to three times the wanted size first, then Lanczos.
    image = Image.fromarray(pixels)
    resized = image.resize((width, height), Image.Resampling.LANCZOS, box, reducing_gap=3.0)
    return np.asarray(resized)


def with_chroma_of(content: np.ndarray, stylized: np.ndarray) -> np.ndarray:
    """Luminance of `stylized`, colour differences of `content`; all (H, W, 3) uint8.

    Gatys et al., Preserving Color in Neural Artistic Style Transfer (2016), section 3.2. Adding
    the change of luma to R, G and B alike leaves Cb and Cr as they are, up to clipping.
    """

    def rows(first: int, ours: np.ndarray) -> np.ndarray:
        theirs = content[first : first + len(ours)]
        change = (ours.astype(np.float32) - theirs) @ LUMA
        return to_uint8(theirs + change[..., None])

    return by_rows(rows, stylized)


def blend(
    content: np.ndarray, stylized: np.ndarray, strength: float, mask: np.ndarray | None = None
) -> np.ndarray:
    """(1 - strength) * content + strength * stylized; (H, W, 3) uint8.

    mask: (H, W) uint8, by 255ths of which the strength of each pixel is less; None: of none.
    """

    def rows(first: int, ours: np.ndarray) -> np.ndarray:
        theirs = content[first : first + len(ours)].astype(np.float32)
        weight: float | np.ndarray = strength
        if mask is not None:
            weight = mask[first : first + len(ours), :, None] * np.float32(strength / 255)
        return to_uint8((1 - weight) * theirs + weight * ours)

    return by_rows(rows, stylized)


def by_rows(compute: Callable[[int, np.ndarray], np.ndarray], rgb: np.ndarray) -> np.ndarray:
    """What `compute` makes of the picture, by the number of a first row and the rows from it on.

    Floating point numbers of all of a large picture would take four times its memory, or more.
    """
    computed = np.empty_like(rgb)
    for first in range(0, len(rgb), ROWS_AT_ONCE):
        last = first + ROWS_AT_ONCE
        computed[first:last] = compute(first, rgb[first:last])
    return computed
