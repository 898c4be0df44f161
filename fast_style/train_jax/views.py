"""Training pictures on the accelerator: squares of photos and paintings, and their views."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from fast_style.pictures.images import find_pictures, flatten_on_white, read_picture
from fast_style.pictures.pixels import square
from fast_style.pictures.training_pictures.content_images import MOST_SHIFT, VIEW_NOISE
from fast_style.pictures.training_pictures.style_images import (
    CONTRAST,
    LEAST_DETAIL,
    SATURATION,
    colour_matrix,
)


class Squares(NamedTuple):
    """The centre squares of pictures.

    pixels: (N, S, S, 3) uint8 RGB. sides: (N,) float32, the sides of the squares in their files.
    """

    pixels: jax.Array
    sides: jax.Array

    @property
    def side(self) -> int:
        return self.pixels.shape[1]


def read_squares(folder: str, side: int) -> Squares:
    """Reads every picture of a folder or glob. Raises UserError for one that cannot be read."""

    def read(file: Path) -> tuple[np.ndarray, int]:
        rgb = flatten_on_white(read_picture(file))
        return square(rgb, side), min(rgb.shape[:2])

    files: Sequence[Path] = find_pictures(folder)
    with ThreadPoolExecutor() as pool:
        read_ones = tqdm(pool.map(read, files), folder, len(files))
        pixels, sides = zip(*read_ones, strict=True)
    return Squares(jnp.asarray(np.stack(pixels)), jnp.asarray(sides, jnp.float32))


def random_views(squares: Squares, count: int, side: int, flip: bool, key: jax.Array) -> jax.Array:
    """Returns (count, side, side, 3) float32 RGB 0..255: random parts, from `side` to the whole.

    A picture is chosen as often as its file has pixels, and no part of it is enlarged much.
    """
    which, zoom, place, mirror = jax.random.split(key, 4)
    chosen = jax.random.categorical(which, 2 * jnp.log(squares.sides), shape=(count,))
    whole = squares.side
    smallest = whole * jnp.minimum(1.0, LEAST_DETAIL * side / squares.sides[chosen])
    viewed = jax.random.uniform(zoom, (count,), minval=jnp.maximum(side, smallest), maxval=whole)
    corner = jax.random.uniform(place, (count, 2)) * (whole - viewed)[:, None]
    pixels = squares.pixels[chosen]
    if flip:
        mirrored = jax.random.bernoulli(mirror, shape=(count, 1, 1, 1))
        pixels = jnp.where(mirrored, pixels[:, :, ::-1], pixels)

    def view(picture, scale, corner):
        return jax.image.scale_and_translate(
            picture.astype(jnp.float32),
            (side, side, 3),
            (0, 1),
            jnp.stack([scale, scale]),
            -corner * scale,
            "linear",
        )

    return jnp.clip(jax.vmap(view)(pixels, side / viewed, corner), 0, 255)


@jax.vmap
def with_other_colours(rgb: jax.Array, key: jax.Array) -> jax.Array:
    """Changes half of (N, H, W, 3) float32 pictures as style_images.with_other_colours does."""
    of_change, of_turn, of_saturation, of_contrast = jax.random.split(key, 4)

    def between(key: jax.Array, limits: tuple[float, float]) -> jax.Array:
        return jax.random.uniform(key, minval=limits[0], maxval=limits[1])

    matrix = colour_matrix(between(of_turn, (0, 1)), between(of_saturation, SATURATION), jnp)
    contrast = between(of_contrast, CONTRAST)
    centre = rgb.mean((0, 1))
    changed = (rgb - centre) @ (contrast * matrix).T + centre @ matrix.T
    return jnp.where(jax.random.bernoulli(of_change), jnp.clip(changed, 0, 255), rgb)


def moved_view(picture: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns a part, (1, H - 4, W - 4, 3), with noise, and its (2,) shift: as in ContentImages."""
    of_shift, of_noise = jax.random.split(key)
    shift = jax.random.randint(of_shift, (2,), 0, MOST_SHIFT + 1)
    count, height, width, channels = picture.shape
    sizes = (count, height - MOST_SHIFT, width - MOST_SHIFT, channels)
    part = jax.lax.dynamic_slice(picture, (0, *shift, 0), sizes)
    noise = VIEW_NOISE * jax.random.normal(of_noise, sizes)
    return jnp.clip(part + noise, 0, 255), shift
