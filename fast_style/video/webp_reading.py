"""Animated WebP, which FFmpeg does not read, as a clip that it reads."""

import tempfile
from collections.abc import Iterator
from fractions import Fraction
from typing import IO

import av
import numpy as np
from PIL import Image, ImageSequence

from fast_style.errors import UserError
from fast_style.pictures.images import MAX_PIXELS

MILLISECOND = Fraction(1, 1000)
UNKNOWN = 100  # milliseconds of a frame that says none, as browsers show it


def webp_as_clip(name: str) -> IO[bytes]:
    """An animated WebP as a file that FFmpeg reads, without loss, at its beginning.

    Raises UserError where it is damaged or too large.
    """
    file = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        with Image.open(name, formats=("WEBP",)) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UserError(f"{name}: {width}x{height} is more than {MAX_PIXELS:,} pixels")
            _transcribe(image, file)
    except (OSError, SyntaxError) as error:
        raise UserError(f"{name}: cannot be read as a clip: {error}") from None
    file.seek(0)
    return file


def _transcribe(image: Image.Image, file: IO[bytes]) -> None:
    """The frames of an animation into QuickTime's own codec, which has alpha."""
    has_alpha = image.mode == "RGBA"
    with av.open(file, "w", format="mov") as container:
        stream = container.add_stream(
            "qtrle",
            rate=Fraction(1000),
            width=image.width,
            height=image.height,
            pix_fmt="argb" if has_alpha else "rgb24",
            time_base=MILLISECOND,
        )
        for pixels, time, duration in _frames(image, "RGBA" if has_alpha else "RGB"):
            frame = av.VideoFrame.from_ndarray(pixels, "rgba" if has_alpha else "rgb24")
            frame = frame.reformat(format="argb" if has_alpha else "rgb24")
            frame.pts, frame.duration, frame.time_base = time, duration, MILLISECOND
            for packet in stream.encode(frame):  # it is that frame's, as nothing is reordered
                packet.duration = duration
                container.mux(packet)


def _frames(image: Image.Image, mode: str) -> Iterator[tuple[np.ndarray, int, int]]:
    """Pixels, time and duration in milliseconds."""
    time = 0
    for frame in ImageSequence.Iterator(image):
        frame.load()  # which finds the duration
        duration = max(1, int(frame.info.get("duration", 0) or UNKNOWN))
        yield np.asarray(frame.convert(mode)), time, duration
        time += duration
