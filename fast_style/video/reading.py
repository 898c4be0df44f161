"""Reads clips and cameras frame by frame, with the packets of sound between the frames."""

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from absl import logging

from fast_style.errors import UserError, reason
from fast_style.video.decoding import Decoder
from fast_style.video.frame_format import FrameFormat, frame_format_of
from fast_style.video.opening import beginning, device_of, open_at, video_stream

MOST_PACKETS = 1000  # of other streams in one part
CUT_SHORT = 1  # second


@dataclass(frozen=True, eq=False)
class Part:
    """A frame of a clip, and the packets of other streams that come before it in the file."""

    packets: list[av.Packet]
    content: np.ndarray | None = None  # (H, W, 3) uint8 RGB, upright; None: only packets
    time: int = 0  # in ticks of the clip's time_base, as is the duration
    duration: int = 0  # 0: unknown
    stylized: np.ndarray | None = None  # as content


class Clip(contextlib.AbstractContextManager["Clip"]):
    """An iterable of the Parts of a clip or a camera, for one pass.

    A broken frame is replaced by the frame before it (at the beginning, by the first whole one) and
    counted in `broken`. Times are measured from the beginning of the file, or from `start`.
    """

    frame_format: FrameFormat  # of the first frame

    def __init__(
        self,
        name: str,
        start: Fraction = Fraction(0),
        end: Fraction | None = None,
        max_size: int | None = None,
        live: bool = False,
    ):
        """name: a file, a device such as /dev/video0, or 'webcam'. start, end: in seconds.

        max_size: shrink the long side to this many pixels, and both sides to even numbers.
        live: whether a file is like a camera (video.live); a camera always is.
        Raises UserError if there is no clip, or it has no frame from start to end.
        """
        self.name, self.start, self.end, self.max_size = name, start, end, max_size
        self.is_camera = device_of(name) is not None
        self.is_live = live or self.is_camera
        self.broken = 0
        self.container = open_at(name, start)
        try:
            self.video = video_stream(name, self.container)
            streams = self.container.streams
            self.sound, self.subtitles = list(streams.audio), list(streams.subtitles)
            taken = [self.video, *self.sound, *self.subtitles]
            self.left_out = [stream for stream in streams if stream not in taken]
            self._zero = beginning(self.container) + start
            self._whole: np.ndarray | None = None  # the last frame that is not broken
            self._early: list[int] = []  # the times of broken frames before the first whole one
            self._last: int | None = None  # the time of the last frame
            self._reached = 0  # the end of the last frame
            self._parts = self._read()
            self._first: list[Part] = []
            for part in self._parts:  # until the first frame, from which the format is known
                self._first.append(part)
                if part.content is not None:
                    break
            else:
                raise UserError(self._no_frame())
        except BaseException:
            self.container.close()
            raise

    def __exit__(self, *_error: object) -> None:
        self.container.close()

    def __iter__(self) -> Iterator[Part]:
        return itertools.chain(self._first, self._parts)

    @property
    def first(self) -> Part:
        """The first frame."""
        return self._first[-1]

    @property
    def time_base(self) -> Fraction:
        """The length of a tick in seconds."""
        assert self.video.time_base is not None  # every stream that is read has one
        return self.video.time_base

    @property
    def rate(self) -> Fraction:
        """The average number of frames per second."""
        return self.video.average_rate or self.video.guessed_rate or Fraction(25)

    @property
    def seconds(self) -> Fraction | None:
        """The length that the file states; None if it states none."""
        if self.video.duration is not None:
            return self.video.duration * self.time_base
        whole = self.container.duration
        return None if whole is None else Fraction(whole, av.time_base)

    @property
    def expected_frames(self) -> int | None:
        """About how many frames there are from start to end; None if unknown."""
        if self.video.frames and not self.start and self.end is None:
            return self.video.frames
        ends = [end for end in (self.seconds, self.end) if end is not None]
        return max(1, round((min(ends) - self.start) * self.rate)) if ends else None

    def _no_frame(self) -> str:
        if not self.start and self.end is None:
            return f"{self.name}: has no frame that can be decoded"
        length = "" if self.seconds is None else f", which is {float(self.seconds):.2f} s long"
        return f"--start, --end: there is no frame between them in {self.name}{length}"

    def _read(self) -> Iterator[Part]:
        waiting: list[av.Packet] = []
        decoder = Decoder(self.video)
        for packet in self._packets():
            if packet is None or packet.stream is self.video:
                for ticks, frame in decoder.frames(packet):
                    for content, time, duration in self._shown(ticks, frame):
                        yield Part(waiting, content, time, duration)
                        waiting = []
            elif self._is_wanted(packet):
                waiting.append(self._from_zero(packet))
                if len(waiting) == MOST_PACKETS:
                    yield Part(waiting)
                    waiting = []
        yield Part(waiting)
        self._warn_if_cut_short()

    def _packets(self) -> Iterator[av.Packet | None]:
        """Yields the packets up to `end`, and then None."""
        timed = {stream.index for stream in (self.video, *self.sound)}
        try:
            for packet in self.container.demux([self.video, *self.sound, *self.subtitles]):
                if self._is_after_end(packet):
                    timed.discard(packet.stream_index)
                    if not timed:
                        break
                elif packet.size:  # PyAV adds empty ones at the end
                    yield packet
        except av.FFmpegError as error:
            why = reason(error).lower()
            logging.warning("%s: cannot be read any further: %s", self.name, why)
        yield None

    def _is_after_end(self, packet: av.Packet) -> bool:
        if self.end is None or packet.dts is None:
            return False
        return packet.dts * packet.time_base - self._zero >= self.end - self.start

    def _is_wanted(self, packet: av.Packet) -> bool:
        ticks = packet.dts if packet.pts is None else packet.pts
        return ticks is None or self._is_inside(ticks * packet.time_base - self._zero)

    def _is_inside(self, seconds: Fraction) -> bool:
        if self.start and seconds < 0:
            return False
        return self.end is None or seconds < self.end - self.start

    def _from_zero(self, packet: av.Packet) -> av.Packet:
        zero = round(self._zero / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts - zero
        packet.dts = None if packet.dts is None else packet.dts - zero
        return packet

    def _shown(
        self, ticks: int | None, frame: av.VideoFrame | None
    ) -> Iterator[tuple[np.ndarray, int, int]]:
        """Yields content, time and duration of the frames to show. frame: None if broken."""
        if ticks is not None and not self._is_inside(ticks * self.time_base - self._zero):
            return
        time = self._rising(ticks)
        if frame is not None:
            self._whole = self._upright(frame)
            for early in self._early:
                yield self._whole, early, 0
            self._early = []
            self._reached = time + frame.duration
            yield self._whole, time, frame.duration
            return
        self.broken += 1
        if self._whole is None:
            self._early.append(time)
        else:
            yield self._whole, time, 0

    def _rising(self, ticks: int | None) -> int:
        """Returns the time from zero, or one frame after the last if it is unknown or not later."""
        time = 0 if ticks is None else ticks - round(self._zero / self.time_base)
        if self._last is not None and (ticks is None or time <= self._last):
            time = self._last + max(1, round(1 / (self.rate * self.time_base)))
        self._last = time
        return time

    def _upright(self, frame: av.VideoFrame) -> np.ndarray:
        if self._whole is None:
            self.frame_format = frame_format_of(frame, self.video, self.max_size)
            _warn_of_losses(self.name, frame, self.video)
        elif (frame.width, frame.height) != self.frame_format.decoded:
            logging.log_first_n(
                logging.WARNING,
                "%s: also has frames of %d x %d pixels; they are scaled to the size of the first",
                1,
                *(self.name, frame.width, frame.height),
            )
        return self.frame_format.upright(frame)

    def _warn_if_cut_short(self) -> None:
        found = self._reached * self.time_base + self.start
        whole = (self.video.duration or 0) * self.time_base
        if self.end is None and whole - found > CUT_SHORT:
            logging.warning(
                "%s: ends after %.2f s of the %.2f s that its header states",
                *(self.name, found, whole),
            )


def _warn_of_losses(name: str, frame: av.VideoFrame, stream: av.VideoStream) -> None:
    bits = max(component.bits for component in frame.format.components)
    if bits > 8:
        logging.warning("%s: has %d bits a channel; the stylized clip has 8", name, bits)
    # The alpha of VP8 and VP9 is stored beside the frames, and FFmpeg's decoders ignore it.
    beside = "1" in (stream.metadata.get("alpha_mode"), stream.metadata.get("ALPHA_MODE"))
    if beside or _has_alpha(frame, stream):
        logging.warning("%s: has an alpha channel; the stylized clip has none", name)
    if frame.interlaced_frame:
        logging.warning("%s: is interlaced; stylized frames have both fields in one", name)


def _has_alpha(frame: av.VideoFrame, stream: av.VideoStream) -> bool:
    if stream.codec_context.name == "gif":  # FFmpeg decodes every GIF with alpha
        return bool((frame.to_ndarray(format="bgra")[..., 3] < 255).any())
    return any(component.is_alpha for component in frame.format.components)
