"""Synthetic pictures with the statistics of photographs.

Dead leaves over a sky, a horizon or a wall of 1/f noise, with the effects of a camera.
"""

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageFilter

from fast_style.pictures.training_pictures.dead_leaves import GREEN, WARM, strewn
from fast_style.pictures.training_pictures.textures import KINDS, cloud, tile_part


def synthetic_picture(seed: int, index: int, side: int) -> np.ndarray:
    """Returns picture number `index` of the sequence `seed`: (side, side, 3) uint8.

    A pure function. The scene grows with `side`; the finest leaves and the textures keep their
    size in pixels, as in photographs.
    """
    rng = np.random.default_rng((seed, index))
    palette = _palette(rng)
    sparse = rng.random() < 0.35
    horizon = rng.uniform(0.2, 0.8) if rng.random() < (0.8 if sparse else 0.4) else None

    picture = _background(rng, side, palette, horizon)
    if not sparse and rng.random() < 0.6:
        picture = strewn(rng, picture, palette, horizon, rng.uniform(0.5, 2.0))
    if rng.random() < 0.4:  # out of focus
        picture = _blurred(picture, side * rng.uniform(0.002, 0.012))
    cover = rng.uniform(0.15, 0.8) if sparse else rng.uniform(1.0, 4.0)
    picture = strewn(rng, picture, palette, horizon, cover)
    return _photographed(rng, picture)


def _palette(rng: Generator) -> np.ndarray:
    """Returns 3 to 6 colours of similar hue, mostly muted: (n, 3) float32, about 0..255."""
    count = int(rng.integers(3, 7))
    lightness = rng.permutation(np.linspace(45, 205, count)) + rng.normal(0, 18, count)
    # All have the cast of the light, and some of their own. A few scenes are vivid.
    chroma = rng.gamma(2.0, 14.0) if rng.random() < 0.8 else rng.gamma(3.0, 25.0)
    warm = rng.normal(0.5 * chroma, chroma, count)
    green = rng.normal(0.1 * chroma, 0.5 * chroma, count)
    # Very dark and very light colours have little chroma.
    room = np.minimum(lightness, 255 - lightness).clip(15, 90) / 90
    colours = lightness[:, None] + (room * warm)[:, None] * WARM + (room * green)[:, None] * GREEN
    return colours.astype(np.float32)


def _background(
    rng: Generator, side: int, palette: np.ndarray, horizon: float | None
) -> np.ndarray:
    """Returns a wall of 1/f noise, or a sky over rows of hills: (S, S, 3) float32."""
    first, second, third = palette[rng.integers(len(palette), size=3)]
    down = np.linspace(0, 1, side, dtype=np.float32)[:, None]
    detail = int(rng.integers(16, 256))
    if horizon is None:
        mixed = 0.5 + 0.3 * cloud(rng, side, detail) + rng.normal(0, 0.6) * (down - 0.5)
        wall = 1 + rng.gamma(1, 0.06) * tile_part(rng, int(rng.integers(KINDS)), side)
        return (first + (second - first) * mixed[..., None]) * wall[..., None]

    top = 255 - (255 - first) * rng.uniform(0.2, 0.8) - rng.uniform(0, 25) * WARM
    bottom = second + (255 - second) * rng.uniform(0.3, 0.9)
    clouds = rng.gamma(1, 0.1) * cloud(rng, side, detail)
    mixed = (down / horizon + clouds).clip(0, 1)
    picture = top + (bottom - top) * mixed[..., None]
    ridges = int(rng.integers(1, 4))
    for ridge in range(1, ridges + 1):
        skyline = rng.gamma(1, 0.04) * cloud(rng, side, detail)[side // 2]
        height = horizon + 0.12 * (ridge - 1) + skyline
        # Far hills take the colour of the sky.
        near = ridge / ridges
        hill = bottom + (palette[rng.integers(len(palette))] - bottom) * (0.2 + 0.8 * near)
        grown = tile_part(rng, int(rng.integers(KINDS)), side)
        texture = 1 + rng.gamma(2, 0.06) * near * grown
        below = slice(max(0, int(height.min() * side) - 1), side)
        depth = (down - height)[below, :, None]
        colours = (hill + 0.5 * near * depth * (third - hill)) * texture[below, :, None]
        picture[below] += (depth * side + 0.5).clip(0, 1) * (colours - picture[below])
    return picture.astype(np.float32)


def _photographed(rng: Generator, picture: np.ndarray) -> np.ndarray:
    """Adds uneven light, grain, exposure, contrast and softness: float32 to uint8."""
    side = len(picture)
    picture = picture * np.exp(rng.uniform(0.02, 0.25) * cloud(rng, side, 24))[..., None]
    picture += rng.exponential(1.2) * tile_part(rng, 0, side)[..., None]
    every = max(1, side // 16)
    some = picture[::every, ::every].mean(2)
    # The gain is limited, so pictures of little contrast keep little.
    gain = min(max(rng.normal(66, 16), 25.0) / max(float(some.std()), 10.0), 2.0)
    exposure = min(max(rng.normal(-8, 32), -80.0), 65.0)
    # The S-curve of film: shadows and highlights keep their detail.
    picture = 255 / (1 + np.exp((some.mean() - picture) * (gain / 55) - exposure / 55))
    image = Image.fromarray(picture.astype(np.uint8))
    softness = rng.uniform(-0.4, 0.4)
    return np.asarray(image.filter(ImageFilter.BoxBlur(softness)) if softness > 0 else image)


def _blurred(picture: np.ndarray, radius: float) -> np.ndarray:
    image = Image.fromarray(picture.clip(0, 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), np.float32)
