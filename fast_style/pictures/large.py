"""Large pictures: decoded, kept and encoded a strip of rows at a time.

Pillow holds all of a picture, in 4 bytes a pixel, besides the array that is made from it. libvips
(pip install 'fast-style[large]') holds a few rows, and its pixels are the same. The arrays are in
temporary files: the system keeps as much of them in memory as is free.
"""

import functools
import tempfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin

from fast_style.files import write_temporary
from fast_style.pictures import damage

LARGE = 50_000_000  # pixels

# By EXIF orientation, libvips's names of what turns a picture upright.
_UPRIGHT = {
    2: ("fliphor",),
    3: ("rot180",),
    4: ("flipver",),
    5: ("rot90", "fliphor"),
    6: ("rot90",),
    7: ("rot270", "fliphor"),
    8: ("rot270",),
}
_BLACK_IS_ZERO, _RGB = 1, 2  # TIFF's photometric interpretations
_UNASSOCIATED = 2  # TIFF's alpha that the colours are not multiplied by


class NeedsAllRows(Exception):
    """A picture cannot be decoded in strips; the message says why."""


def is_large(height: int, width: int) -> bool:
    """Returns whether the pixels of a picture of this size are kept in a temporary file."""
    return height * width >= LARGE


def collected(parts: Iterable[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Returns an array of that shape and uint8, of which the parts are the rows, from the top.

    Raises UserError if it is_large and the disk for temporary files is full.
    """
    if not is_large(*shape[:2]):
        array, done = np.empty(shape, np.uint8), 0
        for part in parts:
            array[done : done + len(part)] = part
            done += len(part)
        return array
    with tempfile.TemporaryFile() as file:
        for part in parts:
            write_temporary(file, np.ascontiguousarray(part).data)
        return _mapped(file, shape)


def decoded(image: Image.Image, data: bytes, orientation: int) -> np.ndarray:
    """Returns the upright pixels, (H, W, channels) uint8, in a temporary file.

    image: data as Pillow opened it, not yet loaded. orientation: that of EXIF. The pixels are those
    that Pillow would load. Raises NeedsAllRows if there is any doubt about that.
    """
    if (why := _why_whole(image, data)) is not None:
        raise NeedsAllRows(why)
    vips = _vips()
    with tempfile.TemporaryFile() as file:
        try:
            # To turn pixels, libvips needs them in any order, and has its own temporary file.
            access = "random" if orientation in _UPRIGHT else "sequential"
            pixels = vips.Image.new_from_buffer(data, "", access=access, fail_on="warning")
            if pixels.format != "uchar" or pixels.bands != len(image.getbands()):
                raise NeedsAllRows("its colours are converted")
            for turn in _UPRIGHT.get(orientation, ()):
                pixels = getattr(pixels, turn)()
            pixels.rawsave_target(vips.Target.new_to_descriptor(file.fileno()))
        except vips.Error as error:
            raise NeedsAllRows(_last_line(error)) from None
        return _mapped(file, (pixels.height, pixels.width, pixels.bands))


def is_written_in_strips(file_format: str, rgb: np.ndarray, alpha: np.ndarray | None) -> bool:
    """Returns whether `write` writes such a picture."""
    keeps_alpha = file_format in ("PNG", "TIFF")
    is_known = file_format == "JPEG" or keeps_alpha
    return (
        is_large(*rgb.shape[:2])
        and is_known
        and (alpha is None or keeps_alpha)
        and find_spec("pyvips") is not None
    )


def write(
    path: Path,
    file_format: str,
    rgb: np.ndarray,
    alpha: np.ndarray | None,
    icc_profile: bytes | None,
    quality: int,
) -> None:
    """Writes a picture that is_written_in_strips, in full chroma. Raises OSError."""
    vips = _vips()
    pixels = _image(rgb, "srgb")
    if alpha is not None:
        pixels = pixels.bandjoin(_image(alpha[..., None], "b-w"))
    if icc_profile is not None:
        pixels = pixels.copy()
        pixels.set_type(vips.GValue.blob_type, "icc-profile-data", icc_profile)
    options: dict[str, Any] = {
        "JPEG": {"Q": quality, "subsample_mode": "off"},
        "PNG": {"compression": 6, "filter": "all"},
        "TIFF": {"compression": "deflate", "predictor": "horizontal", "bigtiff": rgb.size > 2**31},
    }[file_format]
    try:
        getattr(pixels, f"{file_format.lower()}save")(str(path), keep="icc", **options)
    except vips.Error as error:
        raise OSError(_last_line(error)) from None


def _why_whole(image: Image.Image, data: bytes) -> str | None:
    if image.format not in ("JPEG", "MPO", "PNG", "TIFF"):
        return f"{image.format} has no strips"
    has_key_or_profile = "transparency" in image.info or (
        image.mode == "L" and image.info.get("icc_profile")
    )
    if image.mode not in ("L", "RGB", "RGBA") or has_key_or_profile:
        return "its colours are converted"
    if image.info.get("progressive") or image.info.get("interlace"):
        return "each of its scans covers all rows"
    if image.format == "PNG" and damage.has_late_metadata(data):
        return "its metadata follow the pixels"
    if isinstance(image, TiffImagePlugin.TiffImageFile) and not _is_plain(image.tag_v2):
        return "its colours are converted"
    if not find_spec("pyvips"):
        return "pip install 'fast-style[large]' decodes it in strips"
    return None


def _is_plain(tags: Any) -> bool:
    interpretation = tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION)
    alpha = tags.get(TiffImagePlugin.EXTRASAMPLES, ())
    return interpretation in (_BLACK_IS_ZERO, _RGB) and alpha in ((), (_UNASSOCIATED,))


def _image(array: np.ndarray, interpretation: str) -> Any:
    height, width, bands = array.shape
    memory = np.ascontiguousarray(array)
    pixels = _vips().Image.new_from_memory(memory, width, height, bands, "uchar")
    return pixels.copy(interpretation=interpretation)


def _mapped(file: Any, shape: tuple[int, ...]) -> np.ndarray:
    # Copied on write: what is written to the array stays in memory.
    return np.asarray(np.memmap(file, np.uint8, "c", shape=shape))


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].strip()


@functools.cache
def _vips() -> Any:
    import logging

    import pyvips

    # libvips warns about damaged metadata in pictures whose pixels are fine.
    logging.getLogger("pyvips").setLevel(logging.ERROR)
    return pyvips
