"""What moves where from one frame of a clip to the next, and results that follow it."""

from dataclasses import dataclass

import cv2
import numpy as np

from fast_style.errors import UserError

SMALLEST = 12  # pixels; the patches of the optical flow are 8


@dataclass(frozen=True, eq=False)
class Motion:
    """From a frame back to the one before it.

    origins: (H, W, 2) float32: x and y, in the frame before, of what a pixel shows.
    seen: (H, W) bool: whether it was seen there; elsewhere the origin means nothing.
    """

    origins: np.ndarray
    seen: np.ndarray

    def warped(self, before: np.ndarray) -> np.ndarray:
        """An (H, W, 3) uint8 or float32 image of the frame before, as it has moved since."""
        across, down = cv2.split(self.origins)
        return cv2.remap(before, across, down, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


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
        frame = cv2.cvtColor(content, cv2.COLOR_RGB2GRAY)
        motion = None if self._before is None else motion_between(self._before, frame)
        self._before = frame
        return motion


class Smoother:
    """Stylized frames that flicker less, each blended with the one before that has moved along.

    The blend is the initialization of Ruder, Dosovitskiy and Brox (2016, "Artistic style transfer
    for videos", section 4.1) without the optimization that it is there the beginning of.
    """

    def __init__(self, smooth: float):
        """smooth: the share of the result before, 0 to 1, where it shows the same thing."""
        self.smooth = smooth
        self._before: np.ndarray | None = None

    def __call__(self, stylized: np.ndarray, motion: Motion | None) -> np.ndarray:
        """(H, W, 3) uint8 to the same; motion: None for the first frame."""
        result = stylized.astype(np.float32)
        if self._before is not None and motion is not None:
            weight = self.smooth * motion.seen[..., None]
            result += weight * (motion.warped(self._before) - result)
        self._before = result
        return np.clip(np.rint(result), 0, 255).astype(np.uint8)


def motion_between(before: np.ndarray, frame: np.ndarray) -> Motion:
    """The motion between two (H, W) uint8 frames, by dense inverse search (Kroeger et al. 2016).

    Not seen in both is, after Ruder et al. (2016, section 4.2), what is where forward and backward
    flow do not lead back to the same place, what is on a boundary of the motion, and what comes
    from outside of the frame.
    """
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    height, width = frame.shape
    at_rest = np.zeros((height, width, 2), np.float32)  # where the search begins
    backward = search.calc(frame, before, at_rest.copy())
    forward = search.calc(before, frame, at_rest.copy())
    places = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)
    origins = (places + backward).astype(np.float32)
    across, down = cv2.split(origins)
    there = cv2.remap(forward, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    disoccluded = _length2(there + backward) > 0.01 * (_length2(there) + _length2(backward)) + 0.5
    slopes = sum(_length2(slope) for slope in np.gradient(backward, axis=(0, 1)))
    boundary = slopes > 0.01 * _length2(backward) + 0.002
    inside = ((origins >= 0) & (origins <= (width - 1, height - 1))).all(axis=-1)
    return Motion(origins, inside & ~disoccluded & ~boundary)


def _length2(vectors: np.ndarray) -> np.ndarray:
    return np.square(vectors).sum(axis=-1)
