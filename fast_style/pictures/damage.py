"""Checks of a picture file's bytes that Pillow does not make, and repairs.

A file that Pillow decodes without an error is read. Two kinds are refused all the same: bombs,
which take minutes or gigabytes to open, and files whose bytes cannot hold the pixels that they
claim, for which Pillow would return black or grey rows. Two kinds that Pillow refuses are
repaired, as they have all of their pixels: a JPEG without its end mark, and a PNG with a wrong
checksum in its metadata.
"""

import io
import re
import struct
import zlib
from collections.abc import Iterator

from PIL import Image, TiffImagePlugin

# Of a JPEG. Programs write up to about 20; a scan of a few bytes takes as long as any other.
MOST_SCANS = 64
# Pillow reads every chunk of a PNG, however small.
FEWEST_BYTES_A_CHUNK, MOST_SMALL_CHUNKS = 256, 10_000
# 64 for each bit, as a block of 8x8 has at least one; 4 times as many for subsampled rows.
MOST_PIXELS_A_JPEG_BYTE = 2048

_PNG = b"\x89PNG\r\n\x1a\n"
_ANCILLARY = 0x20  # bit of the first letter of a chunk that the pixels do not need (PNG, 5.4)
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by PNG's colour type
# First column and row of each pass, and the steps to the next: plain, and Adam7 (PNG, 8.2).
_PLAIN = ((0, 0, 1, 1),)
_ADAM7 = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
_INFLATED_AT_ONCE = 1 << 18

_START_OF_IMAGE, _START_OF_SCAN, _END_OF_IMAGE = 0xD8, 0xDA, 0xD9
_HUFFMAN_FRAMES = {0xC0, 0xC1, 0xC2}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_MARKER = re.compile(rb"\xff[^\xff]")
_MARKER_IN_A_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_END = b"\xff\xd9"
_COEFFICIENTS = 64  # of a block

_VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_VALUE_BYTES |= {13: 4, 16: 8, 17: 8, 18: 8}  # by TIFF's field type


def bomb(data: bytes) -> str | None:
    """Returns why merely opening the picture would take minutes or gigabytes, or None."""
    if data.startswith(_PNG):
        most = MOST_SMALL_CHUNKS + len(data) // FEWEST_BYTES_A_CHUNK
        if any(count > most for count, _ in enumerate(_png_chunks(data), start=1)):
            return f"is in more than {most:,} pieces"
    if data.startswith(b"\xff\xd8"):
        scans = sum(marker == _START_OF_SCAN for marker, _ in _jpeg_markers(data))
        if scans > MOST_SCANS:
            return f"has {scans} scans; at most {MOST_SCANS} are read"
    if has_oversized_directory(data):
        return "has a directory that names more bytes than there are"
    return None


def has_oversized_directory(tiff: bytes) -> bool:
    """Whether the values of the first directory of a TIFF or EXIF block exceed its bytes.

    That is so if many values overlap; Pillow reads each of them. False for any other data.
    """
    start = 6 if tiff.startswith(b"Exif\0\0") else 0
    order = {b"II": "<", b"MM": ">"}.get(tiff[start : start + 2])
    if order is None:
        return False
    try:
        (version,) = struct.unpack_from(order + "H", tiff, start + 2)
        pointer, counter, entry = ("Q", "Q", "HHQ8x") if version == 43 else ("I", "H", "HHI4x")
        (at,) = struct.unpack_from(order + pointer, tiff, start + struct.calcsize(pointer))
        (count,) = struct.unpack_from(order + counter, tiff, start + at)
        first, size = start + at + struct.calcsize(counter), struct.calcsize(order + entry)
        named = 0
        for place in range(first, min(first + count * size, len(tiff)), size):
            _, kind, values = struct.unpack_from(order + entry, tiff, place)
            length = _VALUE_BYTES.get(kind, 1) * values
            # A single value that reaches beyond the end is not read.
            named += length if length <= len(tiff) else 0
            if named > len(tiff):
                return True
    except struct.error:
        pass
    return False


def has_late_metadata(png: bytes) -> bool:
    """Whether metadata follow the pixels of a PNG, where Pillow finds them only in the end."""
    kinds = [kind for kind, _, _ in _png_chunks(png)]
    pixels = kinds.index(b"IDAT") if b"IDAT" in kinds else 0
    return any(kind not in (b"IDAT", b"IEND") for kind in kinds[pixels:])


def lacks_pixels(data: bytes, image: Image.Image) -> bool:
    """Whether the file cannot hold all of its pixels, although Pillow would decode it.

    image: data as Pillow opened it, with no more pixels than the caller allows.
    """
    if image.format == "PNG":
        return _png_lacks_pixels(data)
    if image.format in ("JPEG", "MPO"):
        is_huffman = any(marker in _HUFFMAN_FRAMES for marker, _ in _jpeg_markers(data))
        return is_huffman and image.width * image.height > MOST_PIXELS_A_JPEG_BYTE * len(data)
    return isinstance(image, TiffImagePlugin.TiffImageFile) and _tiff_lacks_strips(image)


