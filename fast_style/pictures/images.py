"""Picture files to RGB arrays and back."""

import glob
import io
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin

from fast_style.errors import UserError, naming, nearest, printable, reason
from fast_style.files import check_target, read_bytes, write_atomically
from fast_style.pictures import damage, formats
from fast_style.pictures.formats import READ_ENDINGS, WRITTEN

MAX_PIXELS = 178_956_970
"""Larger pictures are refused before they are decoded, unless they are asked for: few bytes can
claim to be many pixels. Where Pillow refuses them too."""

MOST_BYTES_A_PIXEL = 16
"""Four channels of 32 bits; nothing that is read has more."""

# Pillow would warn on stderr at half of it; decode_picture checks the size.
Image.MAX_IMAGE_PIXELS = None
# Pillow warns of damaged metadata in pictures whose pixels are fine.
warnings.filterwarnings("ignore", module=r"PIL\.")

_WITH_ALPHA = ("PNG", "WEBP", "TIFF")
_WITH_ICC_PROFILE = ("JPEG", "PNG", "WEBP", "TIFF")

PICTURE_ENDINGS = tuple(WRITTEN)
"""Of the names of pictures that are written."""

_WHITE_IS_ZERO = 0  # of TIFF's photometric interpretations

# What turns a picture upright, by the value of its EXIF orientation.
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
    """A picture that is refused before it is decoded."""


