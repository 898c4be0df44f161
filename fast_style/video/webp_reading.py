"""Converts animated WebP, which FFmpeg does not read, to a clip that it reads."""

import tempfile
from fractions import Fraction
from typing import IO

import av
import numpy as np
from PIL import Image, ImageSequence

from fast_style.errors import UserError
from fast_style.pictures.images import MAX_PIXELS

MILLISECOND = Fraction(1, 1000)
UNKNOWN = 100  # milliseconds for which browsers show a frame without a duration


def webp_as_clip(name: str) -> IO[bytes]:
    """Returns a temporary file with the frames of an animated WebP, without loss.

    Raises UserError if it is damaged or too large.
    """
    file = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        with Image.open(name, formats=("WEBP",)) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UserError(f"{name}: {width}x{height} is more than {MAX_PIXELS:,} pixels")
            _convert(image, file)
    except (OSError, SyntaxError) as error:
        raise UserError(f"{name}: cannot be read as a clip: {error}") from None
    file.seek(0)
    return file


def _convert(image: Image.Image, file: IO[bytes]) -> None:
    mode, stored = ("RGBA", "argb") if image.mode == "RGBA" else ("RGB", "rgb24")
    with av.open(file, "w", format="mov") as container:
        stream = container.add_stream(
            "qtrle",
            rate=Fraction(1000),
            width=image.width,
            height=image.height,
            pix_fmt=stored,
            time_base=MILLISECOND,
        )
        time = 0
        for picture in ImageSequence.Iterator(image):
            pixels = np.asarray(picture.convert(mode))  # also finds the duration
            if mode == "RGBA":
                pixels = np.roll(pixels, 1, axis=2)
            frame = av.VideoFrame.from_ndarray(pixels, stored)
            duration = max(1, int(picture.info.get("duration", 0) or UNKNOWN))
            frame.pts, frame.duration, frame.time_base = time, duration, MILLISECOND
            for packet in stream.encode(frame):
                packet.duration = duration  # which FFmpeg does not set for the last frame
                container.mux(packet)
            time += duration
