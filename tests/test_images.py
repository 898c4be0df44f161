import errno
import io
import os
import struct
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from fast_style.errors import UserError
from fast_style.files import write_atomically
from fast_style.pictures import formats
from fast_style.pictures.images import (
    Picture,
    decode_picture,
    encode_picture,
    find_pictures,
    flatten_on_white,
    read_picture,
    write_picture,
)
from fast_style.pictures.pixels import fit_within, resize, resized, square, to_uint8

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def blocks(height: int = 32, width: int = 48) -> np.ndarray:
    """Six flat blocks of different colours, which survive JPEG; no symmetry."""
    colours = np.random.default_rng(1).integers(0, 256, (2, 3, 3), np.uint8)
    return colours.repeat(height // 2, 0).repeat(width // 3, 1)


def saved(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def one_line(error: pytest.ExceptionInfo[UserError], *parts: str) -> None:
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


# Round trips


@pytest.mark.parametrize("ending", formats.WRITTEN)
def test_a_written_picture_is_read_back(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"picture{ending.upper()}"
    write_picture(path, Picture(blocks()))
    back = read_picture(path)
    assert back.rgb.dtype == np.uint8 and back.alpha is None
    exact = ending in (".png", ".bmp", ".tif", ".tiff", ".gif")
    assert abs(back.rgb.astype(int) - blocks()).mean() <= (0 if exact else 5)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("ending", [".png", ".tiff", ".webp"])
def test_alpha_and_profile_are_kept(ending: str) -> None:
    alpha = np.linspace(1, 255, 32 * 48).reshape(32, 48).astype(np.uint8)
    back = decode_picture(encode_picture(Picture(blocks(), alpha, SRGB), ending), "x")
    np.testing.assert_array_equal(back.alpha, alpha)
    assert back.icc_profile == SRGB


@pytest.mark.parametrize("ending", [".jpg", ".bmp", ".gif"])
def test_transparent_parts_become_white_where_alpha_cannot_be_kept(ending: str) -> None:
    picture = Picture(np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16), np.uint8))
    back = decode_picture(encode_picture(picture, ending), "x")
    assert back.alpha is None and back.rgb.min() >= 254


def test_flatten_on_white_mixes_by_alpha() -> None:
    rgb = np.full((1, 3, 3), 100, np.uint8)
    flat = flatten_on_white(Picture(rgb, np.array([[0, 51, 255]], np.uint8)))
    assert flat[0, :, 0].tolist() == [255, 224, 100]


def test_jpeg_keeps_the_profile_and_obeys_the_quality() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    picture = Picture(noise, icc_profile=SRGB)
    assert decode_picture(encode_picture(picture, ".jpg"), "x").icc_profile == SRGB
    assert len(encode_picture(picture, ".jpg", 30)) < len(encode_picture(picture, ".jpg", 95)) / 2


@pytest.mark.parametrize("shape", [(1, 1), (3, 20000), (20000, 3)])
@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_extreme_shapes(shape: tuple[int, int], ending: str) -> None:
    rgb = np.full((*shape, 3), 77, np.uint8)
    back = decode_picture(encode_picture(Picture(rgb), ending), "x").rgb
    assert back.shape == rgb.shape and abs(back.astype(int) - 77).max() <= 1


# Orientation


def stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """The pixels that a camera stores with this orientation for a scene that looks `upright`."""
    return {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(file_format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored(blocks(), orientation)))
    rgb = decode_picture(saved(image, file_format, exif=exif), "x").rgb
    assert rgb.shape == blocks().shape
    assert abs(rgb.astype(int) - blocks()).mean() < 8  # wrongly turned: above 80


def test_orientation_turns_alpha_and_the_draft_too() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    rgba = np.dstack([blocks(), blocks()[..., 0]])
    image = Image.fromarray(np.ascontiguousarray(stored(rgba, 6)))
    np.testing.assert_array_equal(
        decode_picture(saved(image, "PNG", exif=exif), "x").alpha, rgba[..., 3]
    )
    large = Image.fromarray(np.ascontiguousarray(stored(blocks(320, 480), 6)))
    data = saved(large, "JPEG", exif=exif, quality=95)
    assert decode_picture(data, "x", at_least=80).rgb.shape == (80, 120, 3)
    assert decode_picture(data, "x", at_least=81).rgb.shape == (160, 240, 3)


def test_damaged_exif_does_not_spoil_the_pixels() -> None:
    data = saved(Image.fromarray(blocks()), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert decode_picture(data, "x").rgb.shape == (32, 48, 3)


# Kinds of pixels


def test_16_bit_grey_is_scaled_not_clipped() -> None:
    values = np.array([[0, 128, 129, 257, 32896, 65406, 65407, 65535]], np.uint16)
    for file_format in ("PNG", "TIFF"):
        rgb = decode_picture(saved(Image.fromarray(values), file_format), "x").rgb
        assert rgb[0, :, 0].tolist() == [0, 0, 1, 1, 128, 254, 255, 255]
        assert (rgb == rgb[..., :1]).all()


def test_16_bit_grey_with_a_transparent_value() -> None:
    values = np.array([[1000, 40000]], np.uint16)
    data = saved(Image.fromarray(values), "PNG", transparency=40000)
    picture = decode_picture(data, "x")
    assert picture.alpha is not None and picture.alpha.tolist() == [[255, 0]]


def png_of_16_bits(channels: np.ndarray, colour_type: int) -> bytes:
    """Pillow writes no 16-bit colour; the format is simple (PNG specification, section 5)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    height, width = channels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in channels)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_16_bit_colour_and_alpha() -> None:
    values = np.array([[[65535, 32768, 0, 65535], [257, 514, 771, 32768]]], np.uint16)
    rgba = decode_picture(png_of_16_bits(values, 6), "x")
    assert rgba.rgb.tolist() == [[[255, 128, 0], [1, 2, 3]]]
    assert rgba.alpha is not None and rgba.alpha.tolist() == [[255, 128]]
    assert decode_picture(png_of_16_bits(values[..., :3], 2), "x").rgb.tolist() == rgba.rgb.tolist()
    grey = decode_picture(png_of_16_bits(values[..., 2:], 4), "x")
    assert grey.rgb[0, :, 0].tolist() == [0, 3]
    assert grey.alpha is not None and grey.alpha.tolist() == [[255, 128]]


def test_float_grey_reaches_white() -> None:
    values = np.array([[0.0, 0.25, 0.5, np.nan]], np.float32)
    rgb = decode_picture(saved(Image.fromarray(values), "TIFF"), "x").rgb
    assert rgb[0, :, 1].tolist() == [0, 128, 255, 0]


def tiff(values: np.ndarray, photometric: int = 1, bits: int | None = None) -> bytes:
    """A little-endian TIFF of one strip (TIFF 6.0); Pillow writes few of these kinds."""
    channels = values.shape[2] if values.ndim == 3 else 1
    bits = bits or 8 * values.dtype.itemsize
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    content = values.tobytes() if bits != 12 else packed_12_bits(values)
    tags = [(256, values.shape[1]), (257, values.shape[0]), (258, bits), (259, 1)]
    tags += [(262, photometric), (273, 8), (277, channels), (278, values.shape[0])]
    tags += [(279, len(content)), (339, kind)]
    entries = b"".join(
        struct.pack("<HHII", tag, 3, channels, at)
        if channels > 1 and tag in (258, 339)
        else struct.pack("<HHII", tag, 4, 1, value)
        for tag, value in tags
        for at in [8 + len(content) + (0 if tag == 258 else 2 * channels)]
    )
    arrays = struct.pack(f"<{2 * channels}H", *[bits] * channels, *[kind] * channels)
    head = struct.pack("<2sHI", b"II", 42, 8 + len(content) + len(arrays))
    return head + content + arrays + struct.pack("<H", len(tags)) + entries + bytes(4)


def packed_12_bits(values: np.ndarray) -> bytes:
    bits = "".join(f"{value:012b}" for value in values.flat)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int32, np.float32])
@pytest.mark.parametrize("photometric", [0, 1])
def test_a_grey_tiff_says_whether_0_is_white(dtype: type, photometric: int) -> None:
    grey = np.array([[0, 51, 127, 204, 255]])
    largest = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1.0
    stored = 255 - grey if photometric == 0 else grey
    data = tiff((stored / 255 * largest).astype(dtype), photometric)
    if photometric == 0 and dtype in (np.uint32, np.int32):
        with pytest.raises(UserError, match="1 channels of 32-bit"):
            decode_picture(data, "x")
    else:
        rgb = decode_picture(data, "x").rgb
        assert np.abs(rgb[..., 1] - grey).max() <= 1 and (rgb == rgb[..., :1]).all()


def test_12_bits_reach_white() -> None:
    values = np.array([[0, 2048, 4095, 1024]], np.uint16)
    assert decode_picture(tiff(values, bits=12), "x").rgb[0, :, 0].tolist() == [0, 128, 255, 64]


def test_a_tiff_that_pillow_does_not_read_is_described() -> None:
    data = tiff(np.zeros((2, 3, 3), np.float32), photometric=2)
    with pytest.raises(UserError) as error:
        decode_picture(data, "x.tif")
    one_line(error, "x.tif: is a TIFF with 3 channels of 32-bit floats, which is not read")
    for cut in (data[:-30], data[:9]):
        with pytest.raises(UserError) as error:
            decode_picture(cut, "x.tif")
        one_line(error, "is a TIFF picture, but damaged, cut short or of a kind")


@pytest.mark.parametrize("file_format", ["AVIF", "JPEG2000", "HEIF"])
def test_formats_that_are_only_read(file_format: str) -> None:
    if file_format == "HEIF":
        pytest.importorskip("pillow_heif", reason="pillow-heif is an optional extra")
        formats.add_heic()
    alpha = np.full((32, 48), 255, np.uint8)
    alpha[:, :24] = 0
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {} if file_format == "JPEG2000" else {"exif": exif.tobytes()}
    for pixels in (blocks(), np.dstack([blocks(), alpha])):
        stored_pixels = stored(pixels, 6) if options else pixels
        image = Image.fromarray(np.ascontiguousarray(stored_pixels))
        picture = decode_picture(saved(image, file_format, **options), "x")
        assert picture.rgb.shape == blocks().shape
        opaque = picture.rgb[:, 24:].astype(int) - blocks()[:, 24:]
        assert np.abs(opaque).mean() < 8
        assert (picture.alpha is None) == (pixels.shape[2] == 3)
        if picture.alpha is not None:
            assert np.abs(picture.alpha.astype(int) - alpha).mean() < 4


def test_a_picture_that_does_not_fit_into_memory_is_named_with_its_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def without_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "convert", without_memory)
    file = io.BytesIO()
    Image.new("RGB", (30, 20)).save(file, "PNG")
    with pytest.raises(UserError, match=r"^a\.png: 30x20 does not fit into memory$"):
        decode_picture(file.getvalue(), "a.png")


def test_heic_without_its_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    formats.add_heic.cache_clear()
    with pytest.raises(UserError) as error:
        decode_picture(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), "IMG_1.HEIC")
    one_line(error, "IMG_1.HEIC: ", "pip install 'fast-style[heic]'")


def test_grey_black_and_white_and_palettes() -> None:
    grey = Image.fromarray(np.array([[0, 90, 255]], np.uint8))
    assert decode_picture(saved(grey, "PNG"), "x").rgb[0, :, 2].tolist() == [0, 90, 255]
    bits = grey.point(lambda value: 255 * (value > 100)).convert("1")
    assert decode_picture(saved(bits, "PNG"), "x").rgb[0, :, 0].tolist() == [0, 0, 255]
    palette = Image.fromarray(blocks()).quantize(16)
    np.testing.assert_array_equal(decode_picture(saved(palette, "PNG"), "x").rgb, blocks())


def test_transparency_keys_become_alpha() -> None:
    grey = Image.fromarray(np.array([[10, 20]], np.uint8))
    picture = decode_picture(saved(grey, "PNG", transparency=20), "x")
    assert picture.alpha is not None and picture.alpha.tolist() == [[255, 0]]
    assert picture.rgb[0, :, 0].tolist() == [10, 20]
    colour = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    picture = decode_picture(saved(colour, "PNG", transparency=(1, 2, 3)), "x")
    assert picture.alpha is not None and picture.alpha.tolist() == [[0, 255]]
    palette = Image.fromarray(np.array([[0, 1]], np.uint8))
    palette = palette.convert("P")
    palette.putpalette([9, 8, 7, 6, 5, 4])
    picture = decode_picture(saved(palette, "PNG", transparency=bytes([128, 255])), "x")
    assert picture.alpha is not None and picture.alpha.tolist() == [[128, 255]]
    assert picture.rgb.tolist() == [[[9, 8, 7], [6, 5, 4]]]


def test_grey_with_alpha() -> None:
    image = Image.merge("LA", [Image.new("L", (2, 2), 50), Image.new("L", (2, 2), 200)])
    picture = decode_picture(saved(image, "PNG"), "x")
    assert (picture.rgb == 50).all() and picture.alpha is not None and (picture.alpha == 200).all()


def test_the_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode_picture(data, "x").rgb[0, 0].tolist() == [255, 0, 0]


# Colour profiles


def grey_profile(gamma: float) -> bytes:
    """The least that ICC.1:2010 allows: a header, a white point and one tone curve."""
    white = b"XYZ \0\0\0\0" + struct.pack(">iii", *(round(v * 65536) for v in (0.9642, 1, 0.8249)))
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    tags = struct.pack(">I4sII4sII", 2, b"wtpt", 156, 20, b"kTRC", 176, len(curve))
    body = tags + white + curve
    header = struct.pack(
        ">I4sI4s4s4s", 128 + len(body), b"none", 0x02400000, b"mntr", b"GRAY", b"XYZ "
    )
    header += bytes(12) + b"acsp" + bytes(28) + white[8:]
    return header.ljust(128, b"\0") + body


def test_a_grey_profile_is_applied_and_not_kept() -> None:
    grey = Image.new("L", (2, 2), 128)
    picture = decode_picture(saved(grey, "PNG", icc_profile=grey_profile(1.0)), "x")
    # Linear 0.5 is 188 in sRGB.
    assert abs(picture.rgb.astype(int) - 188).max() <= 2 and picture.icc_profile is None


def test_cmyk_becomes_rgb_and_loses_its_profile() -> None:
    cmyk = Image.fromarray(blocks()).convert("CMYK")
    broken_profile = SRGB[:16] + b"CMYK" + SRGB[20:]
    for options in ({}, {"icc_profile": broken_profile}):
        for file_format in ("JPEG", "TIFF"):
            picture = decode_picture(saved(cmyk, file_format, **options), "x")
            np.testing.assert_allclose(picture.rgb.astype(int), blocks(), atol=40)
            assert picture.icc_profile is None


def test_lab_becomes_rgb() -> None:
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    lab = ImageCms.applyTransform(Image.fromarray(blocks()), to_lab)
    assert lab is not None
    rgb = decode_picture(saved(lab, "TIFF"), "x").rgb
    # 8-bit Lab is coarse, most of all in saturated colours.
    np.testing.assert_allclose(rgb.astype(int), blocks(), atol=16)


@pytest.mark.parametrize("profile", [b"nonsense", bytes(200)])
def test_what_is_no_profile_is_dropped(profile: bytes) -> None:
    data = saved(Image.fromarray(blocks()), "PNG", icc_profile=profile)
    assert decode_picture(data, "x").icc_profile is None


# What cannot be read


def test_paths_that_hold_no_picture(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        read_picture(tmp_path / "missing.jpg")
    one_line(error, "missing.jpg", "no such file")
    with pytest.raises(UserError) as error:
        read_picture(tmp_path)
    one_line(error, str(tmp_path), "is a folder")
    (tmp_path / "text.jpg").write_text("not a picture\n")
    with pytest.raises(UserError) as error:
        read_picture(tmp_path / "text.jpg")
    one_line(error, "text.jpg", "is not a JPEG, PNG")
    (tmp_path / "empty.png").touch()
    with pytest.raises(UserError) as error:
        read_picture(tmp_path / "empty.png")
    one_line(error, "empty.png", "is empty")


@pytest.mark.filterwarnings("ignore:.*EXIF")
@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".bmp", ".gif", ".tif"])
def test_a_picture_cut_short_anywhere(ending: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = encode_picture(Picture(noise), ending)
    for length in range(1, len(data) // 2, max(1, len(data) // 60)):
        with pytest.raises(UserError) as error:
            decode_picture(data[:length], "photo")
        one_line(error, "photo: ")


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".bmp", ".gif", ".tif"])
def test_damaged_bytes_give_a_picture_or_a_user_error(
    ending: str,
) -> None:
    rng = np.random.default_rng(0)
    data = np.frombuffer(encode_picture(Picture(blocks()), ending), np.uint8)
    refused = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(60):
            damaged = data.copy()
            # Half of the damage in the headers, where it does most.
            reach = min(64, len(data)) if rng.random() < 0.5 else len(data)
            damaged[rng.integers(0, reach, 4)] = rng.integers(0, 256, 4)
            try:
                # Damage may claim any size.
                found = decode_picture(damaged.tobytes(), "x", most_pixels=10**6)
                assert found.rgb.ndim == 3
            except UserError:
                refused += 1
    assert refused > 0


def test_a_huge_picture_is_refused_before_it_is_decoded() -> None:
    claims = struct.pack(">IIBBBBB", 40000, 40000, 8, 2, 0, 0, 0)
    header = (
        struct.pack(">I", 13) + b"IHDR" + claims + struct.pack(">I", zlib.crc32(b"IHDR" + claims))
    )
    idat = struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserError) as error:
            decode_picture(b"\x89PNG\r\n\x1a\n" + header + idat, "bomb.png")
    one_line(error, "bomb.png", "40000x40000", "178,956,970")


# What cannot be written


def test_unknown_endings() -> None:
    with pytest.raises(UserError) as error:
        encode_picture(Picture(blocks()), ".jpgg")
    one_line(error, "'.jpgg'", "did you mean '.jpg'?")
    with pytest.raises(UserError) as error:
        write_picture("output", Picture(blocks()))
    one_line(error, "output", "no ending", ".png")


def test_a_size_that_the_format_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        write_picture(tmp_path / "long.webp", Picture(np.zeros((1, 20000, 3), np.uint8)))
    one_line(error, "long.webp", "20000x1", "WEBP", ".png")
    assert os.listdir(tmp_path) == []


def test_targets_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError) as error:
        write_atomically(tmp_path / "no" / "x.png", b"new")
    one_line(error, "x.png", "there is no folder")
    with pytest.raises(UserError) as error:
        write_atomically(tmp_path, b"new")
    one_line(error, str(tmp_path), "is a folder")
    with pytest.raises(UserError) as error:
        write_atomically(os.devnull, b"new")
    one_line(error, os.devnull, "not a regular file")
    protected = tmp_path / "protected.png"
    protected.write_bytes(b"old")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everything
    with pytest.raises(UserError) as error:
        write_atomically(protected, b"new")
    one_line(error, "protected.png", "read-only")
    assert protected.read_bytes() == b"old"


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("exception", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, exception: BaseException
) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(b"old")

    def fail(*arguments: object) -> None:
        assert len(os.listdir(tmp_path)) == 2  # the temporary file is in the same folder
        raise exception

    monkeypatch.setattr(os, failing, fail)
    expected = UserError if isinstance(exception, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as error:
        write_atomically(path, b"new")
    if isinstance(exception, OSError):
        assert str(error.value) == f"{path}: cannot be written: No space left"
    assert os.listdir(tmp_path) == ["x.png"] and path.read_bytes() == b"old"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    link = tmp_path / "link.bin"
    link.symlink_to("folder/real.bin")
    write_atomically(link, b"new")
    assert link.is_symlink() and (tmp_path / "folder" / "real.bin").read_bytes() == b"new"


# Finding


def test_find_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "b.JPG",
        "a.png",
        "sub/deep/c.webp",
        "sub/d.jpeg",
        "notes.txt",
        "._a.png",
        "e[1].gif",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()

    def names(spec: str) -> list[str]:
        return [path.relative_to(tmp_path).as_posix() for path in find_pictures(spec)]

    everything = ["a.png", "b.JPG", "e[1].gif", "sub/d.jpeg", "sub/deep/c.webp"]
    assert names(str(tmp_path)) == everything
    assert names(f"{tmp_path}/**") == everything
    assert names(f"{tmp_path}/*.png") == ["a.png"]
    assert names(f"{tmp_path}/**/*.*p*g") == ["a.png", "sub/d.jpeg"]
    assert names(f"{tmp_path}/e[1].gif") == ["e[1].gif"]
    assert names(f"{tmp_path}/notes.txt") == ["notes.txt"]  # named itself: its bytes will tell
    monkeypatch.setenv("HOME", str(tmp_path))
    assert names("~/sub") == ["sub/d.jpeg", "sub/deep/c.webp"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "no pictures in this folder"),
        ("nothing", "no such file"),
        ("*.jpg", "no pictures match"),
    ],
)
def test_finding_nothing(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(UserError) as error:
        find_pictures(tmp_path / name)
    one_line(error, str(tmp_path / name), why)


# Sizes


def test_grey_levels_are_rounded_and_clipped() -> None:
    levels = to_uint8(np.array([[-300.0, -0.4, 0.6], [1.5, 254.6, 300.0]], np.float32))
    assert levels.dtype == np.uint8 and levels.tolist() == [[0, 0, 1], [2, 255, 255]]


def test_square_is_resize_then_crop() -> None:
    rng = np.random.default_rng(0)
    smooth = np.asarray(
        Image.fromarray(rng.integers(0, 256, (9, 13, 3), np.uint8)).resize((260, 180), 3)
    )
    covering = resize(smooth, 64, round(64 * 260 / 180))
    expected = covering[:, 14:78].astype(int)
    difference = abs(square(smooth, 64) - expected)
    assert difference.max() <= 12 and difference.mean() < 1.5
    left = square(smooth, 180, across=0.0)
    np.testing.assert_array_equal(left, smooth[:, :180])
    corner = square(smooth, 90, zoom=2.0, across=1.0, down=1.0)
    np.testing.assert_array_equal(corner, smooth[90:, 170:])
    assert square(np.zeros((3, 20000, 3), np.uint8), 64, zoom=1.25).shape == (64, 64, 3)


def test_resized_takes_alpha_along_and_keeps_the_rest() -> None:
    picture = Picture(blocks(), blocks()[..., 0], SRGB)
    other = resized(picture, 20, 31)
    assert other.rgb.shape == (20, 31, 3) and other.icc_profile == SRGB
    assert other.alpha is not None and other.alpha.shape == (20, 31)
    np.testing.assert_array_equal(resize(blocks(), *blocks().shape[:2]), blocks())


def test_fit_within_only_shrinks_and_takes_alpha_along() -> None:
    picture = Picture(blocks(), blocks()[..., 0], SRGB)
    assert fit_within(picture, 48) is picture
    assert fit_within(picture, 10**4000) is picture  # larger than any float
    small = fit_within(picture, 24)
    assert small.rgb.shape == (16, 24, 3) and small.icc_profile == SRGB
    assert small.alpha is not None and small.alpha.shape == (16, 24)
    assert fit_within(Picture(np.zeros((3, 20000, 3), np.uint8)), 256).rgb.shape == (1, 256, 3)
