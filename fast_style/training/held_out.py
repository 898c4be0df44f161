"""Validation pictures, on which a training is evaluated but not trained."""

from collections.abc import Callable, Sequence

import numpy as np

from fast_style.conf.config import Config
from fast_style.errors import naming
from fast_style.loss.named_terms import named_terms
from fast_style.pictures.images import find_pictures, flatten_on_white, read_picture
from fast_style.pictures.pixels import square

Terms = dict[str, float]


class HeldOut:
    """The pictures of the conf's validation_images at its image_size, all in memory."""

    def __init__(self, config: Config):
        """Raises UserError if validation_images names no pictures, or one cannot be read."""
        self.styles = config.named_style_images
        self.batches: list[np.ndarray] = []
        if config.validation_images is None:
            return
        with naming("validation_images"):
            paths = find_pictures(config.paths[config.validation_images])
        pictures = (flatten_on_white(read_picture(path)) for path in paths)
        self.batches = [square(rgb, config.image_size)[None] for rgb in pictures]

    def mean_terms(self, terms: Callable[[np.ndarray, int], Terms]) -> Terms | None:
        """Returns the means over the pictures, or None if the conf names none.

        terms: returns the objective's terms for a (1, H, W, 3) uint8 batch and a style's number.
        With several styles, 'STYLE/TERM' is the value of one style, and 'TERM' the mean over them.
        """
        if not self.batches or not self.styles:
            return None
        of_styles = [
            _means([terms(batch, number) for batch in self.batches])
            for number in range(len(self.styles))
        ]
        if len(of_styles) == 1:
            return of_styles[0]
        each = {
            f"{name}/{term}": value
            for name, found in zip(self.styles, of_styles, strict=True)
            for term, value in named_terms(found).items()
        }
        return _means(of_styles) | each


def _means(found: Sequence[Terms]) -> Terms:
    return {name: float(np.mean([terms[name] for terms in found])) for name in found[0]}
