"""Decodes and encodes picture files in a TensorFlow graph, where Pillow cannot run.

Reads JPEG, PNG, WebP, the first frame of GIF, and BMP of 8, 24 and 32 bits. Applies EXIF
orientation and keeps alpha, except that of GIF. Colour profiles are neither applied nor kept.
"""

from typing import NamedTuple

import tensorflow as tf

JPEG_QUALITY = 95


class Chunks(NamedTuple):
    """How a format divides a file into chunks, and which chunk has the EXIF data."""

    begin: int  # of the first chunk in the file
    length: slice  # the bytes of a chunk that hold its length
    rest: int  # the bytes of a chunk that its length does not count
    exif: dict[int, bytes]  # the bytes by which an EXIF chunk is recognized, by their offsets
    data: int  # the offset of the EXIF data in the chunk
    big_endian: bool = True
    padded: bool = False  # to an even length


EXIF = b"Exif\0\0"
# ITU-T T.81, B.1.1.4; PNG (third edition), 5.3; WebP Container Specification, "RIFF File Format".
JPEG = Chunks(2, slice(2, 4), 2, {0: b"\xff\xe1", 4: EXIF}, 4 + len(EXIF))
PNG = Chunks(8, slice(0, 4), 12, {4: b"eXIf"}, 8)
WEBP = Chunks(12, slice(4, 8), 8, {0: b"EXIF"}, 8, big_endian=False, padded=True)
START_OF_SCAN = b"\xff\xda"  # the end of the chunks of a JPEG; none of PNG or WebP begins like this
# WebP Container Specification, "Extended File Format"
WEBP_FLAGS = 20
WEBP_IS_ANIMATED, WEBP_HAS_ALPHA = 0x02, 0x10

BMP_HEADER = 14  # bytes of the file header; the next four are the size of the second header
# EXIF 2.32, 4.6.2 and 4.6.4
ORIENTATION, SHORT = 0x0112, 3
ENTRY_BYTES = 12


@tf.function(input_signature=[tf.TensorSpec((), tf.string)])
def decode(encoded):
    """Decodes the bytes of a picture file to (H, W, 4) uint8 RGBA, upright.

    Raises tf.errors.InvalidArgumentError for other formats and damaged files.
    """
    start = tf.strings.substr(encoded, 0, 4)
    if tf.io.is_jpeg(encoded):
        # The default method is faster, but differs from other programs by up to 4 grey levels.
        rgb = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
        return _upright(_with_alpha(rgb), _orientation(_exif(encoded, JPEG)))
    if start == b"\x89PNG":
        return _upright(_decode_png(encoded), _orientation(_exif(encoded, PNG)))
    if start == b"RIFF":
        pixels = tf.io.decode_image(_animated_with_alpha(encoded), expand_animations=False)
        return _upright(_with_alpha(pixels), _orientation(_exif(encoded, WEBP)))
    if tf.strings.substr(encoded, 0, 2) == b"BM":
        return _with_alpha(_decode_bmp(encoded))
    return _with_alpha(tf.io.decode_image(encoded, channels=3, expand_animations=False))


@tf.function(input_signature=[tf.TensorSpec((None, None, 4), tf.uint8), tf.TensorSpec((), tf.bool)])
def encode(rgba, as_jpeg):
    """Encodes (H, W, 4) uint8 RGBA as a JPEG, or as a PNG, with alpha if it is not all 255."""
    rgb = rgba[..., :3]
    if as_jpeg:
        return tf.io.encode_jpeg(rgb, quality=JPEG_QUALITY, chroma_downsampling=False)
    if tf.reduce_all(rgba[..., 3] == 255):
        return tf.io.encode_png(rgb)
    return tf.io.encode_png(rgba)


def _decode_png(encoded):
    rgba = tf.io.decode_png(encoded, channels=4)
    bits = tf.cast(tf.io.decode_raw(tf.strings.substr(encoded, 24, 1), tf.uint8)[0], tf.int32)
    # With fewer than 8 bits, TensorFlow does not scale opaque alpha to 255.
    if bits < 8 and tf.reduce_all(tf.cast(rgba[..., 3], tf.int32) == 2**bits - 1):
        return _with_alpha(rgba[..., :3])
    return rgba


