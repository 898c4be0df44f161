"""Reads picture files into RGB arrays, writes them, and finds them."""

import glob
import io
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin

from fast_style.errors import UserError, naming, nearest, printable, reason
from fast_style.files import check_target, read_bytes, replacement, write_atomically
from fast_style.pictures import damage, formats, large
from fast_style.pictures.formats import READ_ENDINGS, WRITTEN

# By default, pictures with more pixels are refused before they are decoded, as a small file can
# claim any size. Pillow's own limit.
MAX_PIXELS = 178_956_970

# Pillow would warn on stderr at half of MAX_PIXELS; decode_picture checks the size.
Image.MAX_IMAGE_PIXELS = None
# Pillow warns about damaged metadata in pictures whose pixels are fine.
warnings.filterwarnings("ignore", module=r"PIL\.")

QUALITY = 95  # of JPEG and WebP

_WITH_ALPHA = ("PNG", "WEBP", "TIFF")
_WHITE_IS_ZERO = 0  # one of TIFF's photometric interpretations

# EXIF orientation to the transposition that turns a picture upright. ImageOps.exif_transpose also
# writes the metadata again, and raises if that is damaged.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class TooManyPixels(UserError):
    """A picture has more pixels than the caller allows."""


@dataclass(frozen=True, eq=False)
class Picture:
    """Upright pixels, with what is kept of the file besides.

    rgb: (H, W, 3) uint8. alpha: (H, W) uint8, or None if the file has none. icc_profile: the RGB
    colour profile of rgb, or None for sRGB. name: of the file, for messages.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    icc_profile: bytes | None = None
    name: str = ""


def read_picture(path: str | os.PathLike[str], *, most_pixels: int = MAX_PIXELS) -> Picture:
    """Returns the picture in a file: its first frame, upright, as RGB.

    Raises UserError that names the file if it is missing, a folder, unreadable, not a picture,
    damaged or cut short; and TooManyPixels, a UserError, if it has more than most_pixels.
    """
    data = read_picture_file(path, most_pixels=most_pixels)
    return decode_picture(data, str(path), most_pixels=most_pixels)


def read_picture_file(path: str | os.PathLike[str], *, most_pixels: int = MAX_PIXELS) -> bytes:
    """Returns the bytes of a picture file, for decode_picture. Raises UserError as read_bytes does.

    Files that are too large for most_pixels in any format are refused.
    """
    return read_bytes(path, at_most=16 * most_pixels)  # four channels of 32 bits


def decode_picture(
    data: bytes, name: str, *, at_least: int | None = None, most_pixels: int = MAX_PIXELS
) -> Picture:
    """Returns the picture in the bytes of a file, which error messages call `name`.

    Reads JPEG, PNG, WebP, AVIF, JPEG 2000, BMP, GIF, TIFF, and HEIC if pillow-heif is installed:
    what Pillow decodes without an error, and files that lack an end mark or have damaged metadata,
    but have all of their pixels.

    EXIF orientation is applied. 16-bit grey keeps its high byte, rounded; 32-bit and float grey is
    scaled so that its largest value is white. Grey, CMYK and Lab are converted to sRGB by their
    colour profile, if there is one. Only RGB profiles are kept.

    at_least: the length to which the caller will shrink the short side. A large JPEG is decoded at
    1/2, 1/4 or 1/8 of its size if both sides stay that long, which is much faster.

    Raises UserError as read_picture does.
    """
    if not data:
        raise UserError(f"{name}: is empty, not a picture")
    try:
        if (bomb := damage.bomb(data)) is not None:
            raise UserError(f"{name}: is refused as a bomb: it {bomb}")
        data = damage.without_damaged_metadata(data)
        image = _opened(data, name)
        width, height = image.size
        if width * height > most_pixels:
            raise TooManyPixels(
                f"{name}: {width}x{height} is {width * height:,} pixels; at most {most_pixels:,} "
                "are read, as small files can claim any size"
            )
        if damage.lacks_pixels(data, image):
            raise UserError(f"{name}: is damaged or cut short: holds fewer pixels than it says")
        try:
            in_strips = large.is_large(height, width) and at_least is None
            picture = _decoded_in_strips(image, data, name) if in_strips else None
            picture = picture or picture_of(_loaded(image, data, at_least))
        except MemoryError:
            raise UserError(f"{name}: {width}x{height} does not fit into memory") from None
    except UserError:
        raise
    except Exception as error:  # Pillow raises nearly anything for a damaged file
        raise UserError(f"{name}: is damaged or cut short: {reason(error)}") from error
    if picture.rgb.size == 0:
        raise UserError(f"{name}: has no pixels ({width}x{height})")
    return replace(picture, name=name)


def _decoded_in_strips(image: Image.Image, data: bytes, name: str) -> Picture | None:
    """Returns a large picture, or None if Pillow has to decode all of it at once."""
    try:
        pixels = large.decoded(image, data, _orientation(image))
    except large.NeedsAllRows as why:
        logging.warning("%s: is decoded whole, which needs more memory: %s", printable(name), why)
        return None
    profile = image.info.get("icc_profile") or b""
    alpha = pixels[..., 3] if pixels.shape[2] == 4 else None
    if pixels.shape[2] == 1:
        rgb = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    else:
        rgb = pixels[..., :3]
    return Picture(rgb, alpha, profile if _profile_space(profile) == "RGB" else None)


def picture_of(image: Image.Image) -> Picture:
    """Returns the picture in a loaded Pillow image. Raises as Pillow does."""
    profile, tags = image.info.get("icc_profile") or b"", getattr(image, "tag_v2", {})
    if (upright := _UPRIGHT.get(_orientation(image))) is not None:
        # transpose() keeps mode, palette and transparency key.
        image = image.transpose(upright)
    keeps_profile = image.mode.startswith(("RGB", "P")) and _profile_space(profile) == "RGB"
    alpha = None
    if image.mode.startswith(("I", "F")):
        image, alpha = _deep_grey_to_8_bits(image, tags)
    elif image.has_transparency_data:
        alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    if image.mode in ("LA", "La"):
        image = image.convert("LA").getchannel("L")
    image = _to_srgb_by_profile(image, profile)
    # By way of RGBA: palettes with transparency, and colours multiplied by their alpha.
    mode = "RGB" if alpha is None or image.mode in ("L", "RGB") else "RGBA"
    rgb = np.asarray(image.convert(mode))[..., :3]
    return Picture(rgb, alpha, profile if keeps_profile else None)


def encode_picture(picture: Picture, ending: str, quality: int = QUALITY) -> bytes:
    """Returns the bytes of a picture file, in the format of a name with this ending.

    quality: 1 to 100, for JPEG and WebP. PNG, WebP and TIFF keep alpha; in the other formats the
    picture is put on white. All but BMP and GIF keep the ICC profile.
    Raises UserError if the ending is not in formats.WRITTEN, or the format cannot hold the picture
    (a side has at most 65,500 pixels in JPEG, and 16,383 in WebP).
    """
    file_format = _format_of(ending)
    if picture.alpha is not None and file_format in _WITH_ALPHA:
        image = Image.fromarray(np.dstack([picture.rgb, picture.alpha]))
    else:
        image = Image.fromarray(flatten_on_white(picture))
    options: dict[str, object] = {"icc_profile": picture.icc_profile}
    if file_format in ("JPEG", "WEBP"):
        options["quality"] = quality
    if file_format == "JPEG" and quality >= 90:
        # At half size, the chroma of saturated strokes bleeds over dark outlines.
        options["subsampling"] = "4:4:4"
    if file_format == "TIFF":
        options["compression"] = "tiff_adobe_deflate"
    buffer = io.BytesIO()
    try:
        image.save(buffer, file_format, **options)
    except Exception as error:  # each format has its own limits and exceptions
        height, width = picture.rgb.shape[:2]
        raise UserError(
            f"a {width}x{height} picture cannot be written as {file_format} ({reason(error)}); "
            "try .png"
        ) from error
    return buffer.getvalue()


def write_picture(path: str | os.PathLike[str], picture: Picture) -> None:
    """Writes a picture file, in the format of its name's ending, completely or not at all.

    Raises UserError that names the file, as encode_picture and write_atomically do.
    """
    with naming(path):
        file_format = _format_of(Path(path).suffix)
        if large.is_written_in_strips(file_format, picture.rgb, picture.alpha):
            with replacement(path) as temporary:
                large.write(
                    temporary,
                    file_format,
                    picture.rgb,
                    picture.alpha,
                    picture.icc_profile,
                    QUALITY,
                )
            return
        data = encode_picture(picture, Path(path).suffix)
    write_atomically(path, data)


def check_picture_target(path: str | os.PathLike[str]) -> None:
    """Raises UserError if write_picture could not write to `path`; call it before any work."""
    with naming(path):
        _format_of(Path(path).suffix)
    check_target(path)


@dataclass(frozen=True)
class Found:
    """The files that a file name, a folder or a glob stands for.

    left_out: pictures of formats that are not read, with the reason. others: all other files.
    """

    pictures: list[Path]
    left_out: dict[Path, str]
    others: list[Path]


def find_pictures(spec: str | os.PathLike[str]) -> list[Path]:
    """Returns the pictures that `search` finds; the log says how many it leaves out.

    Raises UserError if there are none.
    """
    found = search(spec)
    if found.left_out:
        path, why = next(iter(found.left_out.items()))
        logging.warning(
            "%s: %d pictures are left out, the first is %s: %s",
            *(spec, len(found.left_out), printable(str(path)), why),
        )
    return found.pictures


def search(spec: str | os.PathLike[str]) -> Found:
    """Returns the files that a file name, a folder (with its sub-folders) or a glob stands for.

    In a folder or a glob (`**` includes sub-folders), a picture is a file that has one of
    READ_ENDINGS, in upper or lower case, or that has no ending and the first bytes of a picture.
    "Scan 10.15.22" and "1.5 holiday" have no ending. A file that you name yourself counts as a
    picture. Hidden files and folders (is_hidden) are skipped. The lists are sorted, so that they
    do not depend on the disk. Raises UserError if there is no picture.
    """
    if not str(spec):
        raise UserError("an empty name stands for no pictures; give a file, a folder or a glob")
    path = Path(spec).expanduser()
    if path.is_file():
        return Found([path], {}, [])
    if path.is_dir():
        candidates, where = list(path.rglob("*")), "in this folder or below it"
    elif glob.has_magic(str(path)):
        candidates = [Path(name) for name in glob.iglob(str(path), recursive=True)]
        where = "match this glob"
    else:
        raise UserError(f"{spec}: no such file or folder")
    named = set(path.parts)
    found = Found([], {}, [])
    for candidate in sorted(candidates):
        if any(map(is_hidden, set(candidate.parts) - named)) or not candidate.is_file():
            continue
        why_unread = formats.why_unread(candidate.suffix)
        if why_unread is not None:
            found.left_out[candidate] = why_unread
        elif candidate.suffix.lower() in READ_ENDINGS or (
            not _is_ending(candidate.suffix) and formats.format_of_file(candidate)
        ):
            found.pictures.append(candidate)
        else:
            found.others.append(candidate)
    if not found.pictures:
        unread = "".join(f"; {path}: {why}" for path, why in list(found.left_out.items())[:1])
        raise UserError(f"{spec}: no pictures {where}; known are {', '.join(READ_ENDINGS)}{unread}")
    return found


def is_hidden(part: str) -> bool:
    """Whether a file or folder with this name is hidden, or is Synology's folder of thumbnails."""
    return part.startswith(".") or part == "@eaDir"


