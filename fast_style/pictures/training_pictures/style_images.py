"""The style images that a network for any style is trained on, one for each step."""

import contextlib
import dataclasses
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np

from fast_style.conf.config import Config
from fast_style.errors import UserError
from fast_style.pictures.pixels import LUMA, to_uint8
from fast_style.pictures.training_pictures.content_images import ContentImages

LARGEST_ZOOM = 2.5  # from a whole painting to a part of it, with larger strokes
LEAST_DETAIL = 0.8  # pixels of the file per pixel of a style image: with fewer, it is blurred
LEAST_CONTRAST = 12.0  # standard deviation in grey levels; a flat square has little to learn from
# How far colours are changed in half of the images, for palettes that no painting has.
SATURATION = (0.5, 1.8)
CONTRAST = (0.8, 1.3)
GREY = np.ones(3) / np.sqrt(3)  # the axis that hues turn around


class StyleImages:
    """Squares of the pictures in the conf's `style_dataset`, in an order that depends on its seed.

    They have the conf's `image_size`, and show between a whole painting and 0.4 of its short side,
    or more if the file has too few pixels.
    Half of them have other hues, saturation and contrast. Raises UserError as ContentImages does.
    """

    def __init__(self, config: Config, *, download: bool = False):
        assert config.style_dataset is not None
        self._seed = config.seed
        with _naming_the_key():
            self._squares = ContentImages(
                dataclasses.replace(
                    config, dataset=config.style_dataset, batch_size=1, crop="random", flip=True
                ),
                download=download,
                largest_zoom=LARGEST_ZOOM,
                least_detail=LEAST_DETAIL,
                least_contrast=LEAST_CONTRAST,
            )
        self.report_broken = self._squares.report_broken

    @property
    def pictures(self) -> int | None:
        """Number of pictures; None for synthetic ones, which never end."""
        return self._squares.pictures_per_epoch

    def first(self, count: int) -> list[np.ndarray]:
        """Returns the style images of the first steps, each (1, S, S, 3) uint8 RGB."""
        images = self.batches(0)
        found = [next(images) for _ in range(count)]
        images.close()
        return found

    def batches(self, first_step: int) -> Generator[np.ndarray]:
        """Yields the (1, S, S, 3) uint8 RGB style image of each step, from first_step on.

        Raises UserError as ContentImages.batches does.
        """
        with contextlib.closing(self._squares.batches(first_step)) as squares, _naming_the_key():
            for step, rgb in enumerate(squares, start=first_step):
                yield with_other_colours(rgb, np.random.default_rng((self._seed, step)))


@contextlib.contextmanager
def _naming_the_key() -> Iterator[None]:
    """Names `style_dataset` in the messages of ContentImages."""
    try:
        yield
    except UserError as error:
        raise UserError(f"style_dataset: {str(error).removeprefix('dataset: ')}") from error


def with_other_colours(rgb: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns uint8 RGB, in half of the cases with other hues, saturation and contrast."""
    changed, turn = random.random(2)
    if changed < 0.5:
        return rgb
    matrix = colour_matrix(turn, random.uniform(*SATURATION))
    centre = rgb.mean((0, 1, 2))
    found = (rgb - centre) @ (random.uniform(*CONTRAST) * matrix).T + centre @ matrix.T
    return to_uint8(found)


def colour_matrix(turn: Any, saturation: Any, xp: Any = np) -> Any:
    """Returns the (3, 3) matrix that turns hues by part of a circle, and then changes saturation.

    turn: 0 to 1. saturation: 1 keeps it. xp: numpy or jax.numpy.
    """
    grey = np.tile(LUMA, (3, 1))
    return (grey + saturation * (np.eye(3) - grey)) @ hue_rotation(2 * np.pi * turn, xp)


def hue_rotation(angle: Any, xp: Any = np) -> Any:
    """Returns the (3, 3) matrix that turns RGB around the axis of grey (Rodrigues' formula)."""
    across = np.cross(np.eye(3), GREY)
    parallel = np.outer(GREY, GREY)
    return xp.cos(angle) * np.eye(3) + xp.sin(angle) * across + (1 - xp.cos(angle)) * parallel
