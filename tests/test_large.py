"""Large pictures, decoded, kept and encoded in strips, have the pixels that Pillow gives."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from fast_style.benchmark.programs import peak_memory
from fast_style.errors import UserError
from fast_style.pictures import large
from fast_style.pictures.images import (
    Picture,
    decode_picture,
    encode_picture,
    read_picture,
    write_picture,
)
from fast_style.pictures.pixels import blend
from tests.conftest import Photo

pytest.importorskip("pyvips")
ORIENTATION = 0x0112
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture
def few_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "LARGE", 1000)


def encoded(pixels: np.ndarray, file_format: str, mode: str | None = None, **options) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(buffer, file_format, **options)
    return buffer.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def decoded_both_ways(data: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[Picture, Picture]:
    whole = decode_picture(data, "whole")
    monkeypatch.setattr(large, "LARGE", 1000)
    return decode_picture(data, "in strips"), whole


def assert_same(one: Picture, other: Picture) -> None:
    np.testing.assert_array_equal(one.rgb, other.rgb)
    assert (one.alpha is None) == (other.alpha is None)
    if one.alpha is not None and other.alpha is not None:
        np.testing.assert_array_equal(one.alpha, other.alpha)
    assert one.icc_profile == other.icc_profile


IN_STRIPS = {
    "JPEG": ("JPEG", "RGB", {"quality": 90, "icc_profile": SRGB}),
    "JPEG, chroma of half the size": ("JPEG", "RGB", {"quality": 70, "subsampling": 2}),
    "JPEG, grey": ("JPEG", "L", {}),
    "PNG": ("PNG", "RGB", {"icc_profile": SRGB}),
    "PNG, alpha": ("PNG", "RGBA", {}),
    "TIFF": ("TIFF", "RGB", {"icc_profile": SRGB}),
    "TIFF, alpha": ("TIFF", "RGBA", {"compression": "tiff_lzw"}),
    "TIFF, deflated": ("TIFF", "RGB", {"compression": "tiff_adobe_deflate"}),
}


@pytest.mark.parametrize("orientation", [1, 5, 6])
@pytest.mark.parametrize("kind", IN_STRIPS)
def test_pixels_of_strips_are_those_of_pillow(
    kind: str, orientation: int, photo: Photo, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    file_format, mode, options = IN_STRIPS[kind]
    pixels = np.dstack([photo(61, 45), photo(61, 45)[..., 0]])
    data = encoded(pixels, file_format, mode, exif=turned(orientation), **options)
    in_strips, whole = decoded_both_ways(data, monkeypatch)
    assert_same(in_strips, whole)
    assert not caplog.text


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(
    orientation: int, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(photo(61, 45), "PNG", exif=turned(orientation))
    assert_same(*decoded_both_ways(data, monkeypatch))


WHOLE = {
    "JPEG, progressive": ("JPEG", "RGB", {"progressive": True}, "each of its scans"),
    "JPEG, CMYK": ("JPEG", "CMYK", {}, "its colours are converted"),
    "PNG, palette": ("PNG", "P", {}, "its colours are converted"),
    "PNG, transparent colour": ("PNG", "RGB", {"transparency": (1, 2, 3)}, "are converted"),
    "PNG, 16 bits": ("PNG", "I;16", {}, "its colours are converted"),
    "WebP": ("WEBP", "RGB", {}, "WEBP has no strips"),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_other_pictures_are_decoded_whole_and_the_log_says_why(
    kind: str, photo: Photo, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    file_format, mode, options, why = WHOLE[kind]
    pixels = photo(61, 45)
    if mode == "I;16":
        pixels, mode = pixels[..., 0].astype(np.uint16) * 257, None
    in_strips, whole = decoded_both_ways(encoded(pixels, file_format, mode, **options), monkeypatch)
    assert_same(in_strips, whole)
    assert "in strips: is decoded whole" in caplog.text and why in caplog.text


@pytest.mark.usefixtures("few_are_large")
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF"])
def test_a_picture_that_is_cut_short_is_refused_as_ever(file_format: str, photo: Photo) -> None:
    data = encoded(photo(201, 145), file_format)
    with pytest.raises(UserError, match="is damaged or cut short"):
        decode_picture(data[: len(data) // 2], "cut")


@pytest.mark.usefixtures("few_are_large")
@pytest.mark.parametrize("ending", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("channels", [3, 4])
def test_a_picture_written_in_strips_is_the_one_written_whole(
    ending: str, channels: int, photo: Photo, tmp_path: Path
) -> None:
    alpha = photo(61, 45)[..., 0] if channels == 4 else None
    picture = Picture(photo(61, 45), alpha, SRGB)
    path = tmp_path / f"picture{ending}"
    write_picture(path, picture)
    assert_same(read_picture(path), decode_picture(encode_picture(picture, ending), "whole"))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("few_are_large")
def test_a_picture_that_a_format_cannot_hold_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"wide\.jpg"):
        write_picture(tmp_path / "wide.jpg", Picture(np.zeros((1, 70_000, 3), np.uint8)))
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("few_are_large")
def test_results_in_temporary_files_can_be_changed(photo: Photo) -> None:
    picture = photo(61, 45)
    mixed = blend(picture, 255 - picture, 0.0)
    np.testing.assert_array_equal(mixed, picture)
    mixed[0] = 0
    assert not mixed[0].any()


def test_a_large_picture_is_never_whole_in_memory(tmp_path: Path) -> None:
    source, target = tmp_path / "source.png", tmp_path / "target.jpg"
    write_picture(source, Picture(np.zeros((8000, 8000, 3), np.uint8)))
    program = (
        "from fast_style.pictures.images import Picture, read_picture, write_picture; "
        f"write_picture({str(target)!r}, read_picture({str(source)!r}))"
    )
    # The array in the temporary file has 192 MB, and Pillow's copy would have 256 more.
    assert peak_memory([sys.executable, "-c", program]) < 192e6 + 150e6
    assert Image.open(target).size == (8000, 8000)
