"""Writes clips: stylized frames, and copies of sound and subtitles."""

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av
from absl import logging
from av.codec.codec import UnknownCodecError
from av.container import OutputContainer
from av.stream import Stream
from av.video.reformatter import ColorRange

from fast_style.errors import UserError, nearest, reason
from fast_style.files import replacement
from fast_style.video import animation
from fast_style.video.reading import Clip, Part

H264, VP9 = "libx264", "libvpx-vp9"
ENCODER_OPTIONS = {  # qualities that keep the edges of strokes
    H264: {"crf": "18"},
    VP9: {"crf": "24", "row-mt": "1", "cpu-used": "4"},
}
LIVE_OPTIONS = {
    H264: {"preset": "veryfast", "tune": "zerolatency"},
    VP9: {"deadline": "realtime", "cpu-used": "8"},
}
FAST_START = {"movflags": "+faststart"}  # browsers can play before they have the whole file


class Format(NamedTuple):
    title: str
    muxer: str  # FFmpeg's name, as is the encoder
    encoder: str
    options: dict[str, str]


MP4 = Format("MP4", "mp4", H264, FAST_START)
FORMATS = {
    ".mp4": MP4,
    ".m4v": MP4,
    ".mov": Format("QuickTime", "mov", H264, FAST_START),
    ".mkv": Format("Matroska", "matroska", H264, {}),
    ".webm": Format("WebM", "webm", VP9, {}),
}
STDOUT = Path("-")
AT_ONCE = {"cluster_time_limit": "0", "flush_packets": "1"}  # every frame when it is there
STREAM = Format("Matroska", "matroska", H264, AT_ONCE)
ENDINGS = (*FORMATS, *animation.FORMATS)


class Writer:
    """Writes a stylized clip to a container."""

    def __init__(self, output: Path, clip: Clip, container: OutputContainer):
        self.output, self.clip, self.container = output, clip, container
        self.seconds = 0.0  # the time of the last frame
        self.frames = 0
        self.is_closed = False  # whether the program that reads from stdout has ended
        self.pixel_format = "yuv420p"
        self.copies: dict[Stream, Stream] = {}
        self.video = self._add_video(_format_of(output).encoder)
        self._add_sound_and_subtitles()
        for key in clip.container.metadata.keys() - {"encoder"}:
            container.metadata[key] = clip.container.metadata[key]
        with self._encoding():
            container.start_encoding()

    def write(self, part: Part) -> None:
        """Raises UserError if the disk or the container refuses it."""
        with self._encoding():
            for packet in part.packets:
                stream = self.copies.get(packet.stream)
                if stream is not None:
                    packet.stream = stream
                    self.container.mux(packet)
            if part.stylized is not None:
                frame = self.clip.frame_format.stored(part.stylized, self.pixel_format)
                frame.pts, frame.duration = part.time, part.duration
                frame.time_base = self.clip.time_base
                self.container.mux(self.video.encode(frame))
                self.seconds = float(part.time * self.clip.time_base)
                self.frames += 1

    def finish(self) -> None:
        with self._encoding():
            self.container.mux(self.video.encode(None))
            self.container.close()

    def _add_video(self, encoder: str) -> av.VideoStream:
        clip, frame_format = self.clip, self.clip.frame_format
        width, height = frame_format.width, frame_format.height
        if encoder == H264 and (width % 2 or height % 2):
            self.pixel_format = "yuv444p"
            logging.warning(
                "%s: H.264 stores odd sizes (%d x %d) only in 4:4:4, which some players cannot "
                "show; use .webm, or an even --max-size",
                *(self.output, width, height),
            )
        try:
            video = self.container.add_stream(
                encoder,
                rate=clip.rate,
                options=ENCODER_OPTIONS[encoder] | (LIVE_OPTIONS[encoder] if clip.is_live else {}),
                width=width,
                height=height,
                pix_fmt=self.pixel_format,
                time_base=clip.time_base,
            )
        except UnknownCodecError:
            raise UserError(
                f"--output {self.output}: PyAV's FFmpeg has no {encoder}; install PyAV with "
                "pip install av"
            ) from None
        assert isinstance(video, av.VideoStream)
        context = video.codec_context
        context.colorspace, context.color_range = frame_format.matrix, ColorRange.MPEG
        context.color_primaries, context.color_trc = frame_format.primaries, frame_format.transfer
        if frame_format.pixel_aspect:
            context.sample_aspect_ratio = frame_format.pixel_aspect
        if frame_format.display_matrix:
            video.set_display_matrix(frame_format.display_matrix)
        _copy_tags(clip.video, video)
        return video

    def _add_sound_and_subtitles(self) -> None:
        for sound in self.clip.sound:
            self._copy(sound)
        left_out: list[Stream] = list(self.clip.left_out)
        for subtitles in self.clip.subtitles:
            try:
                self._copy(subtitles)
            except ValueError:
                left_out.append(subtitles)
        for stream in left_out:
            logging.warning(
                "%s: stream %d (%s, %s) is left out",
                *(self.clip.name, stream.index, stream.type, _codec_of(stream)),
            )
        if self.clip.container.chapters():
            logging.warning("%s: its chapters are left out", self.clip.name)

    def _copy(self, stream: Stream) -> None:
        """Adds a copy of a stream. Raises ValueError if the container cannot have it."""
        copy = self.container.add_stream_from_template(stream)
        _copy_tags(stream, copy)
        self.copies[stream] = copy

    @contextlib.contextmanager
    def _encoding(self) -> Iterator[None]:
        try:
            yield
        except av.FFmpegError as error:
            if self.output == STDOUT and isinstance(error, BrokenPipeError):
                self.is_closed = True
                return
            message = f"{self.output}: cannot be written: {reason(error).lower()}"
            raise UserError(message) from error


