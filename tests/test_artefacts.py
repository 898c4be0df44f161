"""Figures for checkerboards, frames and blotches, on pictures that have them and that have not."""

from collections.abc import Callable

import numpy as np
import pytest

from fast_style.measure.artefacts import blotched_share, frame_shift, grid_energy

Photo = Callable[..., np.ndarray]


@pytest.mark.parametrize("period", [4, 8])
@pytest.mark.parametrize("size", [(128, 128), (131, 97), (256, 200)])
def test_a_picture_without_a_grid_is_near_one(
    size: tuple[int, int], period: int, photo: Photo
) -> None:
    noise = np.random.default_rng(0).uniform(0, 255, (*size, 3))
    assert 0.6 < grid_energy(noise, period) < 1.6
    assert 0.6 < grid_energy(photo(*size), period) < 1.6


@pytest.mark.parametrize(("period", "upsampled"), [(2, 4), (4, 4), (2, 8), (4, 8), (8, 8)])
def test_a_faint_checkerboard_stands_out(period: int, upsampled: int, photo: Photo) -> None:
    clean = photo(128, 160).astype(float)
    down, across = np.mgrid[0:128, 0:160] // (period // 2)
    board = np.where((down + across) % 2, 3.0, -3.0)[..., None]
    assert grid_energy(clean + board, upsampled) > 3 * grid_energy(clean, upsampled)


def test_a_frame_is_a_shift_of_colours_and_strokes_are_none(photo: Photo) -> None:
    whole = photo(80, 96).astype(float)
    part = whole + np.random.default_rng(0).normal(3, 20, whole.shape)
    assert frame_shift(whole, whole) == 0
    assert frame_shift(part, whole) < 1
    part[..., 2] -= 9  # everywhere, as a part may have other colours than the whole
    assert frame_shift(part, whole) < 1
    part[:, :16, 0] += 40  # one edge of four
    outer = 80 * 96 - 48 * 64
    assert frame_shift(part, whole) == pytest.approx(40 * 80 * 16 / outer / 3**0.5, abs=1)


def test_blotches_are_flat_blocks_at_the_ends_of_the_range(photo: Photo) -> None:
    picture = np.clip(photo(64, 64), 20, 235)
    assert blotched_share(picture) == 0
    picture[:32, :32] = (255, 252, 3)
    picture[0, 0] = 128  # one block is not flat any more
    assert blotched_share(picture) == pytest.approx(3 / 16)