def _is_ending(ending: str) -> bool:
    return any(map(str.isalpha, ending)) and not any(map(str.isspace, ending))


def flatten_on_white(picture: Picture) -> np.ndarray:
    """Returns the picture on a white page: (H, W, 3) uint8."""
    if picture.alpha is None:
        return picture.rgb
    weight = picture.alpha[..., None].astype(np.uint16)
    # Rounded to the nearest. No value reaches 2^16, and opaque pixels do not change.
    return ((picture.rgb * weight + 255 * (255 - weight) + 127) // 255).astype(np.uint8)


def _format_of(ending: str) -> str:
    if not ending:
        raise UserError(f"the name has no ending; one of: {', '.join(WRITTEN)}")
    if ending.lower() not in WRITTEN:
        raise UserError(f"unknown ending {ending!r}; {nearest(ending.lower(), WRITTEN)}")
    return WRITTEN[ending.lower()]


def _opened(data: bytes, name: str) -> Image.Image:
    file_format = formats.format_of(data)
    if file_format == formats.HEIC:
        with naming(name):
            formats.add_heic()
    readable = (formats.HEIC,) if file_format == formats.HEIC else formats.READ
    try:
        return Image.open(io.BytesIO(data), formats=readable)
    except Image.UnidentifiedImageError:
        pass
    if file_format is None:
        *titles, last = map(formats.title, (*formats.READ, formats.HEIC))
        raise UserError(f"{name}: is not a {', '.join(titles)} or {last} picture")
    if file_format == "TIFF" and (pixels := _pixels_of_tiff(data)):
        raise UserError(f"{name}: is a TIFF with {pixels}, which is not read; convert it to 8 bits")
    raise UserError(
        f"{name}: is a {formats.title(file_format)} picture, but damaged, cut short or of a kind "
        "that is not read"
    )


def _pixels_of_tiff(data: bytes) -> str | None:
    """Describes the pixels of a TIFF; None if its directory is cut short or does not say."""
    try:
        directory = TiffImagePlugin.ImageFileDirectory_v2(data[:8])
        begin, file = directory.next, io.BytesIO(data)
        file.seek(begin)
        directory.load(file)
        if directory.next == begin:  # Pillow did not reach its end
            return None
        bits = directory[TiffImagePlugin.BITSPERSAMPLE]
        kind = directory.get(TiffImagePlugin.SAMPLEFORMAT, (1,))[0]
        values = {2: "signed integers", 3: "floats"}.get(kind, "integers")
        return f"{len(bits)} channels of {'/'.join(map(str, sorted(set(bits))))}-bit {values}"
    except Exception:  # as in decode_picture
        return None


def _loaded(image: Image.Image, data: bytes, at_least: int | None) -> Image.Image:
    if at_least is not None:
        image.draft(image.mode, (at_least, at_least))
    try:
        image.load()
        return image
    except OSError:
        if (ended := damage.with_end_mark(data)) is None:
            raise
    return _loaded(Image.open(io.BytesIO(ended), formats=("JPEG",)), ended, at_least)


def _orientation(image: Image.Image) -> int:
    # After load(): that turns a TIFF upright and removes the tag.
    try:
        if damage.has_oversized_directory(image.info.get("exif", b"")):
            return 1
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged metadata does not spoil the pixels
        return 1


def _deep_grey_to_8_bits(
    image: Image.Image, tags: Mapping[int, Any]
) -> tuple[Image.Image, np.ndarray | None]:
    """tags: those of a TIFF, as Pillow does not convert its values."""
    values = np.asarray(image)
    key = image.info.get("transparency")
    alpha = None if key is None else np.where(values == key, 0, 255).astype(np.uint8)
    bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (16,))[0]
    is_signed = tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,))[0] == 2
    if values.dtype.itemsize == 2:
        largest = (1 << bits) - 1
        grey = (values.astype(np.uint32) * 255 + largest // 2) // largest
    else:
        if values.dtype == np.int32 and tags and bits == 32 and not is_signed:
            values = values.view(np.uint32)
        values = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0).clip(0)
        grey = np.rint(values * (255 / max(values.max(initial=0.0), 1e-30)))
    if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO:
        grey = 255 - grey
    return Image.fromarray(grey.astype(np.uint8)), alpha


def _to_srgb_by_profile(image: Image.Image, profile: bytes) -> Image.Image:
    """Converts grey, CMYK and Lab. Returns the image itself if no usable profile belongs to it."""
    space = {"L": "GRAY", "CMYK": "CMYK", "LAB": "LAB"}.get(image.mode)
    try:
        if space == "LAB":  # needs no profile
            source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        elif space is not None and space == _profile_space(profile):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        else:
            return image
        srgb = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, source, srgb, outputMode="RGB") or image
    except (ImageCms.PyCMSError, OSError):
        return image


def _profile_space(profile: bytes) -> str | None:
    # ICC.1:2010, table 17: "acsp" at byte 36, the colour space of the pixels at byte 16.
    is_profile = len(profile) >= 128 and profile[36:40] == b"acsp"
    return profile[16:20].decode("latin-1").strip() if is_profile else None
