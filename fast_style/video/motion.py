"""The motion between the frames of a clip, and results that are moved along."""

from dataclasses import dataclass

import cv2
import numpy as np

from fast_style.errors import UserError
from fast_style.pictures.pixels import to_uint8

SMALLEST = 12  # pixels a side; the optical flow compares patches of 8
UNLIKENESS = 50  # the factor of Lai et al. for the squared difference of colours of 0 to 1


@dataclass(frozen=True, eq=False)
class Motion:
    """Where the pixels of a frame were in the frame before it."""

    origins: np.ndarray  # (H, W, 2) float32: x and y in the frame before
    seen: np.ndarray  # (H, W) bool: whether it was visible there; if not, the origin is undefined
    likeness: np.ndarray  # (H, W) float32, 0 to 1: how much it looked the same there

    def warped(self, before: np.ndarray) -> np.ndarray:
        """Returns an (H, W, 3) float32 image of the frame before, moved to this frame."""
        return _sampled(before, self.origins, cv2.INTER_CUBIC)


class MotionTracker:
    """Finds the motion between each frame of a clip and the one before it."""

    def __init__(self) -> None:
        self._before: np.ndarray | None = None

    def __call__(self, content: np.ndarray) -> Motion | None:
        """content: the next frame, (H, W, 3) uint8. Returns None for the first one.

        Raises UserError for frames of less than 12 pixels a side.
        """
        if min(content.shape[:2]) < SMALLEST:
            height, width = content.shape[:2]
            raise UserError(
                f"optical flow needs at least {SMALLEST} pixels a side; this clip has "
                f"{width} x {height}"
            )
        motion = None if self._before is None else motion_between(self._before, content)
        self._before = content
        return motion


class Smoother:
    """Reduces flicker: blends each stylized frame with the result before it, moved along.

    The blend is the initialization of Ruder, Dosovitskiy and Brox (2016, "Artistic style transfer
    for videos", section 4.1), without the optimization that follows there.
    """

    def __init__(self, smooth: float):
        """smooth: 0 to 1, the weight of the result before it where both show the same."""
        self.smooth = smooth
        self._before: np.ndarray | None = None

    def __call__(self, stylized: np.ndarray, motion: Motion | None) -> np.ndarray:
        """Returns the smoothed frame, (H, W, 3) uint8. motion: None for the first frame."""
        result = stylized.astype(np.float32)
        if self._before is not None and motion is not None:
            weight = self.smooth * motion.seen * motion.likeness
            result += weight[..., None] * (motion.warped(self._before) - result)
        self._before = result
        return to_uint8(result)


def motion_between(before: np.ndarray, frame: np.ndarray) -> Motion:
    """Returns the motion between (H, W, 3) uint8 frames, by dense inverse search (Kroeger 2016).

    As in Ruder et al. (2016, section 4.2), a pixel was not visible before if forward and backward
    flow do not lead back to it, or if it is on a boundary of the motion; here also if it comes from
    outside of the frame. The likeness is the weight of the temporal loss of Lai et al. (2018,
    "Learning Blind Video Temporal Consistency"), because after a cut some flow is consistent by
    chance.
    """
    grey_before, grey = (cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) for rgb in (before, frame))
    height, width = grey.shape
    at_rest = np.zeros((height, width, 2), np.float32)  # where the search begins
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    backward = search.calc(grey, grey_before, at_rest.copy())
    forward = search.calc(grey_before, grey, at_rest.copy())
    places = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)
    origins = (places + backward).astype(np.float32)
    there = _sampled(forward, origins, cv2.INTER_LINEAR)
    disoccluded = _length2(there + backward) > 0.01 * (_length2(there) + _length2(backward)) + 0.5
    slopes = sum(_length2(slope) for slope in np.gradient(backward, axis=(0, 1)))
    boundary = slopes > 0.01 * _length2(backward) + 0.002
    inside = ((origins >= 0) & (origins <= (width - 1, height - 1))).all(axis=-1)
    change = (_sampled(before.astype(np.float32), origins, cv2.INTER_LINEAR) - frame) / 255
    likeness = np.exp(-UNLIKENESS * _length2(change))
    return Motion(origins, inside & ~disoccluded & ~boundary, likeness)


def _sampled(image: np.ndarray, places: np.ndarray, interpolation: int) -> np.ndarray:
    across, down = cv2.split(places)
    return cv2.remap(image, across, down, interpolation, borderMode=cv2.BORDER_REPLICATE)


def _length2(vectors: np.ndarray) -> np.ndarray:
    return np.square(vectors).sum(axis=-1)
