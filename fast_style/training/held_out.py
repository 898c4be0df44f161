"""Validation pictures, which a training is evaluated on and never learns from."""

from collections.abc import Callable, Sequence

import numpy as np

from fast_style.conf.config import Config
from fast_style.errors import UserError
from fast_style.loss.named_terms import named_terms
from fast_style.pictures.images import find_pictures, flatten_on_white, read_picture
from fast_style.pictures.pixels import square

Terms = dict[str, float]


class HeldOut:
    """The conf's validation_images at its image_size, all of them in memory."""

    def __init__(self, config: Config):
        """Raises UserError where validation_images names no pictures, or one cannot be read."""
        self.styles = config.named_style_images
        self.batches: list[np.ndarray] = []
        if config.validation_images is None:
            return
        try:
            paths = find_pictures(config.paths[config.validation_images])
        except UserError as error:
            raise UserError(f"validation_images: {error}") from None
        pictures = (flatten_on_white(read_picture(path)) for path in paths)
        self.batches = [square(rgb, config.image_size)[None] for rgb in pictures]

    def mean_terms(self, terms: Callable[[np.ndarray, int], Terms]) -> Terms | None:
        """Means over the pictures, or None where the conf names none.

        terms: the objective's terms of a (1, H, W, 3) uint8 batch and the number of a style.
        Of several styles, 'STYLE/TERM' is that of each one, and 'TERM' the mean over them.
        """
        if not self.batches:
            return None
        of_styles = [
            _means([terms(batch, number) for batch in self.batches])
            for number in range(len(self.styles))
        ]
        if len(of_styles) == 1:
            return of_styles[0]
        named = zip(self.styles, of_styles, strict=True)
        each = {
            f"{name}/{term}": value
            for name, found in named
            for term, value in named_terms(found).items()
        }
        return _means(of_styles) | each


def _means(found: Sequence[Terms]) -> Terms:
    return {name: float(np.mean([terms[name] for terms in found])) for name in found[0]}
