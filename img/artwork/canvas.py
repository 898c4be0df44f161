"""What every picture is made with: smooth noise, colours, and the file it goes to."""

from pathlib import Path

import numpy as np
from PIL import Image

Array = np.ndarray
Colour = tuple[float, float, float]


def noise(
    rng: np.random.Generator,
    shape: tuple[int, int],
    scale: float,
    octaves: int = 1,
    stretch: float = 1.0,
) -> Array:
    """Smooth noise, float32 (H, W), mean near 0 and deviation near 1.

    scale is the size of a lump in pixels; stretch makes lumps that much longer in x. Each further
    octave has half the size and half the strength.
    """
    height, width = shape
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        size = scale / 2**octave
        columns, rows = width / (size * stretch), height / size
        grid = rng.normal(size=(int(rows) + 5, int(columns) + 5)).astype(np.float32)
        # A random offset, so that the lattices of the octaves never line up.
        x, y = rng.uniform(1, 3, 2)
        layer = Image.fromarray(grid).resize(
            (width, height), Image.Resampling.BICUBIC, box=(x, y, x + columns, y + rows)
        )
        total += np.asarray(layer) / 2**octave
    return (total - total.mean()) / (total.std() + 1e-6)


def sample_at(field: Array, row: Array, column: Array) -> Array:
    """A field (H, W) at fractional places, repeated endlessly, bilinear."""
    height, width = field.shape
    top, left = np.floor(row).astype(np.int32), np.floor(column).astype(np.int32)
    down, right = row - top, column - left
    above, below = top % height, (top + 1) % height
    before, after = left % width, (left + 1) % width
    upper = field[above, before] * (1 - right) + field[above, after] * right
    lower = field[below, before] * (1 - right) + field[below, after] * right
    return (upper * (1 - down) + lower * down).astype(np.float32)


def smoothstep(low: float | Array, high: float | Array, value: Array) -> Array:
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(a: Array | Colour, b: Array | Colour, amount: Array | float) -> Array:
    """Colours (..., 3), blended by amount (...)."""
    amount = np.asarray(amount, np.float32)[..., None]
    return np.asarray(a, np.float32) * (1 - amount) + np.asarray(b, np.float32) * amount


def ramp(stops: list[Colour], position: Array) -> Array:
    """Colours (..., 3) at positions 0..1 along evenly spaced stops."""
    places = np.clip(position, 0, 1) * (len(stops) - 1)
    low = np.minimum(places.astype(np.int32), len(stops) - 2)
    table = np.asarray(stops, np.float32)
    return mix(table[low], table[low + 1], places - low)


def colour(code: str) -> Colour:
    """RGB in 0..1 from six hexadecimal digits."""
    red, green, blue = (int(code[i : i + 2], 16) / 255 for i in (0, 2, 4))
    return red, green, blue


def save(picture: Array, path: Path, quality: int) -> None:
    """Write RGB (H, W, 3) in 0..1 as a JPEG, whole or not at all."""
    temporary = path.with_name(path.name + ".partial")
    pixels = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    Image.fromarray(pixels).save(temporary, "JPEG", quality=quality, optimize=True)
    temporary.replace(path)
