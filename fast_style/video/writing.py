"""Writes clips: stylized frames, and a copy of the sound."""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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


@dataclass(frozen=True)
class Codec:
    """How frames are encoded; odd_sizes: the pixel format of those, where even ones have 4:2:0."""

    encoder: str
    options: dict[str, str]
    odd_sizes: str


# Qualities at which the edges of strokes stay as they are.
H264 = Codec("libx264", {"crf": "18"}, "yuv444p")
VP9 = Codec("libvpx-vp9", {"crf": "24", "row-mt": "1", "cpu-used": "4"}, "yuv420p")


@dataclass(frozen=True)
class Format:
    """A container, by FFmpeg's name."""

    title: str
    muxer: str
    codec: Codec
    options: dict[str, str]


FAST_START = {"movflags": "+faststart"}  # browsers begin before they have the whole file
MP4 = Format("MP4", "mp4", H264, FAST_START)
FORMATS = {
    ".mp4": MP4,
    ".m4v": MP4,
    ".mov": Format("QuickTime", "mov", H264, FAST_START),
    ".mkv": Format("Matroska", "matroska", H264, {}),
    ".webm": Format("WebM", "webm", VP9, {}),
}

ENDINGS = (*FORMATS, *animation.FORMATS)


class Writer:
    """Writes a stylized clip to a file."""

    def __init__(self, output: Path, clip: Clip, container: OutputContainer):
        self.output = output
        self.clip = clip
        self.container = container
        self.seconds = 0.0  # the time of the last frame
        self.frames = 0
        self.format = _format_of(output)
        self.is_odd = bool(clip.frame_format.width % 2 or clip.frame_format.height % 2)
        self.pixel_format = self.format.codec.odd_sizes if self.is_odd else "yuv420p"
        self.copies: dict[Stream, Stream] = {}
        self.video = self._add_video()
        self._add_sound_and_subtitles()
        for key in clip.container.metadata.keys() - {"encoder"}:
            container.metadata[key] = clip.container.metadata[key]
        with self._encoding():
            container.start_encoding()

    def write(self, part: Part) -> None:
        """Raises UserError where the disk or the container refuses it."""
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

    def _add_video(self) -> av.VideoStream:
        clip, frame_format, codec = self.clip, self.clip.frame_format, self.format.codec
        try:
            video = self.container.add_stream(
                codec.encoder,
                rate=clip.rate,
                options=codec.options,
                width=frame_format.width,
                height=frame_format.height,
                pix_fmt=self.pixel_format,
                time_base=clip.time_base,
            )
        except UnknownCodecError:
            raise UserError(
                f"--output {self.output}: PyAV's FFmpeg was built without {codec.encoder}; "
                "pip's package av has it"
            ) from None
        if self.is_odd and codec.odd_sizes == "yuv444p":
            logging.warning(
                "%s: H.264 has odd sizes (%d x %d) in 4:4:4 alone, which not all players show; "
                ".webm and even sizes are shown everywhere",
                *(self.output, frame_format.width, frame_format.height),
            )
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
        """Make a stream for the packets of a clip's; ValueError where the container has none."""
        copy = self.container.add_stream_from_template(stream)
        _copy_tags(stream, copy)
        self.copies[stream] = copy

    @contextlib.contextmanager
    def _encoding(self) -> Iterator[None]:
        try:
            yield
        except av.FFmpegError as error:
            message = f"{self.output}: cannot be written: {reason(error).lower()}"
            raise UserError(message) from error


AnyWriter = Writer | animation.AnimationWriter


@contextlib.contextmanager
def writing(output: Path, clip: Clip) -> Iterator[AnyWriter]:
    """A writer for the frames and streams of a clip, whose file is in place after the block.

    Raises UserError, before there is anything, where the container cannot hold the clip's sound or
    the file cannot be replaced. Where the block fails, nothing is left.
    """
    if output.suffix.lower() in animation.FORMATS:
        with replacement(output) as temporary, open(temporary, "xb") as file:
            drawing = animation.AnimationWriter(output, clip, file)
            yield drawing
            drawing.finish()
        return
    kind = _format_of(output)
    _try_sound(output, clip, kind)
    with replacement(output) as temporary:
        container = av.open(str(temporary), "w", format=kind.muxer, container_options=kind.options)
        try:
            writer = Writer(output, clip, container)
            yield writer
        except BaseException:
            with contextlib.suppress(av.FFmpegError):
                container.close()
            raise
        writer.finish()


def check_output(output: Path) -> None:
    """Raise UserError where `output` has not the ending of a format that is written."""
    if output.suffix.lower() not in animation.FORMATS:
        _format_of(output)


def _format_of(output: Path) -> Format:
    ending = output.suffix.lower()
    if ending not in FORMATS:
        raise UserError(f"--output {output}: is not a clip's name; {nearest(ending, ENDINGS)}")
    return FORMATS[ending]


def _try_sound(output: Path, clip: Clip, kind: Format) -> None:
    """Raise UserError where a container cannot hold the sound; some report it only when closed.

    So a file is made in memory, with the first packet of each stream.
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
    """Copy the tags by which a person recognizes a stream."""
    copy.disposition = stream.disposition
    for key in ("language", "title"):
        if key in stream.metadata:
            copy.metadata[key] = stream.metadata[key]


def _codec_of(stream: Stream) -> str:
    context = stream.codec_context
    return "an unknown codec" if context is None else context.name
