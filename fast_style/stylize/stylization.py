"""What is done to a picture before and after the network."""

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fast_style.errors import UserError
from fast_style.pictures.guided_upsampling import enlarged
from fast_style.pictures.images import Picture
from fast_style.pictures.masks import check_proportions, product, scaled_to, without_transparent
from fast_style.pictures.pixels import blend, fit_within, resize, with_chroma_of

SMALLEST_SCALE = 0.5  # the network sees 4 times the pixels


@dataclass(frozen=True, eq=False)
class Stylization:
    """How to stylize a picture; the defaults give the network's own result.

    strength: from 0, the content image, to 1, the stylized image.
    preserve_color: keep the chroma of the content image.
    max_size: first shrink the long side to this many pixels; None: keep the size.
    scale: how many times larger the strokes are; at least SMALLEST_SCALE. Above 1 the network sees
    a smaller picture (pictures.guided_upsampling), below 1 a larger one.
    mask: (H, W) uint8 (pictures.masks) with the proportions of the picture, to whose size it is
    scaled; None: stylize everything.
    protection: computes another mask of any size from the pixels of a picture, (H, W, 3) uint8, and
    its name, as portraits.protection does; the two are multiplied. None: no other mask.
    Raises UserError for other values.
    """

    strength: float = 1.0
    preserve_color: bool = False
    max_size: int | None = None
    scale: float = 1.0
    mask: np.ndarray | None = None
    protection: Callable[[np.ndarray, str], np.ndarray] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise UserError(f"strength: {self.strength} is not between 0 and 1")
        if self.max_size is not None and self.max_size < 1:
            raise UserError(f"max_size: {self.max_size} is not at least 1")
        if not SMALLEST_SCALE <= self.scale < float("inf"):
            raise UserError(f"scale: {self.scale} is not at least {SMALLEST_SCALE}")
        mask = self.mask
        if mask is not None and (mask.ndim != 2 or mask.dtype != np.uint8 or not mask.size):
            raise UserError(f"mask: {mask.dtype} of shape {mask.shape}; uint8 (H, W) is wanted")

    @classmethod
    def from_flags(cls, flags: Namespace) -> "Stylization":
        """Returns what the flags of add_stylization_flags and add_protect_faces_flag ask for.

        Raises UserError if faces are to be protected and the extra is not installed.
        """
        protection = None
        if amount := vars(flags).get("protect_faces"):
            # Not at the top: the portraits are an extra.
            from fast_style.portraits.protection import FaceProtection

            protection = FaceProtection(amount)
        return cls(
            flags.strength, flags.preserve_color, flags.max_size, flags.scale, protection=protection
        )

    def of(self, picture: Picture, network: Callable[[np.ndarray], np.ndarray]) -> Picture:
        """Returns the stylized picture, with the alpha and ICC profile of the original.

        Pixels with alpha 0 keep their colours. network: stylizes (H, W, 3) uint8 RGB.
        Raises UserError if the mask has other proportions, and what the network raises.
        """
        if self.mask is not None:
            check_proportions(self.mask, *picture.rgb.shape[:2])
        if self.max_size is not None:
            picture = fit_within(picture, self.max_size)
        content = picture.rgb
        if self.scale == 1:
            stylized = network(content)
        else:
            seen = resize(content, *self._scaled(*content.shape[:2]))
            stylized = network(seen)
            if self.scale > 1:
                stylized = enlarged(stylized, seen, content)
            else:
                stylized = resize(stylized, *content.shape[:2])
        if self.preserve_color:
            stylized = with_chroma_of(content, stylized)
        mask = None if self.mask is None else scaled_to(self.mask, *content.shape[:2])
        if self.protection is not None:
            kept = self.protection(content, picture.name)
            mask = product(mask, scaled_to(kept, *content.shape[:2]))
        mask = without_transparent(mask, picture)
        if self.strength < 1 or mask is not None:
            stylized = blend(content, stylized, self.strength, mask)
        return Picture(rgb=stylized, alpha=picture.alpha, icc_profile=picture.icc_profile)

    def size_in_network(self, height: int, width: int) -> tuple[int, int]:
        """Returns the height and width of what the network sees of a picture of this size."""
        shrunk = min(1.0, (self.max_size or max(height, width)) / max(height, width))
        return self._scaled(round(height * shrunk), round(width * shrunk))

    def _scaled(self, height: int, width: int) -> tuple[int, int]:
        return max(1, round(height / self.scale)), max(1, round(width / self.scale))
