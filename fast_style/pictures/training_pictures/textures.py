"""Textures and clouds of noise, for synthetic pictures."""

import functools

import numpy as np
from numpy.random import Generator
from PIL import Image

KINDS = 10  # of texture
TILE = 512  # side of a texture, a power of two


def cloud(rng: Generator, side: int, detail: int) -> np.ndarray:
    """Returns 1/f noise, smooth below 1/detail of the picture: (side, side) float32, -2.5..2.5."""
    part = np.ascontiguousarray(tile_part(rng, 2, detail))
    return np.asarray(Image.fromarray(part).resize((side, side), Image.Resampling.BICUBIC))


def tile_part(rng: Generator, kind: int, side: int) -> np.ndarray:
    """Returns a random (side, side) part of a texture, or its mirror image."""
    rows = (np.arange(side) + rng.integers(TILE)) % TILE
    columns = (np.arange(side) + rng.integers(TILE)) % TILE
    part = textures()[kind].take(rows, 0).take(columns, 1)
    return part.T if rng.random() < 0.5 else part


@functools.cache
def textures() -> np.ndarray:
    """Returns seamless textures: (KINDS, TILE, TILE) float32, -2.5..2.5, mean 0, deviation 1."""
    rng = np.random.default_rng(0)
    frequency = np.fft.fftfreq(TILE)
    x, y = frequency[None, :], frequency[:, None]

    def noise(amplitude: np.ndarray) -> np.ndarray:
        amplitude[0, 0] = 0
        white = np.fft.fft2(rng.normal(size=(TILE, TILE)))
        return normal(np.fft.ifft2(white * amplitude).real)

    def normal(values: np.ndarray) -> np.ndarray:
        return (values - values.mean()) / values.std()

    def power(exponent: float, stretch: float = 1.0) -> np.ndarray:
        distance = np.hypot(x * stretch, y)
        distance[0, 0] = 1
        return distance**-exponent

    band = np.exp(-((np.hypot(x, y) - 0.05) ** 2) / (2 * 0.015**2))
    column, row = np.meshgrid(np.arange(TILE), np.arange(TILE))
    courses = (row % 16 < 2) | ((column + row // 16 % 2 * 16) % 32 < 2)
    threads = np.sin(column * (np.pi / 4)) * np.sin(row * (np.pi / 4))
    made = [
        noise(power(0.3)),  # grain
        noise(power(1.0)),  # stone
        noise(power(1.5)),  # cloud
        noise(power(0.8, stretch=8)),  # fibre
        noise(power(0.6, stretch=3)),  # bark
        normal(-np.abs(noise(power(1.2)))),  # veins
        normal(np.tanh(3 * noise(band.copy()))),  # patches
        normal(np.maximum(noise(band.copy()), 0.7)),  # bumps
        normal(noise(power(0.5)) - 3 * courses),  # masonry
        normal(threads + 0.5 * noise(power(0.8))),  # cloth
    ]
    return np.stack(made).clip(-2.5, 2.5).astype(np.float32)
