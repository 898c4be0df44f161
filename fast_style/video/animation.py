"""Writes animated GIF and WebP frame by frame. FFmpeg loses how long the last frame is shown."""

import math
import struct
from fractions import Fraction
from pathlib import Path
from typing import IO

import numpy as np
from absl import logging
from PIL import GifImagePlugin, Image

from fast_style.errors import UserError
from fast_style.pictures.images import Picture, encode_picture
from fast_style.video.reading import Clip, Part

QUALITY = 90  # of the frames of a WebP
FOREVER = 0


class Gif:
    """GIF89a. Each frame has its own palette."""

    title = "GIF"
    unit = Fraction(1, 100)  # of times, in seconds
    shortest, longest = 2, 0xFFFF  # a frame, in units; browsers show shorter ones for 0.1 s
    largest = 0xFFFF  # side in pixels

    def head(self, width: int, height: int, loop: int | None) -> bytes:
        screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0)
        if loop is None:
            return screen
        return screen + b"\x21\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<HB", loop, 0)

    def frame(self, rgb: np.ndarray, units: int) -> bytes:
        image = Image.fromarray(rgb).convert("P", palette=Image.Palette.ADAPTIVE)
        milliseconds = 10 * units
        return b"".join(
            GifImagePlugin.getdata(image, duration=milliseconds, include_color_table=True)
        )

    def finish(self, file: IO[bytes]) -> None:
        file.write(b";")


class WebP:
    """The WebP container (RFC 9649, section 2.7). The attributes are as in Gif."""

    title = "WebP"
    unit = Fraction(1, 1000)
    shortest, longest = 11, 0xFFFFFF
    largest = 16383

    def head(self, width: int, height: int, loop: int | None) -> bytes:
        is_animation = struct.pack("<I", 0x02)
        canvas = is_animation + _of_3_bytes(width - 1) + _of_3_bytes(height - 1)
        plays = struct.pack("<IH", 0xFFFFFFFF, 1 if loop is None else loop)
        return b"RIFF\0\0\0\0WEBP" + _chunk(b"VP8X", canvas) + _chunk(b"ANIM", plays)

    def frame(self, rgb: np.ndarray, units: int) -> bytes:
        height, width = rgb.shape[:2]
        head = b"".join(map(_of_3_bytes, (0, 0, width - 1, height - 1, units)))
        without_blending = b"\x02"
        encoded = encode_picture(Picture(rgb), ".webp", QUALITY)
        return _chunk(b"ANMF", head + without_blending + encoded[12:])

    def finish(self, file: IO[bytes]) -> None:
        size = file.tell()
        file.seek(4)
        file.write(struct.pack("<I", size - 8))


FORMATS: dict[str, Gif | WebP] = {".gif": Gif(), ".webp": WebP()}


class AnimationWriter:
    """Writes a stylized clip as an animation, at a rate that browsers can show, without sound."""

    is_closed = False  # as in Writer

    def __init__(self, output: Path, clip: Clip, file: IO[bytes]):
        """Raises UserError for a size that the format cannot store."""
        self.output, self.clip, self.file = output, clip, file
        self.format = FORMATS[output.suffix.lower()]
        self.frames = self.left_out = 0
        self.seconds = 0.0  # the time of the last frame
        # A frame is written when the next one shows how long it lasts: pixels, begin and end.
        self._waiting: tuple[np.ndarray, int, int] | None = None
        if max(clip.frame_format.width, clip.frame_format.height) > self.format.largest:
            raise UserError(
                f"--output {output}: {self.format.title} has at most {self.format.largest:,} "
                "pixels a side; --max-size shrinks the clip"
            )
        if clip.sound or clip.subtitles:
            logging.warning(
                "%s: %s has neither sound nor subtitles; those of %s are left out",
                *(output, self.format.title, clip.name),
            )

    def write(self, part: Part) -> None:
        if part.stylized is None:
            return
        time = part.time * self.clip.time_base
        begin = round(time / self.format.unit)
        end = time + (part.duration * self.clip.time_base or 1 / self.clip.rate)
        if self._waiting is None:
            height, width = part.stylized.shape[:2]
            self.file.write(self.format.head(width, height, loop_of(self.clip.name)))
        elif begin - self._waiting[1] < self.format.shortest:
            self.left_out += 1
            return
        else:
            self._write_waiting(begin)
        self._waiting = part.stylized, begin, math.ceil(end / self.format.unit)
        self.seconds, self.frames = float(time), self.frames + 1

    def finish(self) -> None:
        if self._waiting is not None:
            self._write_waiting(self._waiting[2])
        self.format.finish(self.file)
        if self.left_out:
            logging.warning(
                "%s: %d frames are left out, as browsers show no %s faster than %d a second",
                *(self.output, self.left_out, self.format.title),
                int(1 / (self.format.unit * self.format.shortest)),
            )

    def _write_waiting(self, end: int) -> None:
        assert self._waiting is not None
        rgb, begin, _ = self._waiting
        units = min(max(end - begin, self.format.shortest), self.format.longest)
        self.file.write(self.format.frame(rgb, units))


def loop_of(name: str) -> int | None:
    """Returns how often an animation is played; None means once.

    FOREVER for files that are not animations.
    """
    try:
        with Image.open(name, formats=("GIF", "WEBP")) as image:
            return image.info.get("loop")
    except (OSError, ValueError):
        return FOREVER


def _of_3_bytes(number: int) -> bytes:
    return struct.pack("<I", number)[:3]


def _chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
