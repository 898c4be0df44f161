"""How a picture is stylized, beside by which network: what is done around the network's pass."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fast_style.errors import UserError
from fast_style.pictures.guided_upsampling import enlarged
from fast_style.pictures.images import Picture
from fast_style.pictures.pixels import blend, fit_within, resize, with_chroma_of


@dataclass(frozen=True)
class Stylization:
    """What is asked for, from whichever program; the defaults give the network's own result.

    strength: 0 gives the content image, 1 the stylized one, between them a blend.
    preserve_color: luminance of the stylized image, chroma of the content image.
    max_size: the long side is shrunk to this many pixels first; None: the size stays.
    scale: strokes so many times as large (pictures.guided_upsampling), from 1 up.
    Raises UserError for numbers beyond these.
    """

    strength: float = 1.0
    preserve_color: bool = False
    max_size: int | None = None
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise UserError(f"strength: {self.strength} is not between 0 and 1")
        if self.max_size is not None and self.max_size < 1:
            raise UserError(f"max_size: {self.max_size} is not at least 1")
        if not 1 <= self.scale < float("inf"):
            raise UserError(f"scale: {self.scale} is not at least 1")

    def of(self, picture: Picture, network: Callable[[np.ndarray], np.ndarray]) -> Picture:
        """The stylized picture with the alpha and ICC profile of the original.

        network: (H, W, 3) uint8 RGB to the same, stylized. Raises what it raises.
        """
        if self.max_size is not None:
            picture = fit_within(picture, self.max_size)
        content = picture.rgb
        if self.scale > 1:
            height, width = (max(1, round(side / self.scale)) for side in content.shape[:2])
            small = resize(content, height, width)
            stylized = enlarged(network(small), small, content)
        else:
            stylized = network(content)
        if self.preserve_color:
            stylized = with_chroma_of(content, stylized)
        if self.strength < 1:
            stylized = blend(content, stylized, self.strength)
        return Picture(rgb=stylized, alpha=picture.alpha, icc_profile=picture.icc_profile)
