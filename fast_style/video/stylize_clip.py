"""Stylizes a clip, for python -m fast_style.video."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from absl import logging
from tqdm import tqdm

from fast_style.command_line import interruption
from fast_style.files import make_folder
from fast_style.model_folder.layout import find_model_folder
from fast_style.pictures.images import Picture
from fast_style.pipeline import pipeline
from fast_style.stylize.output_names import refuse_own_inputs
from fast_style.stylize.stylization import Stylization
from fast_style.stylize.stylizer import Stylizer
from fast_style.video.live import Live
from fast_style.video.reading import Clip, Part
from fast_style.video.writing import STDOUT, AnyWriter, check_output, writing


def stylize_clip(
    model: str,
    name: str,
    output: Path,
    how: Stylization = Stylization(),
    *,
    start: Fraction = Fraction(0),
    end: Fraction | None = None,
    smooth: float = 0.0,
    runtime: str = "auto",
    precision: str = "auto",
    style: str | None = None,
    overwrite: bool = False,
    live: bool = False,
) -> None:
    """Stylizes the clip or camera `name` and writes it to the file `output`, or '-' for stdout.

    start, end, how.max_size, live: as in Clip. Of a live clip, the newest frame is stylized as soon
    as the one before is done, and those in between are dropped. smooth: 0 to 1, as in Smoother.
    runtime, precision, style: as in Stylizer. overwrite: whether `output` may be the clip itself.
    After Ctrl-C the file contains the frames so far, and KeyboardInterrupt is raised, except for a
    live clip. Raises UserError.
    """
    check_output(output)
    if not overwrite:
        refuse_own_inputs({Path(name): [output]})
    folder = find_model_folder(model)
    make_folder(output.parent)
    with Clip(name, start, end, how.max_size, live) as clip:
        with writing(output, clip) as writer:
            stylizer = Stylizer(folder, runtime, precision, style)
            of_a_frame = replace(how, max_size=None)

            def stylized(part: Part) -> Part:
                if part.content is None:
                    return part
                frame = stylizer.stylize(Picture(part.content), of_a_frame)
                return replace(part, stylized=frame.rgb)

            smoothing = [_smoothing(smooth)] if smooth else []
            if not clip.is_live:
                # While the network stylizes a frame, others are decoded, smoothed and encoded.
                with pipeline(clip, stylized, *smoothing) as parts:
                    is_whole = _write(parts, writer, clip)
            else:
                # The network's own thread takes the frames: between two threads, one would wait.
                stylized(clip.first)  # compiles the network, before the clip begins to play
                newest = Live(clip)
                with pipeline(map(stylized, newest), *smoothing) as parts, newest:
                    is_whole = _write(parts, writer, clip)
        # The clip itself may be on stdout.
        with contextlib.redirect_stdout(sys.stderr if output == STDOUT else sys.stdout):
            _report(writer, clip, is_whole)
            if clip.is_live:
                print(f"{newest.rate:.1f} frames/s, {newest.dropped} frames dropped")
    if not is_whole and not clip.is_live:
        raise KeyboardInterrupt


def _smoothing(smooth: float) -> Callable[[Part], Part]:
    # OpenCV is an optional extra.
    from fast_style.video.motion import MotionTracker, Smoother

    tracker, smoother = MotionTracker(), Smoother(smooth)

    def smoothed(part: Part) -> Part:
        if part.content is None or part.stylized is None:
            return part
        return replace(part, stylized=smoother(part.stylized, tracker(part.content)))

    return smoothed


def _write(parts: Iterator[Part], writer: AnyWriter, clip: Clip) -> bool:
    """Writes the parts. Returns False after Ctrl-C, or if nothing reads from stdout any more."""
    expected = None if clip.is_live else clip.expected_frames
    with (
        interruption() as interrupted,
        tqdm(total=expected, unit=" frames", dynamic_ncols=True) as progress,
    ):
        for part in parts:
            writer.write(part)
            progress.update(part.stylized is not None)
            if interrupted or writer.is_closed:
                return False
    return True


def _report(writer: AnyWriter, clip: Clip, is_whole: bool) -> None:
    frame_format = clip.frame_format
    print(f"{writer.output}  {frame_format.width}x{frame_format.height}  {writer.frames} frames")
    if clip.broken:
        logging.warning(
            "%s: %d broken frames; each is replaced by the frame before it", clip.name, clip.broken
        )
    if not is_whole and not clip.is_live:
        print(f"stopped: {writer.output} has the first {writer.seconds:.2f} s")
