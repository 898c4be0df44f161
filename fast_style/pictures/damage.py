"""What shows that a picture file is damaged, cut short or a bomb, where Pillow would not see it.

Pillow reads a PNG without looking at the checksums of its pixels, leaves rows black that a file
does not hold, and gives a JPEG's missing end as grey.
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

_PNG = b"\x89PNG\r\n\x1a\n"
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by PNG's colour type
# First column and row of each pass, and the steps to the next: plain, and Adam7 (PNG, 8.2).
_PLAIN = ((0, 0, 1, 1),)
_ADAM7 = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
_INFLATED_AT_ONCE = 1 << 18

_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # in a scan's data
# Any do that are not all the same, and no marker.
_OTHER_BITS = bytes(number * number % 251 for number in range(1, 65))

_COMPRESSION, _JPEG, _DEFLATE = 259, 7, (8, 32946)
_BITS, _PHOTOMETRIC, _SUBSAMPLED, _OFFSETS, _SIZES, _PLANES = 258, 262, 6, 273, 279, 284
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


def before_decoding(data: bytes, image: Image.Image) -> str | None:
    """What shows, before the pixels are decoded, that not all of the file is there as it was.

    image: as Pillow opened data; its size has been found to be no more than is wanted.
    """
    if image.format == "PNG":
        return _png_damage(data)
    if image.format in ("JPEG", "MPO"):
        markers = [marker for marker, _ in _jpeg_markers(data)]
        return None if markers[-1] == _END_OF_IMAGE else "its end is missing"
    if image.format == "GIF":
        return _gif_damage(data)
    if image.format == "BMP":
        return _bmp_damage(data)
    if isinstance(image, TiffImageFile):
        return _tiff_damage(data, image)
    return None


def after_decoding(data: bytes, image: Image.Image) -> str | None:
    """What shows, once the pixels are decoded, that they are not those that the file holds.

    image: data, decoded, at any of JPEG's scales; at a smaller one only missing pixels are found.
    """
    if image.format == "GIF":
        return _gif_holds_more(data)
    if image.format not in ("JPEG", "MPO"):
        return None
    scans = list(_jpeg_scans(data))
    # Decoders give what is missing the middle value; its colour blends with what is beside it.
    corner = image.crop((image.width - 1, image.height - 1, image.width, image.height))
    values = corner.convert("L" if image.mode == "RGB" else None).tobytes()
    if all(abs(value - 127.5) <= 2 for value in values):
        # A scan that is complete has no use for more bits behind it; another would decode them.
        longer = _with(data, [(end, end) for _, end in scans])
        if _small(longer) != _small(data):
            return "holds fewer pixels than it says"
    if image.size == _size(data):
        # The last bits of a scan that is read to its end are the picture's last pixels.
        begin, end = scans[0]
        end = begin + len(data[begin:end].rstrip(b"\0\xff"))  # some programs fill up with these
        other = _with(data, [(max(end - len(_OTHER_BITS), (begin + end) // 2), end)])
        # Of a picture all of one colour no bits may matter, not even the first.
        first = _with(data, [(begin, (begin + end) // 2)])
        if _small(other) == _small(data) != _small(first):
            return "holds more pixels than it says"
    return None


def _with(data: bytes, places: list[tuple[int, int]]) -> bytes:
    """The bytes with other bits in some places."""
    parts, begun = [], 0
    for begin, end in places:
        parts += [data[begun:begin], _OTHER_BITS]
        begun = end
    return b"".join([*parts, data[begun:]])


def _size(jpeg: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as image:
        return image.size


def _small(jpeg: bytes) -> bytes:
    with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as image:
        image.draft(image.mode, (1, 1))
        return image.tobytes()


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, first byte of the content and number of bytes, up to IEND or the file's end."""
    place, kind = len(_PNG), b""
    while place + 12 <= len(data) and kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, place)
        yield kind, place + 8, length
        place += 12 + length


def _png_damage(data: bytes) -> str | None:
    whole = memoryview(data)
    pixels = zlib.decompressobj()
    inflated = 0
    kind = b""
    wanted = _png_bytes(data)
    try:
        for kind, place, length in _png_chunks(data):
            if place + length + 4 > len(data):
                return "its end is missing"
            (checksum,) = struct.unpack_from(">I", data, place + length)
            if zlib.crc32(whole[place - 4 : place + length]) != checksum:
                return f"the checksum of its {kind.decode('latin-1')} is wrong"
            if kind == b"IDAT":
                rest: bytes | memoryview = whole[place : place + length]
                while len(rest) and not pixels.eof and inflated <= wanted:
                    inflated += len(pixels.decompress(rest, _INFLATED_AT_ONCE))
                    rest = pixels.unconsumed_tail
    except zlib.error as error:
        return str(error)
    if kind != b"IEND":
        return "its end is missing"
    if inflated != wanted or not pixels.eof:
        fewer = inflated < wanted
        return f"holds {'fewer' if fewer else 'more'} pixels than it says"
    return None


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
    """The markers up to the end of the first picture, and where each stands; none within a scan."""
    place = 2
    while (place := data.find(b"\xff", place)) >= 0 and place + 1 < len(data):
        marker = data[place + 1]
        if marker == 0xFF:
            place += 1
            continue
        yield marker, place
        if marker == _END_OF_IMAGE or (marker not in _WITHOUT_LENGTH and place + 4 > len(data)):
            return
        place += 2
        if marker not in _WITHOUT_LENGTH:
            place += int.from_bytes(data[place : place + 2], "big")
        if marker == _START_OF_SCAN:
            following = _MARKER.search(data, place)
            if following is None:
                return
            place = following.start()


