"""The picture formats that are read and written, by the ending of a name and by a file's bytes."""

import functools
import os
import struct
from importlib.util import find_spec

from fast_style.errors import UserError

HEIC = "HEIF"  # pillow-heif's name for it
# Not all of Pillow's formats: some start other programs (EPS starts Ghostscript).
READ = ("JPEG", "PNG", "WEBP", "AVIF", "JPEG2000", "BMP", "GIF", "TIFF")
NEEDS_PILLOW_HEIF = "HEIC is read with pillow-heif: pip install 'fast-style[heic]'"

WRITTEN = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
"""Ending of a name to the format in which such a picture is written."""

_READ_ONLY = (".jfif", ".jpe", ".jif", ".apng", ".avif", ".jp2", ".j2k", ".jpx", ".jpf", ".jpc")
_HEIC_ENDINGS = (".heic", ".heif", ".hif")
READ_ENDINGS = (*WRITTEN, *_READ_ONLY, *_HEIC_ENDINGS)

# Raw files of cameras. Some are TIFFs, of which Pillow would read a thumbnail.
_RAW = {".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".orf", ".rw2"}
_RAW |= {".raf", ".pef", ".srw", ".x3f", ".rwl", ".3fr", ".iiq", ".dcr", ".kdc", ".mrw", ".erf"}
_UNREAD = {".jxl", ".jxr", ".psd", ".psb", ".xcf", ".svg", ".svgz", ".eps", ".ai", ".ico", ".cur"}
_UNREAD |= {".tga", ".dds", ".exr", ".hdr", ".pcx", ".ppm", ".pgm", ".pbm", ".pnm", ".pam", ".qoi"}
_UNREAD |= {".dib", ".xbm", ".xpm", ".sgi", ".icns", ".wmf", ".emf", ".bpg", ".flif"}
UNREAD_ENDINGS = (*sorted(_RAW), *sorted(_UNREAD))

_BEGINNINGS = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "JPEG2000": (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
}
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # bytes
# Brands in the `ftyp` box (ISO/IEC 14496-12). An AVIF may have HEIC's brands as well.
_BRANDS = {
    "AVIF": {b"avif", b"avis"},
    HEIC: {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"},
}
BEGINNING = 64  # the first bytes of a file, which identify its format


def title(file_format: str) -> str:
    """Returns the usual name of one of Pillow's formats."""
    titles = {"WEBP": "WebP", "JPEG2000": "JPEG 2000", HEIC: "HEIC"}
    return titles.get(file_format, file_format)


def format_of(data: bytes) -> str | None:
    """Returns Pillow's name of the format that a file with these first bytes has, or None."""
    for file_format, beginnings in _BEGINNINGS.items():
        if data.startswith(beginnings):
            return file_format
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:2] == b"BM" and struct.unpack("<I", data[14:18].ljust(4))[0] in _BMP_HEADERS:
        return "BMP"
    if data[4:8] == b"ftyp":
        size = min(int.from_bytes(data[:4], "big"), BEGINNING)
        found = {data[place : place + 4] for place in range(8, size, 4)}
        return next((name for name, brands in _BRANDS.items() if found & brands), None)
    return None


def format_of_file(path: str | os.PathLike[str]) -> str | None:
    """Returns format_of the first bytes of a file, or None if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return format_of(file.read(BEGINNING))
    except OSError:
        return None


def why_unread(ending: str) -> str | None:
    """Returns why pictures with this ending are not read; None if they are, or are no pictures."""
    ending = ending.lower()
    if ending in _HEIC_ENDINGS and not find_spec("pillow_heif"):
        return NEEDS_PILLOW_HEIF
    if ending in _RAW:
        return f"is a camera's raw file ({ending[1:].upper()}), which is not read"
    if ending in _UNREAD:
        return f"{ending[1:].upper()} is not read"
    return None


@functools.cache
def add_heic() -> None:
    """Lets Pillow read HEIC. Raises UserError if pillow-heif is missing."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise UserError(NEEDS_PILLOW_HEIF) from None
    register_heif_opener()
