"""What is known of a picture file beyond what Pillow says of it.

What Pillow decodes without an error is read. Refused besides are bombs, which take minutes or
gigabytes to open, and sizes that the file's own bytes disprove, where Pillow leaves the missing
rows black or grey. Read besides are files that have all of their pixels and that Pillow refuses:
a JPEG without its end mark, and a PNG with a wrong checksum beside its pixels.
"""

import io
import re
import struct
import zlib
from collections.abc import Iterator

from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

MOST_SCANS = 64
"""Of a JPEG; programs write up to about 20, and a scan of a few bytes takes as long as any."""

# Pillow looks at every chunk and at every byte that a directory names, however often.
FEWEST_BYTES_A_CHUNK = 256
MOST_SMALL_CHUNKS = 10_000

MOST_PIXELS_A_JPEG_BYTE = 2048
"""64 for each bit, as a block of 8x8 has at least one; 4 times as many for subsampled rows."""

_PNG = b"\x89PNG\r\n\x1a\n"
_ANCILLARY = 0x20  # bit of a chunk's first letter: of what the pixels do not need (PNG, 5.4)
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
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # in a scan's data
_END = b"\xff\xd9"
_COEFFICIENTS = 64  # of a block

_ROWS, _BITS, _OFFSETS, _STRIP_ROWS, _PLANES = 257, 258, 273, 278, 284
_VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_VALUE_BYTES |= {13: 4, 16: 8, 17: 8, 18: 8}  # by TIFF's field type


def bomb(data: bytes) -> str | None:
    """What would make merely opening the picture file take minutes or gigabytes, or None."""
    if data.startswith(_PNG):
        most = MOST_SMALL_CHUNKS + len(data) // FEWEST_BYTES_A_CHUNK
        for count, _ in enumerate(_png_chunks(data), start=1):
            if count > most:
                return f"is in more than {most:,} pieces"
    if data.startswith(b"\xff\xd8"):
        scans = sum(marker == _START_OF_SCAN for marker, _ in _jpeg_markers(data))
        if scans > MOST_SCANS:
            return f"has {scans} scans; at most {MOST_SCANS} are read"
    if names_too_much(data):
        return "has a directory that names more bytes than there are"
    return None


def names_too_much(tiff: bytes) -> bool:
    """Whether the values of a TIFF's or an EXIF block's first directory exceed it in bytes.

    They do where many overlap, and each is read. False for what is neither.
    """
    start = 6 if tiff.startswith(b"Exif\0\0") else 0
    order = {b"II": "<", b"MM": ">"}.get(tiff[start : start + 2])
    try:
        if order is None:
            return False
        (version,) = struct.unpack_from(order + "H", tiff, start + 2)
        if version == 43:
            (at,) = struct.unpack_from(order + "Q", tiff, start + 8)
            (count,) = struct.unpack_from(order + "Q", tiff, start + at)
            first, entry, offset = start + at + 8, order + "HHQ", 20
        else:
            (at,) = struct.unpack_from(order + "I", tiff, start + 4)
            (count,) = struct.unpack_from(order + "H", tiff, start + at)
            first, entry, offset = start + at + 2, order + "HHI", 12
        named = 0
        for place in range(first, min(first + count * offset, len(tiff)), offset):
            _, kind, values = struct.unpack_from(entry, tiff, place)
            size = _VALUE_BYTES.get(kind, 1) * values
            # A single value that reaches beyond the end is not read.
            named += size if size <= len(tiff) else 0
            if named > len(tiff):
                return True
    except struct.error:
        pass
    return False


def lacks_pixels(data: bytes, image: Image.Image) -> bool:
    """Whether the file cannot hold all the pixels that it says, though Pillow would decode it.

    image: as Pillow opened data; its size has been found to be no more than is wanted.
    """
    if image.format == "PNG":
        return _png_lacks_pixels(data)
    if image.format in ("JPEG", "MPO"):
        is_huffman = any(marker in _HUFFMAN_FRAMES for marker, _ in _jpeg_markers(data))
        return is_huffman and image.width * image.height > MOST_PIXELS_A_JPEG_BYTE * len(data)
    return isinstance(image, TiffImageFile) and _tiff_lacks_strips(image)


