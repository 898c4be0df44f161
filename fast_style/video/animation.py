"""Animated GIF and WebP, written frame by frame: FFmpeg forgets how long the last one is shown."""

import io
import math
import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO

from absl import logging
from PIL import Image

from fast_style.pictures.images import Picture, encode_picture
from fast_style.video.reading import Clip, Part

QUALITY = 90  # of WebP's frames
FOREVER = 0


class Gif:
    """GIF89a, each frame with a palette of its own.

    unit: of times, in seconds. shortest: units of a frame, as browsers show 0.1 s for fewer.
    """

    title, ending = "GIF", ".gif"
    unit, shortest, most_units = Fraction(1, 100), 2, 0xFFFF

    def head(self, width: int, height: int, loop: int | None) -> bytes:
        screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0)
        if loop is None:
            return screen
        return screen + b"\x21\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<HB", loop, 0)

    def frame(self, encoded: bytes, units: int) -> bytes:
        """From the bytes of a file of one picture."""
        colours = 1 + (encoded[10] & 7)  # as a power of 2, of the palette behind the screen
        palette = encoded[13 : 13 + (3 << colours)]
        image = 13 + len(palette)
        while encoded[image] == 0x21:  # extensions
            image += 2
            while encoded[image]:
                image += 1 + encoded[image]
            image += 1
        control = struct.pack("<BBBBHBB", 0x21, 0xF9, 4, 0, units, 0, 0)
        flags = 0x80 | encoded[image + 9] & 0x40 | (colours - 1)
        descriptor = encoded[image : image + 9] + bytes([flags])
        return control + descriptor + palette + encoded[image + 10 : -1]

    def finish(self, file: IO[bytes]) -> None:
        file.write(b";")


class WebP:
    """The WebP container (RFC 9649, section 2.7). unit, shortest: as in Gif."""

    title, ending = "WebP", ".webp"
    unit, shortest, most_units = Fraction(1, 1000), 11, 0xFFFFFF

    def head(self, width: int, height: int, loop: int | None) -> bytes:
        is_animation = struct.pack("<I", 0x02)
        canvas = is_animation + _of_3_bytes(width - 1) + _of_3_bytes(height - 1)
        plays = struct.pack("<IH", 0xFFFFFFFF, 1 if loop is None else loop)
        return b"RIFF\0\0\0\0WEBP" + _chunk(b"VP8X", canvas) + _chunk(b"ANIM", plays)

    def frame(self, encoded: bytes, units: int) -> bytes:
        with Image.open(io.BytesIO(encoded)) as image:
            width, height = image.size
        head = b"".join(map(_of_3_bytes, (0, 0, width - 1, height - 1, units)))
        without_blending = b"\x02"
        return _chunk(b"ANMF", head + without_blending + encoded[12:])

    def finish(self, file: IO[bytes]) -> None:
        size = file.tell()
        file.seek(4)
        file.write(struct.pack("<I", size - 8))


FORMATS: dict[str, Gif | WebP] = {".gif": Gif(), ".webp": WebP()}


@dataclass(frozen=True)
class Waiting:
    """A frame that is written when the next one tells how long it is shown."""

    encoded: bytes
    begin: int  # in the format's units
    end: Fraction  # in seconds, as far as the clip says it


class AnimationWriter:
    """A stylized clip in the making, as an animation that browsers show. It has no sound."""

    def __init__(self, output: Path, clip: Clip, file: IO[bytes]):
        self.output, self.clip, self.file = output, clip, file
        self.format = FORMATS[output.suffix.lower()]
        self.frames = self.passed_over = 0
        self.seconds = 0.0  # the time of the last frame
        self._waiting: Waiting | None = None
        if clip.sound or clip.subtitles:
            logging.warning(
                "%s: %s has neither sound nor subtitles; those of %s are left out",
                *(output, self.format.title, clip.name),
            )

    def write(self, part: Part) -> None:
        """Raises UserError for a size that the format cannot hold."""
        if part.stylized is None:
            return
        time = part.time * self.clip.time_base
        begin = round(time / self.format.unit)
        end = time + (part.duration * self.clip.time_base or 1 / self.clip.rate)
        if self._waiting is not None and begin - self._waiting.begin < self.format.shortest:
            self.passed_over += 1
            return
        encoded = encode_picture(Picture(part.stylized), self.format.ending, QUALITY)
        if self._waiting is None:
            height, width = part.stylized.shape[:2]
            self.file.write(self.format.head(width, height, loop_of(self.clip.name)))
        else:
            self._put(self._waiting, begin)
        self._waiting = Waiting(encoded, begin, end)
        self.seconds, self.frames = float(time), self.frames + 1

    def finish(self) -> None:
        if self._waiting is not None:
            self._put(self._waiting, math.ceil(self._waiting.end / self.format.unit))
        self.format.finish(self.file)
        if self.passed_over:
            logging.warning(
                "%s: %d frames are left out, as browsers show no %s faster than %d a second",
                *(self.output, self.passed_over, self.format.title),
                int(1 / (self.format.unit * self.format.shortest)),
            )

    def _put(self, frame: Waiting, end: int) -> None:
        units = min(max(end - frame.begin, self.format.shortest), self.format.most_units)
        self.file.write(self.format.frame(frame.encoded, units))


def loop_of(name: str) -> int | None:
    """How often an animation is played: FOREVER, so many times, or None for once.

    FOREVER for what is no animation.
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