@dataclass(frozen=True, eq=False)
class Picture:
    """Upright pixels and what has to go with them into another file.

    rgb: (H, W, 3) uint8. alpha: (H, W) uint8, or None when the file had none. icc_profile: the
    RGB colour profile that rgb is meant in, or None for sRGB.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    icc_profile: bytes | None = None


def read_picture(path: str | os.PathLike[str], *, most_pixels: int = MAX_PIXELS) -> Picture:
    """The picture in a file of a format that is read, its first frame, upright, as RGB.

    Raises UserError naming the file when it is missing, a folder, unreadable, not a picture,
    damaged or cut short; TooManyPixels, which is one, where there are more than most_pixels.
    """
    data = read_picture_file(path, most_pixels=most_pixels)
    return decode_picture(data, str(path), most_pixels=most_pixels)


def read_picture_file(path: str | os.PathLike[str], *, most_pixels: int = MAX_PIXELS) -> bytes:
    """The bytes of a picture file, for decode_picture. Raises UserError as read_bytes does.

    A file is refused that is larger than so many pixels are in any format.
    """
    return read_bytes(path, at_most=MOST_BYTES_A_PIXEL * most_pixels)


def decode_picture(
    data: bytes, name: str, *, at_least: int | None = None, most_pixels: int = MAX_PIXELS
) -> Picture:
    """The picture in the bytes of a picture file; name is what error messages call it.

    JPEG, PNG, WebP, AVIF, JPEG 2000, BMP, GIF, TIFF, and with pillow-heif HEIC are read, by their
    bytes: whatever Pillow decodes without an error, and files of which a mark of the end or a note
    is missing or wrong, but no pixel.

    EXIF orientation is applied. 16-bit grey keeps its high byte, rounded; 32-bit and float grey
    is scaled so that its largest value is white. Pixels that are not RGB (grey, CMYK, Lab) go to
    sRGB by their own colour profile where there is one, and only RGB profiles are kept.

    at_least: the caller will shrink the short side to this many pixels, so a large JPEG may be
    decoded, much faster, at 1/2, 1/4 or 1/8 of its size as long as both sides stay that long.

    Raises UserError as read_picture does.
    """
    if not data:
        raise UserError(f"{name}: is empty, not a picture")
    try:
        if (bomb := damage.bomb(data)) is not None:
            raise UserError(f"{name}: is refused as a bomb: it {bomb}")
        data = damage.without_wrong_notes(data)
        image = _opened(data, name)
    except UserError:
        raise
    except Exception as error:  # on damaged headers Pillow's readers raise nearly anything
        raise UserError(f"{name}: is damaged: {reason(error)}") from error
    width, height = image.size
    if width * height > most_pixels:
        raise TooManyPixels(
            f"{name}: {width}x{height} is {width * height:,} pixels; at most {most_pixels:,} are "
            "read, as small files can claim any size"
        )
    try:
        if damage.lacks_pixels(data, image):
            raise UserError(f"{name}: is damaged or cut short: holds fewer pixels than it says")
        picture = picture_of(_loaded(image, data, at_least))
    except MemoryError:
        raise UserError(f"{name}: {width}x{height} does not fit into memory") from None
    except UserError:
        raise
    except Exception as error:  # as above
        raise UserError(f"{name}: is damaged or cut short: {reason(error)}") from error
    if picture.rgb.size == 0:
        raise UserError(f"{name}: has no pixels ({width}x{height})")
    return picture


def picture_of(image: Image.Image) -> Picture:
    """The picture in a loaded Pillow image, as decode_picture has it. Raises as Pillow does."""
    profile, tags = image.info.get("icc_profile"), getattr(image, "tag_v2", {})
    upright = _UPRIGHT.get(_orientation(image))
    if upright is not None:
        # transpose() keeps mode, palette and transparency key.
        image = image.transpose(upright)
    rgb, alpha = _to_rgb_and_alpha(image, profile, tags)
    keeps_profile = image.mode.startswith(("RGB", "P")) and _profile_space(profile) == "RGB"
    return Picture(rgb, alpha, profile if keeps_profile else None)


def encode_picture(picture: Picture, ending: str, quality: int = 95) -> bytes:
    """The bytes of a picture file in the format that goes with a name's ending.

    quality: 1 to 100, for JPEG and WebP. Alpha is kept in PNG, WebP and TIFF; in the others the
    picture is laid on white. The ICC profile is kept in all but BMP and GIF.
    Raises UserError for an ending that is not in PICTURE_ENDINGS and for pictures that a format
    cannot hold (JPEG ends at 65,500 pixels a side, WebP at 16,383).
    """
    file_format = _format_of(ending)
    if picture.alpha is not None and file_format in _WITH_ALPHA:
        image = Image.fromarray(np.dstack([picture.rgb, picture.alpha]))
    else:
        image = Image.fromarray(flatten_on_white(picture))
    options: dict[str, object] = {}
    if file_format in ("JPEG", "WEBP"):
        options["quality"] = quality
    if file_format == "JPEG" and quality >= 90:
        # Saturated strokes beside dark outlines bleed when chroma is stored at half size.
        options["subsampling"] = "4:4:4"
    if file_format == "TIFF":
        options["compression"] = "tiff_adobe_deflate"
    if picture.icc_profile is not None and file_format in _WITH_ICC_PROFILE:
        options["icc_profile"] = picture.icc_profile
    buffer = io.BytesIO()
    try:
        image.save(buffer, file_format, **options)
    except Exception as error:  # every format has limits and exceptions of its own
        height, width = picture.rgb.shape[:2]
        raise UserError(
            f"a {width}x{height} picture cannot be written as {file_format} ({reason(error)}); "
            "try .png"
        ) from error
    return buffer.getvalue()


def write_picture(path: str | os.PathLike[str], picture: Picture) -> None:
    """Write a picture file, whole or not at all, in the format of its name's ending.

    Raises UserError naming the file for all that encode_picture and write_atomically refuse.
    """
    with naming(path):
        data = encode_picture(picture, Path(path).suffix)
    write_atomically(path, data)


def check_picture_target(path: str | os.PathLike[str]) -> None:
    """Raise UserError, before any work, where write_picture could not write to `path`."""
    with naming(path):
        _format_of(Path(path).suffix)
    check_target(path)


@dataclass(frozen=True)
class Found:
    """What a file name, a folder or a glob stands for.

    left_out: pictures of kinds that are not read, each with the reason. others: files that are no
    pictures.
    """

    pictures: list[Path]
    left_out: dict[Path, str]
    others: list[Path]


def find_pictures(spec: str | os.PathLike[str]) -> list[Path]:
    """The picture files that a file name, a folder (with all below it) or a glob stands for.

    As search has them; what is left out of pictures is named in the log.
    Raises UserError when there is none.
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
    """The files that a file name, a folder (with all below it) or a glob stands for.

    In folders and globs (`**` reaches into sub-folders) a picture is what has one of
    READ_ENDINGS, in upper or lower case, or no ending and the first bytes of a picture; what
    stands behind the last dot of "Scan 10.15.22" or "1.5 holiday" is none. A file that is named
    itself is taken as it is. Files and folders that is_hidden knows are passed over. Sorted, so
    that the order does not depend on the disk. Raises UserError when there is no picture.
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
            not _tells_a_kind(candidate.suffix) and formats.format_of_file(candidate)
        ):
            found.pictures.append(candidate)
        else:
            found.others.append(candidate)
    if not found.pictures:
        unread = "".join(f"; {path}: {why}" for path, why in list(found.left_out.items())[:1])
        raise UserError(f"{spec}: no pictures {where}; known are {', '.join(READ_ENDINGS)}{unread}")
    return found


def is_hidden(part: str) -> bool:
    """Whether a file or folder of this name is hidden, or a Synology's folder of thumbnails."""
    return part.startswith(".") or part == "@eaDir"