def _animated_with_alpha(webp):
    """Returns the WebP file, with the flag of alpha set if it is animated.

    Without the flag TensorFlow (2.21) writes four channels of an animation into a buffer of three,
    and the process dies.
    """
    if tf.strings.substr(webp, 12, 4) != b"VP8X":
        return webp
    flags = tf.io.decode_raw(tf.strings.substr(webp, WEBP_FLAGS, 1), tf.uint8)[0]
    flags = tf.cast(flags, tf.int32)
    if tf.bitwise.bitwise_and(flags, WEBP_IS_ANIMATED) == 0:
        return webp
    flags = tf.bitwise.bitwise_or(flags, WEBP_HAS_ALPHA)
    marked = tf.gather([bytes([number]) for number in range(256)], flags)
    before = tf.strings.substr(webp, 0, WEBP_FLAGS)
    return before + marked + tf.strings.substr(webp, WEBP_FLAGS + 1, tf.strings.length(webp))


def _decode_bmp(encoded):
    pixels = tf.io.decode_bmp(encoded)
    if tf.shape(pixels)[-1] != 1:
        return pixels[..., :3]
    # TensorFlow returns the indices into the palette, whose colours are BGR and an unused byte.
    data = tf.io.decode_raw(encoded, tf.uint8)
    begin = BMP_HEADER + _number(data[BMP_HEADER : BMP_HEADER + 4], big_endian=False)
    colours = tf.reshape(data[begin : begin + 4 * 256], (-1, 4))[:, 2::-1]
    return tf.gather(colours, tf.cast(pixels[..., 0], tf.int32))


def _with_alpha(pixels):
    """Returns (H, W, 3 or 4) uint8 as RGBA, with alpha 255 if there was none."""
    opaque = tf.fill([*tf.unstack(tf.shape(pixels)[:2]), 1], tf.constant(255, tf.uint8))
    return tf.ensure_shape(tf.concat([pixels, opaque], -1)[..., :4], (None, None, 4))


def _exif(encoded, chunks: Chunks):
    """Returns (B,) uint8, the EXIF data of a picture file from the TIFF header on, or nothing."""
    data = tf.io.decode_raw(encoded, tf.uint8)
    size = tf.size(data, tf.int64)
    begin, end, found = tf.constant(chunks.begin, tf.int64), size, tf.constant(False)
    while begin < size and not found and not _has(data, begin, START_OF_SCAN):
        length = data[begin + chunks.length.start : begin + chunks.length.stop]
        end = begin + _number(length, chunks.big_endian) + chunks.rest
        found = tf.reduce_all([_has(data, begin + at, those) for at, those in chunks.exif.items()])
        if not found:
            begin = end + end % 2 if chunks.padded else end
    return data[begin + chunks.data : end] if found else data[:0]


def _orientation(exif):
    """Returns the orientation in EXIF data, 1 to 8; 1 if there is none."""
    if _has(exif, 0, EXIF):  # in WebP some programs write it, others do not
        exif = exif[len(EXIF) :]
    big_endian = _has(exif, 0, b"MM")
    begin = _number(exif[4:8], big_endian)
    count = _number(exif[begin : begin + 2], big_endian)
    entries = exif[begin + 2 : begin + 2 + count * ENTRY_BYTES]
    whole = tf.size(entries) // ENTRY_BYTES * ENTRY_BYTES
    entries = tf.reshape(entries[:whole], (-1, ENTRY_BYTES))
    tags, types = _number(entries[:, :2], big_endian), _number(entries[:, 2:4], big_endian)
    values = _number(entries[:, 8:10], big_endian)
    found = tf.boolean_mask(values, (tags == ORIENTATION) & (types == SHORT))
    return tf.concat([found, [1]], 0)[0]


def _upright(pixels, orientation):
    if tf.reduce_any(orientation == [5, 6, 7, 8]):
        pixels = tf.transpose(pixels, (1, 0, 2))
    if tf.reduce_any(orientation == [2, 3, 6, 7]):
        pixels = pixels[:, ::-1]
    if tf.reduce_any(orientation == [3, 4, 7, 8]):
        pixels = pixels[::-1]
    return pixels


def _number(data, big_endian):
    """Returns the numbers in (..., B) uint8 as (...) int64."""
    data = tf.cast(data if big_endian else data[..., ::-1], tf.int64)
    places = tf.range(tf.shape(data, tf.int64)[-1] - 1, -1, -1)
    return tf.reduce_sum(data * 256**places, -1)


def _has(data, place, those: bytes):
    """Whether (B,) uint8 data has those bytes at an offset."""
    found = data[place : place + len(those)]
    return tf.size(found) == len(those) and tf.reduce_all(found == list(those))
