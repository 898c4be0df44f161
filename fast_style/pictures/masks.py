"""Masks: which pixels of a picture are stylized.

A mask is (H, W) uint8: 255 stylizes a pixel, 0 keeps it, and values between mix the two.
"""

import numpy as np
from absl import logging
from PIL import Image, ImageChops

from fast_style.errors import UserError
from fast_style.pictures.images import MAX_PIXELS, Picture, decode_picture


def decode_mask(data: bytes, name: str, *, most_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Returns the mask in the bytes of a picture file. Parameters and errors as decode_picture."""
    mask = mask_of(decode_picture(data, name, most_pixels=most_pixels))
    if mask.max() <= 1:
        black = "%s: has no pixel brighter than 1 of 255; only white areas are stylized"
        logging.log_first_n(logging.WARNING, black, 1, name)  # once, as a server reads many
    return mask


def mask_of(picture: Picture) -> np.ndarray:
    """Returns the luma of a picture as a mask. Transparent pixels count as black."""
    luma = np.asarray(Image.fromarray(picture.rgb).convert("L"))
    if picture.alpha is None:
        return luma
    return ((luma.astype(np.uint16) * picture.alpha + 127) // 255).astype(np.uint8)


def check_proportions(mask: np.ndarray, height: int, width: int) -> None:
    """Raises UserError if a mask and a picture of this size have different proportions."""
    down, across = mask.shape
    # If one is the other shrunk, each side has been rounded by up to a pixel.
    if abs(across * height - down * width) > max(height + width, down + across):
        raise UserError(
            f"the mask is {across}x{down} and the picture {width}x{height}; they must have the "
            "same proportions"
        )


def scaled_to(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes the mask to the size of its picture."""
    # Not Lanczos, which overshoots at edges and would stylize a little beyond them.
    size, bilinear = (width, height), Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(mask).resize(size, bilinear))


def product(mask: np.ndarray | None, other: np.ndarray) -> np.ndarray:
    """Multiplies two masks of one size; None: all pixels."""
    if mask is None:
        return other
    return np.asarray(ImageChops.multiply(Image.fromarray(mask), Image.fromarray(other)))


def without_transparent(mask: np.ndarray | None, picture: Picture) -> np.ndarray | None:
    """Returns the mask (None: all pixels) without the pixels of the picture whose alpha is 0."""
    if picture.alpha is None or picture.alpha.all():
        return mask
    return np.where(picture.alpha > 0, 255 if mask is None else mask, 0).astype(np.uint8)
