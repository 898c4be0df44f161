"""Larger strokes, with the edges of the photo."""

import numpy as np
import pytest

from fast_style.pictures import pixels
from fast_style.pictures.guided_upsampling import enlarged
from fast_style.pictures.pixels import resize
from fast_style.pictures.training_pictures.synthetic_images import synthetic_picture


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return synthetic_picture(0, 3, 256)[:, :201]


def error(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(found.astype(int) - wanted).mean())


def test_edges_come_back(photo: np.ndarray) -> None:
    small = resize(photo, 64, 50)
    assert error(enlarged(small, small, photo), photo) < 0.5 * error(resize(small, 256, 201), photo)


def test_edges_of_a_negative_are_negative(photo: np.ndarray) -> None:
    small = resize(photo, 64, 50)
    negative = enlarged(255 - small, small, photo)
    assert error(negative, 255 - photo) < 0.5 * error(255 - resize(small, 256, 201), 255 - photo)


def test_what_the_photo_does_not_have_stays(photo: np.ndarray) -> None:
    strokes = synthetic_picture(0, 4, 64)
    flat = np.full((256, 256, 3), 90, np.uint8)
    found = enlarged(strokes, flat[:64, :64], flat)
    assert error(found, resize(strokes, 256, 256)) == 0


def test_strips_leave_no_seam(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    small = resize(photo, 85, 67)
    stylized = np.roll(small, 1, axis=-1)
    whole = enlarged(stylized, small, photo)
    monkeypatch.setattr(pixels, "ROWS_AT_ONCE", 17)
    apart = np.abs(enlarged(stylized, small, photo).astype(int) - whole)
    assert apart.mean() < 0.01 and apart.max() <= 3  # two rounded pictures, and a slope of 2
