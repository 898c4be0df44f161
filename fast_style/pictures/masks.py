"""Masks: which pixels of a picture are stylized.

A mask is (H, W) uint8: 255 where the picture is stylized, 0 where it stays, in part between.
"""

import numpy as np
from absl import logging
from PIL import Image

from fast_style.errors import UserError
from fast_style.pictures.images import MAX_PIXELS, Picture, decode_picture


def decode_mask(data: bytes, name: str, *, most_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The mask in the bytes of a picture file; name is what messages call it.

    Raises UserError as decode_picture does.
    """
    mask = mask_of(decode_picture(data, name, most_pixels=most_pixels))
    if mask.max() <= 1:  # once, as a server has many
        logging.log_first_n(
            logging.WARNING,
            "%s: has no pixel brighter than 1 of 255, so pictures stay as they are; what is white "
            "is stylized",
            1,
            name,
        )
    return mask


def mask_of(picture: Picture) -> np.ndarray:
    """The luma of a picture of a mask; transparent pixels count as black."""
    luma = np.asarray(Image.fromarray(picture.rgb).convert("L"))
    if picture.alpha is None:
        return luma
    return ((luma.astype(np.uint16) * picture.alpha + 127) // 255).astype(np.uint8)


def check_proportions(mask: np.ndarray, height: int, width: int) -> None:
    """Raise UserError where a mask has other proportions than a picture of this size."""
    down, across = mask.shape
    # Sides are whole pixels: of a picture and of itself shrunk, either side is up to a pixel off.
    if abs(across * height - down * width) > max(height + width, down + across):
        raise UserError(
            f"the mask is {across}x{down} and the picture {width}x{height}; a mask of another size "
            "has to have the proportions of its picture"
        )


def scaled_to(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """The mask at the size of its picture."""
    # Not Lanczos, whose waves would stylize a little beside an edge.
    size, bilinear = (width, height), Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(mask).resize(size, bilinear))


def without_transparent(mask: np.ndarray | None, picture: Picture) -> np.ndarray | None:
    """The mask, or that of everything, without the pixels of the picture whose alpha is 0."""
    if picture.alpha is None or picture.alpha.all():
        return mask
    seen = picture.alpha > 0
    return np.where(seen, 255 if mask is None else mask, 0).astype(np.uint8)