def _jpeg_scans(data: bytes) -> Iterator[tuple[int, int]]:
    """Where the bits of each scan begin and end."""
    begin = 0
    for marker, place in _jpeg_markers(data):
        if begin:
            yield begin, place
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        begin = place + 2 + length if marker == _START_OF_SCAN else 0


def _gif_damage(data: bytes) -> str | None:
    place = 13 + _palette(data[10])
    while place < len(data) and data[place] in (0x21, 0x2C):
        if data[place] == 0x21:
            place += 2
        else:
            place += 11 + _palette(data[place + 9] if place + 9 < len(data) else 0)
        while place < len(data) and data[place]:
            place += 1 + data[place]
        place += 1
    return None if data[place : place + 1] == b";" else "its end is missing"


def _gif_holds_more(data: bytes) -> str | None:
    # With a few pixels more than it says it is cut short, or else the data have them.
    place = 13 + _palette(data[10])
    while data[place] != 0x2C:
        place += 2
        while data[place]:
            place += 1 + data[place]
        place += 1
    width, height = struct.unpack_from("<HH", data, place + 5)
    more_wide = -(-(width * height + 1) // 0xFFFF)
    more_high = -(-(width * height + 1) // more_wide)
    end = place + 11 + _palette(data[place + 9])
    while data[end]:
        end += 1 + data[end]
    size = struct.pack("<HH", more_wide, more_high)
    larger = data[: place + 5] + size + data[place + 9 : end] + b"\0;"
    try:
        with Image.open(io.BytesIO(larger), formats=("GIF",)) as image:
            image.load()
    except OSError:
        return None
    return "holds more pixels than it says"


def _bmp_damage(data: bytes) -> str | None:
    """Of what is not compressed: more rows than the header says, where its own size has them."""
    size, _, first, header = struct.unpack_from("<IIII", data, 2)
    if not 40 <= header <= 108:  # the oldest have other fields, the newest hold profiles
        return None
    width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    row = (width * bits + 31) // 32 * 4
    if compression in (0, 3) and min(size, len(data)) - first - row * abs(height) > 3:
        return "holds more pixels than it says"
    return None


def _tiff_damage(data: bytes, image: TiffImageFile) -> str | None:
    """Of strips that are not compressed, or with zlib, of which libtiff reads no last checksum."""
    tags = image.tag_v2
    places = list(zip(tags.get(_OFFSETS, ()), tags.get(_SIZES, ()), strict=False))
    compression = tags.get(_COMPRESSION, 1)
    if compression == _JPEG:
        return _tiff_jpeg_damage(data, image, places)
    if not places or compression not in (1, *_DEFLATE) or tags.get(_PHOTOMETRIC) == _SUBSAMPLED:
        return None
    planes = tags.get(_PLANES, 1)
    row = -(-image.width * sum(tags.get(_BITS, (1,))) // 8) if planes == 1 else image.width
    wanted, held = row * image.height, 0
    for begin, size in places:
        strip = memoryview(data)[begin : begin + size]
        pixels, rest = zlib.decompressobj(), strip
        if compression == 1:
            held += len(strip)
            continue
        try:
            while len(rest) and not pixels.eof and held <= 2 * wanted + row:
                held += len(pixels.decompress(rest, _INFLATED_AT_ONCE))
                rest = memoryview(pixels.unconsumed_tail)
        except zlib.error as error:
            return str(error)
    if planes != 1:  # each of them may have another number of bits
        return None
    if held < wanted:
        return "holds fewer pixels than it says"
    return "holds more pixels than it says" if held > wanted + 3 * len(places) else None


def _tiff_jpeg_damage(
    data: bytes, image: TiffImageFile, places: list[tuple[int, int]]
) -> str | None:
    rows = 0
    for begin, size in places:
        strip = data[begin : begin + size]
        frame = next((at for marker, at in _jpeg_markers(strip) if marker in _FRAMES), None)
        if frame is None:
            return "a part of it is missing"
        height, width = struct.unpack_from(">HH", strip, frame + 5)
        if width != image.width:
            return "its parts have another width than it says"
        rows += height
    return None if rows == image.height or not places else "has other rows than it says"


def _palette(flags: int) -> int:
    return 3 << (1 + (flags & 7)) if flags & 0x80 else 0