AnyWriter = Writer | animation.AnimationWriter


@contextlib.contextmanager
def writing(output: Path, clip: Clip) -> Iterator[AnyWriter]:
    """Yields a writer. After the block the file is in place; if the block fails, it is not.

    With STDOUT there is no file, and frames are written as soon as they are encoded.

    Raises UserError, before the block, if the container cannot hold the sound of the clip or the
    file cannot be replaced.
    """
    if output.suffix.lower() in animation.FORMATS:
        with replacement(output) as temporary, open(temporary, "xb") as file:
            drawing = animation.AnimationWriter(output, clip, file)
            yield drawing
            drawing.finish()
        return
    kind = _format_of(output)
    _try_sound(output, clip, kind)
    with replacement(output) if output != STDOUT else contextlib.nullcontext("pipe:1") as target:
        container = av.open(str(target), "w", format=kind.muxer, container_options=kind.options)
        try:
            writer = Writer(output, clip, container)
            yield writer
        except BaseException:
            with contextlib.suppress(av.FFmpegError):
                container.close()
            raise
        writer.finish()


def check_output(output: Path) -> None:
    """Raises UserError if no clip can be written with the ending of `output`."""
    ending = output.suffix.lower()
    if output == STDOUT:
        if sys.stdout.isatty():
            raise UserError("--output -: is this terminal; add a player, such as | ffplay -")
    elif ending not in ENDINGS:
        raise UserError(f"--output {output}: is not a clip's name; {nearest(ending, ENDINGS)}")


def _format_of(output: Path) -> Format:
    return STREAM if output == STDOUT else FORMATS[output.suffix.lower()]


def _try_sound(output: Path, clip: Clip, kind: Format) -> None:
    """Raises UserError if the container cannot hold the sound of the clip.

    Some containers report this only when they are closed. So this writes the first packet of each
    stream to a file in memory.
    """
    if not clip.sound:
        return
    with av.open(clip.name) as source:
        streams = {stream.index: stream for stream in source.streams.audio}
        codecs = ", ".join(map(_codec_of, streams.values()))
        try:
            with av.open(io.BytesIO(), "w", format=kind.muxer) as trial:
                copies = {
                    index: trial.add_stream_from_template(stream)
                    for index, stream in streams.items()
                }
                for packet in source.demux(list(streams.values())):
                    if packet.size and packet.stream_index in copies:
                        packet.stream = copies.pop(packet.stream_index)
                        trial.mux(packet)
                    if not copies:
                        break
        except (ValueError, av.FFmpegError):
            raise UserError(
                f"--output {output}: {kind.title} cannot hold the sound of {clip.name} "
                f"({codecs}) as it is; Matroska (.mkv) holds nearly all"
            ) from None


def _copy_tags(stream: Stream, copy: Stream) -> None:
    """Copies the tags that players show to choose a stream."""
    copy.disposition = stream.disposition
    for key in ("language", "title"):
        if key in stream.metadata:
            copy.metadata[key] = stream.metadata[key]


def _codec_of(stream: Stream) -> str:
    context = stream.codec_context
    return "an unknown codec" if context is None else context.name