def without_wrong_notes(data: bytes) -> bytes:
    """A PNG without those chunks beside the pixels whose checksum is wrong; all else as it is.

    Pillow refuses the file for them. libpng, and with it every viewer, passes them over.
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


def with_its_end(data: bytes) -> bytes | None:
    """A JPEG that lacks its end mark with one; None where it lacks pixels too.

    Bits behind the last pixel change none. Where pixels are missing, other bits make other pixels.
    """
    markers = list(_jpeg_markers(data))
    if any(marker == _END_OF_IMAGE for marker, _ in markers) or not _jpeg_has_all_scans(data):
        return None
    last, place = markers[-1]
    # Something else may stand behind the picture, a thumbnail for instance.
    begun = data[: place if last == _START_OF_IMAGE else None].rstrip(b"\xff")
    ended = begun + _END
    pixels = _jpeg_pixels(ended)
    if pixels is None or any(_jpeg_pixels(begun + more + _END) != pixels for more in _MORE):
        return None
    return ended


def _more_bits(first: int) -> bytes:
    """Bits for a scan, the first byte given, and for each of the intervals that may follow."""
    bits = bytes([first, *((number * number + first) % 251 for number in range(1, 64))])
    return bits + b"".join(bytes((0xFF, restart)) + bits for restart in range(0xD0, 0xD8))


# Of codes of a few bits each begins with others.
_MORE = tuple(_more_bits(first) for first in range(0x0A, 0xFF, 0x1F))


def _jpeg_pixels(jpeg: bytes) -> bytes | None:
    try:
        with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as image:
            return image.tobytes()
    except OSError:
        return None


def _jpeg_has_all_scans(data: bytes) -> bool:
    """Whether every coefficient of every component has come to its last bit (T.81, B.2.3, G.1)."""
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
    """Kind, first byte of the content and number of bytes, up to IEND or the file's end."""
    place, kind = len(_PNG), b""
    while place + 12 <= len(data) and kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, place)
        yield kind, place + 8, length
        place += 12 + length


def _png_lacks_pixels(data: bytes) -> bool:
    """Whether the pixels end, as they should, but too early. All other damage Pillow sees."""
    whole, pixels = memoryview(data), zlib.decompressobj()
    inflated, wanted = 0, _png_bytes(data)
    try:
        for kind, place, length in _png_chunks(data):
            if kind == b"IDAT":
                rest: bytes | memoryview = whole[place : place + length]
                while len(rest) and not pixels.eof and inflated < wanted:
                    inflated += len(pixels.decompress(rest, _INFLATED_AT_ONCE))
                    rest = pixels.unconsumed_tail
    except zlib.error:
        return False
    return pixels.eof and inflated < wanted


def _png_bytes(data: bytes) -> int:
    """How many bytes the pixels of a PNG have before they are compressed, by its header."""
    width, height, bits, colour, _, _, interlace = struct.unpack_from(">IIBBBBB", data, 16)
    total = 0
    for x, y, across, down in _ADAM7 if interlace else _PLAIN:
        columns, rows = -(-(width - x) // across), -(-(height - y) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + -(-columns * _SAMPLES.get(colour, 1) * bits // 8))
    return total


def _jpeg_markers(data: bytes) -> Iterator[tuple[int, int]]:
    """The markers up to the end of the first picture, and where each stands; none within a scan.

    The last is that end, or, where it is missing, what begins another picture.
    """
    place = 2
    while (place := data.find(b"\xff", place)) >= 0 and place + 1 < len(data):
        marker = data[place + 1]
        if marker == 0xFF:
            place += 1
            continue
        yield marker, place
        if marker in (_END_OF_IMAGE, _START_OF_IMAGE):
            return
        if marker not in _WITHOUT_LENGTH and place + 4 > len(data):
            return
        place += 2
        if marker not in _WITHOUT_LENGTH:
            place += int.from_bytes(data[place : place + 2], "big")
        if marker == _START_OF_SCAN:
            following = _MARKER.search(data, place)
            if following is None:
                return
            place = following.start()


def _tiff_lacks_strips(image: TiffImageFile) -> bool:
    """Whether there are fewer strips than the rows need."""
    tags = image.tag_v2
    strips, rows = tags.get(_OFFSETS), tags.get(_ROWS, 0)
    if not strips:
        return False
    planes = len(tags.get(_BITS, (1,))) if tags.get(_PLANES) == 2 else 1
    return len(strips) < planes * -(-rows // (tags.get(_STRIP_ROWS) or rows or 1))