def _tells_a_kind(ending: str) -> bool:
    return any(map(str.isalpha, ending)) and not any(map(str.isspace, ending))


def flatten_on_white(picture: Picture) -> np.ndarray:
    """What a viewer shows of a picture on a white page: (H, W, 3) uint8."""
    if picture.alpha is None:
        return picture.rgb
    weight = picture.alpha[..., None].astype(np.uint16)
    # Integers to the nearest: no value reaches 2^16, and opaque pixels come out unchanged.
    return ((picture.rgb * weight + 255 * (255 - weight) + 127) // 255).astype(np.uint8)


def _format_of(ending: str) -> str:
    file_format = WRITTEN.get(ending.lower())
    if file_format is None:
        raise UserError(
            f"unknown ending {ending!r}; {nearest(ending.lower(), PICTURE_ENDINGS)}"
            if ending
            else f"the name has no ending; one of: {', '.join(PICTURE_ENDINGS)}"
        )
    return file_format


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
    """What the pixels of a TIFF are; None where its directory is cut short or does not say."""
    try:
        directory = TiffImagePlugin.ImageFileDirectory_v2(data[:8])
        begin, file = directory.next, io.BytesIO(data)
        file.seek(begin)
        directory.load(file)
        if directory.next == begin:  # Pillow did not come to its end
            return None
        bits = directory[TiffImagePlugin.BITSPERSAMPLE]
        kind = directory.get(TiffImagePlugin.SAMPLEFORMAT, (1,))[0]
        values = {2: "signed integers", 3: "floats"}.get(kind, "integers")
        return f"{len(bits)} channels of {'/'.join(map(str, sorted(set(bits))))}-bit {values}"
    except Exception:  # as Pillow's readers do
        return None


def _loaded(image: Image.Image, data: bytes, at_least: int | None) -> Image.Image:
    if at_least is not None:
        image.draft(image.mode, (at_least, at_least))
    try:
        image.load()
        return image
    except OSError:
        ended = damage.with_its_end(data) if image.format in ("JPEG", "MPO") else None
        if ended is None:
            raise
    return _loaded(Image.open(io.BytesIO(ended), formats=("JPEG",)), ended, at_least)


def _orientation(image: Image.Image) -> int:
    # After load(): Pillow turns TIFFs upright while loading them and then forgets the tag.
    try:
        if damage.names_too_much(image.info.get("exif", b"")):
            return 1
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged metadata does not spoil the pixels
        return 1


def _to_rgb_and_alpha(
    image: Image.Image, profile: bytes | None, tags: Mapping[int, Any]
) -> tuple[np.ndarray, np.ndarray | None]:
    if image.mode.startswith(("I", "F")):
        image, alpha = _deep_grey_to_8_bits(image, tags)
    elif image.has_transparency_data:
        alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    else:
        alpha = None
    if alpha is not None and image.mode in ("LA", "La"):
        image = image.convert("LA").getchannel("L")
    if image.mode in ("L", "CMYK", "LAB"):
        converted = _to_srgb_by_profile(image, profile)
        if converted is not None:
            return np.asarray(converted), alpha
    if alpha is not None and image.mode not in ("L", "RGB"):
        # Palettes with transparency, and colours multiplied by their alpha.
        return np.asarray(image.convert("RGBA"))[..., :3], alpha
    return np.asarray(image.convert("RGB")), alpha


def _deep_grey_to_8_bits(
    image: Image.Image, tags: Mapping[int, Any]
) -> tuple[Image.Image, np.ndarray | None]:
    """tags: of a TIFF, whose values Pillow leaves as they are stored."""
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


def _to_srgb_by_profile(image: Image.Image, profile: bytes | None) -> Image.Image | None:
    """None where the profile does not belong to the pixels, or cannot be used."""
    space = {"L": "GRAY", "CMYK": "CMYK", "LAB": "LAB"}[image.mode]
    try:
        if space == "LAB":
            # Lab needs no profile: it means the same everywhere.
            source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        elif profile is not None and _profile_space(profile) == space:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        else:
            return None
        return ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError):
        return None


def _profile_space(profile: bytes | None) -> str | None:
    # ICC.1:2010, table 17: "acsp" at byte 36, the colour space of the pixels at byte 16.
    if profile is None or len(profile) < 128 or profile[36:40] != b"acsp":
        return None
    return profile[16:20].decode("latin-1").strip()
