"""What moves where from one frame of a clip to the next, and results that follow it."""

from dataclasses import dataclass

import cv2
import numpy as np

from fast_style.errors import UserError
from fast_style.pictures.pixels import to_uint8

SMALLEST = 12  # pixels; the patches of the optical flow are 8
UNLIKENESS = 50  # by which Lai et al. multiply the square of a difference of 0 to 1


@dataclass(frozen=True, eq=False)
class Motion:
    """From a frame back to the one before it.

    origins: (H, W, 2) float32: x and y, in the frame before, of what a pixel shows.
    seen: (H, W) bool: whether it was seen there; elsewhere the origin means nothing.
    likeness: (H, W) float32, 0 to 1: whether it looked the same there.
    """

    origins: np.ndarray
    seen: np.ndarray
    likeness: np.ndarray

    def warped(self, before: np.ndarray) -> np.ndarray:
        """An (H, W, 3) float32 image of the frame before, as it has moved since."""
        return _sampled(before, self.origins, cv2.INTER_CUBIC)


class MotionTracker:
    """The motion between the frames of a clip, which come one after the other."""

    def __init__(self) -> None:
        self._before: np.ndarray | None = None

    def __call__(self, content: np.ndarray) -> Motion | None:
        """content: (H, W, 3) uint8, all of one size. None for the first one.

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
    """Stylized frames that flicker less, each blended with the one before that has moved along.

    The blend is the initialization of Ruder, Dosovitskiy and Brox (2016, "Artistic style transfer
    for videos", section 4.1) without the optimization that it is the beginning of there.
    """

    def __init__(self, smooth: float):
        """smooth: the share of the result before, 0 to 1, where it shows the same thing."""
        self.smooth = smooth
        self._before: np.ndarray | None = None

    def __call__(self, stylized: np.ndarray, motion: Motion | None) -> np.ndarray:
        """(H, W, 3) uint8 to the same; motion: None for the first frame."""
        result = stylized.astype(np.float32)
        if self._before is not None and motion is not None:
            weight = self.smooth * motion.seen * motion.likeness
            result += weight[..., None] * (motion.warped(self._before) - result)
        self._before = result
        return to_uint8(result)


def motion_between(before: np.ndarray, frame: np.ndarray) -> Motion:
    """The motion between (H, W, 3) uint8 frames, by dense inverse search (Kroeger et al. 2016).

    Not seen in both is, after Ruder et al. (2016, section 4.2), what is where forward and backward
    flow do not lead back to the same place, what is on a boundary of the motion, and here also
    what comes from outside of the frame. The likeness is the one by which Lai et al. (2018,
    "Learning Blind Video Temporal Consistency") weigh their temporal loss; over a cut some flow is
    consistent by chance.
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
