"""Picture files of every kind that is read, and what can be done to their bytes."""

import functools
import io
import random
import struct
import zlib
from importlib.util import find_spec

import numpy as np
from PIL import Image, ImageCms

from fast_style.pictures.formats import add_heic

SIDES = (65, 97)  # height and width: no multiples of a JPEG's blocks
PNG = b"\x89PNG\r\n\x1a\n"
# What Pillow writes besides, and fast-style does not read.
FOREIGN = ("PPM", "TGA", "ICO", "PCX", "SGI", "DDS", "IM", "PDF", "EPS")


def pixels(height: int = SIDES[0], width: int = SIDES[1], seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8: smooth colours and a little grain, nowhere the same as its neighbours."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[0:height, 0:width] / 16.0
    colours = rng.uniform(-70, 70, (2, 3))
    smooth = (
        np.sin(down + across)[..., None] * colours[0]
        + np.cos(down - across)[..., None] * (colours[1])
    )
    return np.clip(110 + smooth + rng.normal(0, 6, (height, width, 3)), 0, 255).astype(np.uint8)


def saved(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


@functools.cache
def pictures() -> dict[str, bytes]:
    """Name to whole file; the name begins with the format."""
    rgb = Image.fromarray(pixels())
    alpha = rgb.convert("RGBA")
    alpha.putalpha(rgb.convert("L"))
    frames = [Image.fromarray(pixels(seed=seed)).quantize(32) for seed in range(3)]
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 1, "a picture"
    deep = Image.fromarray(pixels()[..., 0].astype(np.uint16) * 257)
    grey = rgb.convert("L")
    found = {
        "JPEG plain": saved(rgb, "JPEG", quality=90),
        "JPEG progressive": saved(rgb, "JPEG", progressive=True, icc_profile=profile),
        "JPEG 4:4:4 restarts": saved(rgb, "JPEG", subsampling=0, restart_marker_blocks=4),
        "JPEG grey exif": saved(grey, "JPEG", exif=exif),
        "JPEG cmyk": saved(rgb.convert("CMYK"), "JPEG"),
        "PNG rgb": saved(rgb, "PNG", icc_profile=profile, exif=exif),
        "PNG rgba": saved(alpha, "PNG"),
        "PNG palette": saved(rgb.quantize(64), "PNG", transparency=3),
        "PNG bits": saved(rgb.convert("1"), "PNG"),
        "PNG deep grey": saved(deep, "PNG"),
        "PNG interlaced": interlaced_png(pixels()),
        "GIF plain": saved(rgb.quantize(64), "GIF"),
        "GIF endless": saved(frames[0], "GIF", save_all=True, append_images=frames[1:], loop=0),
        "WEBP lossy": saved(rgb, "WEBP", exif=exif),
        "WEBP lossless": saved(rgb, "WEBP", lossless=True, icc_profile=profile),
        "WEBP alpha": saved(alpha, "WEBP"),
        "WEBP animated": saved(rgb, "WEBP", save_all=True, append_images=[alpha.convert("RGB")]),
        "TIFF plain": saved(rgb, "TIFF"),
        "TIFF deflate": saved(rgb, "TIFF", compression="tiff_adobe_deflate"),
        "TIFF lzw": saved(rgb, "TIFF", compression="tiff_lzw"),
        "TIFF packbits alpha": saved(alpha, "TIFF", compression="packbits"),
        "TIFF jpeg": saved(rgb, "TIFF", compression="jpeg"),
        "TIFF float": saved(Image.fromarray(pixels()[..., 0] / np.float32(255)), "TIFF"),
        "TIFF cmyk": saved(rgb.convert("CMYK"), "TIFF", icc_profile=profile),
        "BMP rgb": saved(rgb, "BMP"),
        "BMP palette": saved(rgb.quantize(200), "BMP"),
        "BMP rgba": saved(alpha, "BMP"),
        "AVIF plain": saved(rgb, "AVIF", exif=exif, icc_profile=profile),
        "AVIF alpha": saved(alpha, "AVIF"),
        "JP2 plain": saved(rgb, "JPEG2000"),
        "JP2 alpha": saved(alpha, "JPEG2000"),
        "JP2 deep grey": saved(deep, "JPEG2000"),
        "JP2 stream": saved(rgb, "JPEG2000", no_jp2=True),
    }
    if find_spec("pillow_heif"):
        add_heic()
        found["HEIC plain"] = saved(rgb, "HEIF", exif=exif.tobytes())
        found["HEIC alpha"] = saved(alpha, "HEIF")
    return found


@functools.cache
def foreign() -> dict[str, bytes]:
    """Name to whole file, of formats that are not read."""
    rgb, found = Image.fromarray(pixels()), {}
    for file_format in FOREIGN:
        try:
            found[file_format] = saved(rgb, file_format)
        except (OSError, KeyError, ValueError):  # Pillow was built without it
            continue
    return found


def png(width: int, height: int, bits: int, colour: int, interlace: int, packed: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlace)
    return PNG + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def interlaced_png(rgb: np.ndarray) -> bytes:
    """Adam7, which Pillow reads and does not write (PNG specification, section 8.2)."""
    rows = b""
    for x, y, across, down in (
        *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
        *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
    ):
        rows += b"".join(b"\0" + row.tobytes() for row in rgb[y::down, x::across])
    return png(rgb.shape[1], rgb.shape[0], 8, 2, 1, zlib.compress(rows))


def with_right_checksums(data: bytes) -> bytes:
    """A PNG whose chunks say the checksums that they have; anything else as it is."""
    if not data.startswith(PNG):
        return data
    parts, place = [PNG], len(PNG)
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        kind, content = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        parts.append(data[place : place + 8] + content)
        parts.append(struct.pack(">I", zlib.crc32(kind + content)))
        place += 12 + length
    return b"".join(parts)


def flipped(data: bytes, rng: random.Random, reach: int | None = None) -> bytes:
    """1 to 8 bits turned over, among the first `reach` bytes."""
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        damaged[rng.randrange(min(reach or len(data), len(data)))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def with_noise(data: bytes, rng: random.Random) -> bytes:
    """A stretch of up to 64 bytes replaced, removed, doubled or made all ones."""
    begin = rng.randrange(len(data))
    length = rng.randrange(1, 65)
    stretch = data[begin : begin + length]
    instead = rng.choice((rng.randbytes(length), b"", stretch * 2, b"\xff" * length))
    return data[:begin] + instead + data[begin + length :]


def cut_short(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.choice((len(data) - 1, rng.randrange(1, len(data))))]


def spliced(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """The beginning of one file and the end of another."""
    return data[: rng.randrange(1, len(data))] + other[rng.randrange(len(other)) :]


def lying(name: str, data: bytes, rng: random.Random) -> bytes:
    """The picture with another width or height in its header than its pixels have."""
    height, width = SIDES
    side = rng.choice((width, height))
    said = rng.choice((side - 1, side + 1, side // 2, side * 2, side + 16, side * 9, 16383, 65535))
    file_format = name.split()[0]
    if file_format == "PNG":
        place = 16 if side == width else 20
        return with_right_checksums(data[:place] + struct.pack(">I", said) + data[place + 4 :])
    if file_format == "JPEG":
        frame = next(data.find(marker) for marker in (b"\xff\xc0", b"\xff\xc2") if marker in data)
        place = frame + (7 if side == width else 5)
        return data[:place] + struct.pack(">H", said) + data[place + 2 :]
    if file_format == "GIF":  # its screen, and its first frame
        place = 6 if side == width else 8
        data = data[:place] + struct.pack("<H", said) + data[place + 2 :]
        place += data.find(b",\0\0\0\0", 13) - 1
        return data[:place] + struct.pack("<H", said) + data[place + 2 :]
    if file_format == "BMP":
        place = 18 if side == width else 22
        return data[:place] + struct.pack("<i", said) + data[place + 4 :]
    if file_format == "TIFF":
        (at,) = struct.unpack_from("<I", data, 4)
        (count,) = struct.unpack_from("<H", data, at)
        tag = 256 if side == width else 257
        for place in range(at + 2, at + 2 + 12 * count, 12):
            if struct.unpack_from("<H", data, place) == (tag,):
                return data[: place + 8] + struct.pack("<I", said) + data[place + 12 :]
    if b"VP8 " in data[:64]:  # 14 bits each, 6 bytes into the frame (RFC 6386, 9.1)
        place = data.find(b"VP8 ") + 8 + (6 if side == width else 8)
        return data[:place] + struct.pack("<H", said & 0x3FFF) + data[place + 2 :]
    if b"VP8L" in data[:256]:  # 14 bits each, less 1, behind a signature byte
        place = data.find(b"VP8L") + 9
        (bits,) = struct.unpack_from("<I", data, place)
        shift = 0 if side == width else 14
        bits = bits & ~(0x3FFF << shift) | ((said - 1) & 0x3FFF) << shift
        return data[:place] + struct.pack("<I", bits) + data[place + 4 :]
    return data


@functools.cache
def bombs() -> dict[str, tuple[bytes, bool]]:
    """Name to a file made to take time or memory, and whether it is a picture all the same."""
    rgb = Image.fromarray(pixels())
    whole = saved(rgb, "PNG")
    zeros = zlib.compress(bytes(50_000_000), 9)
    jpeg = saved(Image.new("L", (6000, 6000), 99), "JPEG", progressive=True)
    scan = jpeg.rfind(b"\xff\xda")
    before_end = len(whole) - 12
    directory = b"II*\0\x08\0\0\0" + struct.pack("<H", 5000)
    directory += b"".join(struct.pack("<HHII", tag, 1, 60_000, 0) for tag in range(300, 5300))
    cyclic = b"II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 0x8769, 4, 1, 8, 8)
    gif = saved(rgb.quantize(16), "GIF")
    frame = gif[gif.find(b",\0\0\0\0", 13) : -1]
    tall = Image.new("L", (3, 65_500), 70)

    def with_chunk(kind: bytes, content: bytes) -> bytes:
        return whole[:33] + chunk(kind, content) + whole[33:]

    def tiff(*tags: tuple[int, int, int, int]) -> bytes:
        entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
        return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4) + bytes(999)

    plain = ((258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1))
    return {
        "PNG of 1.6 gigapixels": (png(40_000, 40_000, 8, 2, 0, zlib.compress(b"")), False),
        "PNG of 49 megapixels in 48 kB": (png(7000, 7000, 8, 0, 0, _inflating(49_007_000)), True),
        "PNG of 49 megapixels that are not there": (png(7000, 7000, 8, 0, 0, zeros[:99]), False),
        "PNG whose pixels inflate to 50 MB too many": (png(97, 65, 8, 2, 0, zeros), True),
        "PNG strip across": (saved(Image.new("L", (65_535, 1), 7), "PNG"), True),
        "PNG strip down": (saved(Image.new("L", (1, 65_535), 7), "PNG"), True),
        "JPEG strip down": (saved(tall, "JPEG"), True),
        "JPEG strip that says 65,535 squared": (
            (lambda data, at: data[: at + 5] + b"\xff\xff\xff\xff" + data[at + 9 :])(
                *(lambda data: (data, data.find(b"\xff\xc0")))(saved(tall, "JPEG"))
            ),
            False,
        ),
        "JPEG of 1,000 scans": (jpeg[:scan] + jpeg[scan:-2] * 1000 + jpeg[-2:], False),
        "PNG of 2,000,000 pieces": (
            whole[:before_end] + chunk(b"teXt", b"") * 2_000_000 + whole[before_end:],
            False,
        ),
        "PNG text bomb": (with_chunk(b"zTXt", b"a\0\0" + zeros), False),
        "PNG international text bomb": (with_chunk(b"iTXt", b"a\0\1\0\0\0" + zeros), False),
        "PNG profile bomb": (with_chunk(b"iCCP", b"a\0\0" + zeros), False),
        "PNG whose EXIF overlaps itself": (with_chunk(b"eXIf", directory + bytes(9999)), True),
        "PNG whose EXIF leads back": (with_chunk(b"eXIf", cyclic), True),
        "JPEG whose EXIF leads back": (saved(rgb, "JPEG", exif=b"Exif\0\0" + cyclic), True),
        "TIFF whose directory overlaps itself": (directory + bytes(9999), False),
        "TIFF whose directories lead back": (cyclic, False),
        "TIFF of 4 gigapixels": (
            tiff((256, 4, 1, 65_535), (257, 4, 1, 65_535), *plain, (273, 4, 1, 8), (279, 4, 1, 99)),
            False,
        ),
        "TIFF of one strip of 2 GB": (
            tiff((256, 4, 1, 9), (257, 4, 1, 9), *plain, (273, 4, 1, 8), (279, 4, 1, 2**31)),
            True,
        ),
        "TIFF of tiles of 2 GB": (
            tiff(
                *((256, 4, 1, 9), (257, 4, 1, 9), *plain, (322, 4, 1, 2**20), (323, 4, 1, 2**11)),
                *((324, 4, 1, 8), (325, 4, 1, 2**31 - 1)),
            ),
            False,
        ),
        "GIF screen of 4 gigapixels": (gif[:6] + b"\xff\xff\xff\xff" + gif[10:], False),
        "GIF of 20,000 frames": (gif[:-1] + frame * 20_000 + b";", True),
        "GIF whose data never end": (gif[:-3] + b"\xff" * 20_000_000, True),
        "BMP of negative width": (_bmp(-5, 5), False),
        "BMP of 2 billion rows": (_bmp(5, 2**31 - 1), False),
        "BMP of -2 billion rows": (_bmp(5, -(2**31)), False),
        "nothing": (b"", False),
        "a byte": (b"\x89", False),
        "a PNG's first bytes": (PNG, False),
        "20 MB of zeros": (bytes(20_000_000), False),
        "a page": (b"<!doctype html>\n<title>404</title>\n", False),
        "a PNG and 20 MB behind it": (whole + bytes(20_000_000), True),
    } | {
        f"{mode} picture with a profile of {words}": (
            saved(rgb.convert(mode), "TIFF" if mode == "LAB" else "JPEG", icc_profile=profile),
            True,
        )
        for mode, space in (("L", b"GRAY"), ("CMYK", b"CMYK"), ("LAB", b"Lab "), ("RGB", b"RGB "))
        if mode != "LAB"
        for words, profile in _profiles(space).items()
    }


def _profiles(space: bytes) -> dict[str, bytes]:
    head = struct.pack(">I4sI4s4s4s", 60_000, b"none", 0x04000000, b"mntr", space, b"XYZ ")
    head = (head + bytes(12) + b"acsp").ljust(128, b"\0")
    tags = [b"A2B0", b"kTRC", b"wtpt", b"rTRC", b"desc"]
    nested = struct.pack(">I", 5) + b"".join(tag + struct.pack(">II", 128, 50_000) for tag in tags)
    far = struct.pack(">I", 2**31 - 1) + b"A2B0" + struct.pack(">II", 2**32 - 16, 2**32 - 1)
    noise = random.Random(0).randbytes(50_000)
    return {
        "tags in each other": head + nested + noise,
        "tags beyond the end": head + far + noise,
        "noise": head + noise,
        "a large table": head
        + struct.pack(">I", 1)
        + b"A2B0"
        + struct.pack(">II", 144, 50_000)
        + b"mft2\0\0\0\0"
        + bytes((4, 3, 255, 0))
        + noise,
    }


def _inflating(size: int) -> bytes:
    packer = zlib.compressobj(9)
    parts = [packer.compress(bytes(1_000_000)) for _ in range(size // 1_000_000)]
    return b"".join([*parts, packer.compress(bytes(size % 1_000_000)), packer.flush()])


def _bmp(width: int, height: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 200, 0, 0, 54) + header + bytes(146)
