"""The flicker of a stylized clip: how much it changes where its content only moves."""

import datetime
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fast_style.network.style_mix import name_in_style
from fast_style.stylize.stylizer import Stylizer
from fast_style.video.motion import Motion, MotionTracker, Smoother
from fast_style.video.reading import Clip


class WarpingError:
    """The flow warping error of Lai et al. (2018, "Learning Blind Video Temporal Consistency").

    For two frames it is the mean squared difference between the second and the first warped along
    the content's optical flow, over the pixels that are visible in both (Ruder et al. 2016, section
    4.2). For a clip it is the mean over the pairs of frames that have such pixels. Here it is the
    root of this mean, in grey levels; the paper's figure is the square of this / 255.
    """

    def __init__(self) -> None:
        self._before: np.ndarray | None = None
        self._squares: list[float] = []

    def add(self, frame: np.ndarray, motion: Motion | None) -> None:
        """Adds the next frame, (H, W, 3) uint8. motion: of its content, None for the first."""
        if self._before is not None and motion is not None and motion.seen.any():
            change = motion.warped(self._before.astype(np.float32)) - frame
            self._squares.append(float(np.mean(np.square(change[motion.seen]))))
        self._before = frame

    @property
    def grey_levels(self) -> float:
        """The error of the frames so far; 0 without a pair of frames."""
        return float(np.sqrt(np.mean(self._squares))) if self._squares else 0.0


def measure_flicker(
    folder: Path, name: str, style: str | None = None, smooth: Sequence[float] = ()
) -> dict:
    """Measures the flicker of a model folder's network on the clip `name`; a dict for JSON.

    style: as in Stylizer. smooth: strengths of a Smoother to measure as well.
    Raises UserError as Clip, Stylizer and MotionTracker do.
    """
    with (
        Clip(name) as clip,
        tqdm(total=clip.expected_frames, unit=" frames", dynamic_ncols=True) as progress,
    ):
        stylizer, tracker = Stylizer(folder, style=style), MotionTracker()
        smoothers = {f"smooth {strength:g}": Smoother(strength) for strength in smooth}
        errors = {row: WarpingError() for row in ("content", "plain", *smoothers)}
        frames = 0
        for part in clip:
            if part.content is None:
                continue
            frames += 1
            progress.update()
            motion, stylized = tracker(part.content), stylizer(part.content)
            errors["content"].add(part.content, motion)
            errors["plain"].add(stylized, motion)
            for row, smoother in smoothers.items():
                errors[row].add(smoother(stylized, motion), motion)
    return {
        "model": name_in_style(folder.name, style),
        "clip": Path(name).name,
        "frames": frames,
        "size": [clip.frame_format.width, clip.frame_format.height],
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "runtime": stylizer.runtime,
        "warping_error": {row: error.grey_levels for row, error in errors.items()},
    }


def table(measured: dict) -> str:
    """Returns the figures of measure_flicker as lines of text."""
    model, (width, height) = measured["model"], measured["size"]
    names = {"content": "the clip itself", "plain": model}
    rows = [
        f"{error:14.2f}  {names.get(row, f'{model}, {row}')}"
        for row, error in measured["warping_error"].items()
    ]
    head = f"{measured['clip']}: {measured['frames']} frames, {width} x {height}"
    return "\n".join([head, "warping error, in grey levels", *rows])
