"""Keeps the faces of a stylized portrait: they get less of the style."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from absl import logging

from fast_style.errors import UserError, printable
from fast_style.portraits.faces import LONG_SIDE, Box, check_faces_installed, find_faces

# Of the ellipse that is kept: half its width and height, and how far it is moved up, in sides of
# the box, which reaches from the brows to the chin. Beyond it, the style sets in gradually.
RADII, UP = (0.46, 0.65), 0.1
FEATHER = 1.5  # radii


@dataclass(frozen=True)
class FaceProtection:
    """Makes the masks that keep the faces of pictures: Stylization.protection.

    amount: how much less strength faces get, from 0, as much as before, to 1, none.
    Raises UserError for another amount, or if the extra is not installed.
    """

    amount: float

    def __post_init__(self) -> None:
        if not 0 <= self.amount <= 1:
            raise UserError(f"protect_faces: {self.amount} is not between 0 and 1")
        check_faces_installed()

    def __call__(self, rgb: np.ndarray, name: str = "") -> np.ndarray:
        """Returns the mask of a picture, (H, W, 3) uint8: (h, w) uint8, h and w at most 1280.

        name: of the picture, for the warning that there is no face; "": its size.
        """
        height, width = rgb.shape[:2]
        faces = find_faces(rgb)
        if not faces:
            name = printable(name) or f"{width}x{height}"
            logging.warning("%s: no face to protect is found; everything is stylized", name)
        scale = min(1.0, LONG_SIDE / max(height, width))
        size = (max(1, round(side * scale)) for side in (height, width))
        return protecting_mask([face.box for face in faces], self.amount, *size)


def protecting_mask(boxes: Iterable[Box], amount: float, height: int, width: int) -> np.ndarray:
    """Returns a mask, (H, W) uint8: 255 * (1 - amount) on faces, 255 elsewhere, smooth between."""
    down = (np.arange(height, dtype=np.float32)[:, None] + 0.5) / height
    across = (np.arange(width, dtype=np.float32) + 0.5) / width
    kept = np.zeros((height, width), np.float32)
    for left, top, right, bottom in boxes:
        middle = (top + bottom) / 2 - UP * (bottom - top)
        x = (across - (left + right) / 2) / (RADII[0] * (right - left))
        y = (down - middle) / (RADII[1] * (bottom - top))
        out = np.clip((np.hypot(x, y) - 1) / (FEATHER - 1), 0, 1)
        kept = np.maximum(kept, 1 - out * out * (3 - 2 * out))
    return np.rint(255 * (1 - amount * kept)).astype(np.uint8)