def without_damaged_metadata(data: bytes) -> bytes:
    """Returns a PNG without the metadata whose checksum is wrong, and other files unchanged.

    Pillow refuses such a file. libpng, and with it every viewer, ignores these chunks.
    """
    if not data.startswith(_PNG):
        return data
    kept, begun = [], 0
    for kind, place, length in _png_chunks(data):
        if kind[0] & _ANCILLARY and place + length + 4 <= len(data):
            (checksum,) = struct.unpack_from(">I", data, place + length)
            if zlib.crc32(memoryview(data)[place - 4 : place + length]) != checksum:
                kept.append(data[begun : place - 8])
                begun = place + length + 4
    return b"".join([*kept, data[begun:]]) if kept else data


def with_end_mark(data: bytes) -> bytes | None:
    """Returns a JPEG that lacks its end mark with one; None if it lacks pixels or is no such JPEG.

    Bits after the last pixel change no pixel. If pixels are missing, other bits give other pixels.
    """
    markers = list(_jpeg_markers(data))
    if any(marker == _END_OF_IMAGE for marker, _ in markers) or not _jpeg_has_all_scans(data):
        return None
    last, place = markers[-1]
    # Something else may follow the picture, such as a thumbnail.
    begun = data[: place if last == _START_OF_IMAGE else None].rstrip(b"\xff")
    ended = begun + _END
    pixels = _jpeg_pixels(ended)
    if pixels is None or any(_jpeg_pixels(begun + more + _END) != pixels for more in _MORE):
        return None
    return ended


def _more_bits(first: int) -> bytes:
    """Returns bits that continue a scan: the first byte given, and some for later intervals."""
    bits = bytes([first, *((number * number + first) % 251 for number in range(1, 64))])
    return bits + b"".join(bytes((0xFF, restart)) + bits for restart in range(0xD0, 0xD8))


# Different first bytes, as a code can have few bits.
_MORE = tuple(_more_bits(first) for first in range(0x0A, 0xFF, 0x1F))


def _jpeg_pixels(jpeg: bytes) -> bytes | None:
    try:
        with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as image:
            return image.tobytes()
    except OSError:
        return None


def _jpeg_has_all_scans(data: bytes) -> bool:
    """Whether the scans give every coefficient of every component exactly (T.81, B.2.3, G.1)."""
    wanted: set[int] = set()
    exact: dict[int, set[int]] = {}
    for marker, place in _jpeg_markers(data):
        part = data[place + 4 : place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")]
        if marker in _HUFFMAN_FRAMES and len(part) > 5:
            wanted = set(part[6 : 6 + 3 * part[5] : 3])
        if marker == _START_OF_SCAN and part and len(part) >= 4 + 2 * part[0]:
            first, last, approximation = part[1 + 2 * part[0] : 4 + 2 * part[0]]
            if not approximation & 15:
                for component in part[1 : 1 + 2 * part[0] : 2]:
                    exact.setdefault(component, set()).update(range(first, last + 1))
    return bool(wanted) and all(len(exact.get(each, ())) == _COEFFICIENTS for each in wanted)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yields the kind, place and length of each chunk's content, up to IEND or the file's end."""
    place, kind = len(_PNG), b""
    while place + 12 <= len(data) and kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, place)
        yield kind, place + 8, length
        place += 12 + length


def _png_lacks_pixels(data: bytes) -> bool:
    """Whether the compressed pixels end properly but too early. Pillow sees all other damage."""
    pixels, wanted, found = zlib.decompressobj(), _png_bytes(data), 0
    try:
        for kind, place, length in _png_chunks(data):
            rest: bytes | memoryview = memoryview(data)[place : place + length]
            while kind == b"IDAT" and rest and not pixels.eof and found < wanted:
                found += len(pixels.decompress(rest, _INFLATED_AT_ONCE))
                rest = pixels.unconsumed_tail
    except zlib.error:
        return False
    return pixels.eof and found < wanted


def _png_bytes(data: bytes) -> int:
    """Returns how many bytes the pixels of a PNG have uncompressed, by its header."""
    width, height, bits, colour, _, _, interlace = struct.unpack_from(">IIBBBBB", data, 16)
    total = 0
    for x, y, across, down in _ADAM7 if interlace else _PLAIN:
        columns, rows = -(-(width - x) // across), -(-(height - y) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + -(-columns * _SAMPLES.get(colour, 1) * bits // 8))
    return total


def _jpeg_markers(data: bytes) -> Iterator[tuple[int, int]]:
    """Yields the markers of the first picture and their places, without restarts in a scan.

    The last one is the end mark or, if that is missing, the start of another picture.
    """
    place, pattern = 2, _MARKER
    while found := pattern.search(data, place):
        place = found.start()
        marker = data[place + 1]
        yield marker, place
        if marker in (_END_OF_IMAGE, _START_OF_IMAGE):
            return
        place += 2
        if marker not in _WITHOUT_LENGTH:
            place += int.from_bytes(data[place : place + 2], "big")
        pattern = _MARKER_IN_A_SCAN if marker == _START_OF_SCAN else _MARKER


def _tiff_lacks_strips(image: TiffImagePlugin.TiffImageFile) -> bool:
    """Whether there are fewer strips than the rows need."""
    tags = image.tag_v2
    strips, rows = tags.get(TiffImagePlugin.STRIPOFFSETS), tags.get(TiffImagePlugin.IMAGELENGTH, 0)
    if not strips:
        return False
    is_planar = tags.get(TiffImagePlugin.PLANAR_CONFIGURATION) == 2
    planes = len(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))) if is_planar else 1
    return len(strips) < planes * -(-rows // (tags.get(TiffImagePlugin.ROWSPERSTRIP) or rows or 1))
