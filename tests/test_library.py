"""Stylizer as other programs use it: by a name, with pictures in any form, from many threads."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from fast_style import Stylizer, UserError
from fast_style.conf.locations import PROJECT
from fast_style.stylize.stylization import Stylization
from tests.conftest import Photo


@pytest.fixture(scope="module", params=["tensorflow", "openvino"])
def stylizer(request: pytest.FixtureRequest, trained_model: Path) -> Stylizer:
    pytest.importorskip(request.param)
    return Stylizer(trained_model, request.param, "float32")


@pytest.fixture(scope="module")
def candy() -> Stylizer:
    return Stylizer("candy", precision="float32")


# Names


def test_neither_the_import_nor_a_style_that_ships_needs_tensorflow(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is an optional extra")
    program = """
import sys
import fast_style
assert "numpy" not in sys.modules and "Stylizer" in dir(fast_style)
from fast_style import Stylizer
import numpy as np
assert Stylizer("candy", "openvino")(np.zeros((8, 9, 3), np.uint8)).shape == (8, 9, 3)
assert "tensorflow" not in sys.modules
"""
    command = [sys.executable, "-c", program]
    place = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(PROJECT)}}
    done = subprocess.run(command, capture_output=True, text=True, **place)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_model_is_named_by_a_path_or_by_the_name_of_what_ships(
    photo: Photo, caplog: pytest.LogCaptureFixture
) -> None:
    folder = PROJECT / "pretrained" / "candy"
    of_path, of_text, of_name = (
        Stylizer(name, precision="float32")(photo(8, 12)) for name in (folder, str(folder), "candy")
    )
    np.testing.assert_array_equal(of_path, of_text)
    np.testing.assert_array_equal(of_path, of_name)
    assert not caplog.text  # as it is no surprise
    with pytest.raises(UserError, match=r"^cadny: no such model folder; did you mean 'candy'\?$"):
        Stylizer("cadny")
    with pytest.raises(AttributeError, match="no attribute 'Styliser'"):
        __import__("fast_style").Styliser  # noqa: B018


@pytest.mark.parametrize("wrong", [{"runtime": "cuda"}, {"precision": "float16"}])
def test_a_runtime_or_precision_that_there_is_not_is_refused(wrong: dict) -> None:
    (name, value), *_ = wrong.items()
    with pytest.raises(UserError, match=f"^{name}: '{value}' is none of auto, "):
        Stylizer("candy", **wrong)


# Forms


def test_arrays_come_back_as_they_came(candy: Stylizer, photo: Photo) -> None:
    rgb, alpha = photo(12, 20), np.full((12, 20), 7, np.uint8)
    expected = candy(rgb)
    assert expected.dtype == np.uint8 and expected.shape == rgb.shape
    for dtype in (np.float16, np.float32, np.float64):
        found = candy((rgb + np.float32(0.25)).astype(dtype))
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, expected)
    found = candy(np.dstack([rgb, alpha]))
    np.testing.assert_array_equal(found, np.dstack([expected, alpha]))
    grey = rgb[..., 1]
    np.testing.assert_array_equal(candy(grey), candy(np.dstack([grey] * 3)))
    several = np.stack([rgb, photo(12, 20, seed=1)])
    np.testing.assert_array_equal(candy(several), [expected, candy(several[1])])
    np.testing.assert_array_equal(candy(rgb[::-1, ::-1]), candy(rgb[::-1, ::-1].copy()))


def test_a_tensor_is_an_array_too(candy: Stylizer, photo: Photo) -> None:
    import tensorflow as tf

    rgb = photo(12, 20)
    np.testing.assert_array_equal(candy(tf.constant(rgb)), candy(rgb))


def test_a_pillow_image_comes_back_for_one(candy: Stylizer, photo: Photo) -> None:
    rgb = photo(12, 20)
    image = Image.fromarray(rgb)
    expected = candy(rgb)
    found = candy(image)
    assert isinstance(found, Image.Image) and found.mode == "RGB"
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(image, rgb)
    grey = image.convert("L")
    np.testing.assert_array_equal(candy(grey), candy(np.asarray(grey)))
    image.putalpha(9)
    assert candy(image).mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(candy(image))[..., 3], 9)


def test_the_name_of_a_file_gives_a_pillow_image(
    candy: Stylizer, photo: Photo, tmp_path: Path
) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    path = tmp_path / "photo.png"
    Image.fromarray(photo(12, 20)).save(path, exif=exif, icc_profile=profile)
    expected = candy(np.rot90(photo(12, 20), -1))
    for given in (path, str(path), Image.open(path)):
        found = candy(given)
        np.testing.assert_array_equal(found, expected)
        assert found.info["icc_profile"] == profile


def test_what_is_asked_for_is_done(candy: Stylizer, photo: Photo, tmp_path: Path) -> None:
    rgb = photo(12, 20)
    mask = np.zeros((12, 20), bool)
    mask[4:] = True
    half = candy(rgb, strength=0.5)
    assert np.abs(half - (rgb / 2 + candy(rgb) / 2)).max() <= 0.5
    assert candy(rgb, max_size=10).shape == (6, 10, 3)
    expected = candy(rgb)
    expected[:4] = rgb[:4]
    white = Image.fromarray(mask)
    white.save(tmp_path / "mask.png")
    for form in (mask, mask.astype(np.float32), np.uint8(255) * mask, white, tmp_path / "mask.png"):
        np.testing.assert_array_equal(candy(rgb, mask=form), expected)


RGB = np.full((4, 5, 3), 200)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([[1, 2]], "picture: got list; the name of a file, a Pillow image, or an array of "),
        (b"bytes", "picture: got bytes; "),
        (None, "picture: got NoneType; "),
        (RGB, "picture: got an array of int64; "),
        (RGB.astype(np.uint16), "picture: got an array of uint16; "),
        (RGB.astype(bool), "picture: got an array of bool; "),
        (RGB.transpose(2, 0, 1).astype(np.uint8), r"picture: got an array of shape \(3, 4, 5\); "),
        (np.zeros((0, 5, 3), np.uint8), r"picture: got an array of shape \(0, 5, 3\); "),
        (np.zeros((0, 4, 5, 3), np.uint8), r"picture: got an array of shape \(0, 4, 5, 3\); "),
        (np.zeros(3, np.uint8), r"picture: got an array of shape \(3,\); "),
        (RGB - 300.0, "picture: got values from -100 to -100; "),
        (RGB * 2.0, "picture: got values from 400 to 400; "),
        (RGB * np.nan, "picture: got values from nan to nan; "),
        ("none.jpg", "none.jpg: no such file"),
        (Image.new("RGB", (0, 3)), r"the image has no pixels \(0x3\)"),
    ],
)
def test_anything_else_is_named_in_one_line(candy: Stylizer, given: object, said: str) -> None:
    with pytest.raises(UserError, match=f"^{said}") as error:
        candy(given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"strength": 2}, "strength: 2 is not between 0 and 1"),
        ({"strength": np.nan}, "strength: nan is not between 0 and 1"),
        ({"max_size": 0}, "max_size: 0 is not at least 1"),
        ({"scale": 0.4}, "scale: 0.4 is not at least 0.5"),
        ({"mask": [1]}, "mask: got list; the name of a file, a Pillow image or an (H, W) array"),
        ({"mask": RGB.astype(np.uint8)}, "mask: uint8 of shape (4, 5, 3); uint8 (H, W) is wanted"),
        ({"mask": RGB[..., 0]}, "mask: int64 of shape (4, 5); uint8 (H, W) is wanted"),
        ({"mask": RGB[..., 0] / 2}, "mask: values from 100 to 100; floats of 0 to 1 are wanted"),
        ({"mask": np.ones((9, 4))}, "the mask is 4x9 and the picture 5x4; "),
        ({"mask": "none.png"}, "none.png: no such file"),
    ],
)
def test_a_wrong_wish_is_named_in_one_line(candy: Stylizer, how: dict, said: str) -> None:
    with pytest.raises(UserError) as error:
        candy(RGB.astype(np.uint8), **how)
    assert str(error.value).startswith(said) and "\n" not in str(error.value)
    if "mask" not in how:
        with pytest.raises(UserError):
            Stylization(**how)


def test_values_up_to_1_are_warned_of(candy: Stylizer) -> None:
    with pytest.warns(UserWarning, match="multiply it by 255") as warned:
        candy(RGB / 255)
    assert warned[0].filename == __file__
    with pytest.warns(UserWarning, match="a mask of 0 and 1 in integers") as warned:
        candy(RGB.astype(np.uint8), mask=np.ones((4, 5), np.uint8))
    assert warned[0].filename == __file__


# Threads


def test_64_calls_in_8_threads_give_what_one_thread_gives(stylizer: Stylizer, photo: Photo) -> None:
    pictures = [photo(24, 32, seed=seed) for seed in range(64)]
    expected = [stylizer(picture) for picture in pictures]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(stylizer, pictures))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", [(32, 32, 4), (32, 32)])
def test_a_network_that_failed_works_for_other_threads(
    stylizer: Stylizer, photo: Photo, shape: tuple[int, ...]
) -> None:
    picture = photo(32, 32)
    expected = stylizer(picture)
    with pytest.raises(Exception):  # noqa: B017 - each runtime has its own
        stylizer.network.whole(np.zeros(shape, np.uint8))
    found: list[np.ndarray] = []
    thread = threading.Thread(target=lambda: found.append(stylizer(picture)), daemon=True)
    thread.start()
    thread.join(60)
    assert found, "the other thread waits"
    np.testing.assert_array_equal(found[0], expected)


def test_threads_that_load_networks_leave_stderr_as_it_was(trained_model: Path) -> None:
    program = f"""
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from fast_style.stylize.stylizer import Stylizer
with ThreadPoolExecutor(4) as threads:
    list(threads.map(lambda _: Stylizer(Path({str(trained_model)!r}), "tensorflow"), range(4)))
print("heard", file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr.endswith("heard\n")
