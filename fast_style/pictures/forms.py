"""Pictures in the forms that callers have them in: names of files, Pillow images, arrays."""

import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from fast_style.errors import UserError
from fast_style.pictures.images import Picture, picture_of, read_picture, read_picture_file
from fast_style.pictures.masks import decode_mask, mask_of

ARRAYS = "(H, W, 3), (H, W), (H, W, 4) or (N, H, W, 3), in uint8 or floats of 0 to 255"
FORMS = f"the name of a file, a Pillow image, or an array of {ARRAYS}"


def in_the_same_form(given: Any, stylize: Callable[[Picture], Picture]) -> Any:
    """Stylizes a picture in any of FORMS, and returns the result in the same form.

    A file gives a Pillow image, with the colour profile in info["icc_profile"]. Grey becomes RGB.
    EXIF orientation is applied. Floats are rounded to whole grey levels.
    Raises UserError for anything else, and what `stylize` raises.
    """
    if isinstance(given, str | os.PathLike):
        return _as_image(stylize(read_picture(given)))
    if isinstance(given, Image.Image):
        return _as_image(stylize(_of_image(given)))
    array = _checked(given)
    if array.ndim == 4:
        return np.stack([_stylized_array(one, stylize) for one in array])
    return _stylized_array(array, stylize)


def mask_in_any_form(given: Any) -> np.ndarray:
    """Returns the (H, W) uint8 mask in a file, a Pillow image or an (H, W) array.

    Arrays are bool, uint8 up to 255 or floats up to 1. Raises UserError for anything else; the
    dtype and shape of other arrays are checked by Stylization.
    """
    if isinstance(given, str | os.PathLike):
        return decode_mask(read_picture_file(given), str(given))
    if isinstance(given, Image.Image):
        return mask_of(_of_image(given))
    array = _as_numpy(given, "mask", "the name of a file, a Pillow image or an (H, W) array")
    if array.dtype == bool:
        return array.astype(np.uint8) * np.uint8(255)
    if not np.issubdtype(array.dtype, np.floating):
        if array.size and array.max() == 1:
            warnings.warn(
                "a mask of 0 and 1 in integers stylizes next to nothing; make it bool", stacklevel=3
            )
        return array
    if array.size and not (array.min() >= 0 and array.max() <= 1):
        raise UserError(f"mask: {_range(array)}; floats of 0 to 1 are wanted")
    return np.rint(array * 255).astype(np.uint8)


def _of_image(image: Image.Image) -> Picture:
    try:
        image.load()
        picture = picture_of(image)
    except Exception as error:  # Pillow reads the file only now, and raises nearly anything
        raise UserError(f"the image cannot be read: {error}") from error
    if not picture.rgb.size:
        raise UserError(f"the image has no pixels ({image.width}x{image.height})")
    return picture


def _as_image(picture: Picture) -> Image.Image:
    image = Image.fromarray(_channels(picture))
    if picture.icc_profile is not None:
        image.info["icc_profile"] = picture.icc_profile
    return image


def _as_numpy(given: Any, name: str, wanted: str) -> np.ndarray:
    if not hasattr(given, "__array__"):
        raise UserError(f"{name}: got {type(given).__name__}; {wanted} is wanted")
    return np.asarray(given)


def _checked(given: Any) -> np.ndarray:
    array = _as_numpy(given, "picture", FORMS)
    is_float = np.issubdtype(array.dtype, np.floating)
    if not is_float and array.dtype != np.uint8:
        raise UserError(f"picture: got an array of {array.dtype}; {ARRAYS} is wanted")
    has_channels = array.ndim in (3, 4) and array.shape[-1] in (3, 4)
    if not array.size or not (array.ndim == 2 or has_channels):
        raise UserError(f"picture: got an array of shape {array.shape}; {ARRAYS} is wanted")
    if is_float:
        if not (array.min() >= -0.5 and array.max() < 255.5):  # or there are NaNs
            raise UserError(f"picture: got {_range(array)}; {ARRAYS} is wanted")
        if 0 < array.max() <= 1:
            warnings.warn(
                "a picture of floats from 0 to 1 is taken for a black one; multiply it by 255",
                stacklevel=4,
            )
    return array


def _range(array: np.ndarray) -> str:
    return f"values from {array.min():g} to {array.max():g}"


def _stylized_array(array: np.ndarray, stylize: Callable[[Picture], Picture]) -> np.ndarray:
    pixels = array if array.dtype == np.uint8 else np.rint(array).astype(np.uint8)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=-1)
    picture = Picture(pixels[..., :3], pixels[..., 3] if pixels.shape[-1] == 4 else None)
    return _channels(stylize(picture)).astype(array.dtype, copy=False)


def _channels(picture: Picture) -> np.ndarray:
    return picture.rgb if picture.alpha is None else np.dstack([picture.rgb, picture.alpha])
