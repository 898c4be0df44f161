"""Clip files and cameras, opened at the place from which they are read."""

from fractions import Fraction

import av
from av.container import InputContainer
from av.stream import Disposition

from fast_style.errors import UserError, reason
from fast_style.pictures.formats import format_of_file
from fast_style.video.webp_reading import webp_as_clip

WEBCAM = "/dev/video0"
BETWEEN_KEY_FRAMES = 10  # seconds, at most, in what is made for broadcasting


def open_at(name: str, start: Fraction) -> InputContainer:
    """The container, to be read from where the frames from `start` on can be decoded."""
    container = _open(name)
    if start and not _seeks(container, video_stream(name, container), start):
        container.close()
        container = _open(name)
    return container


def beginning(container: InputContainer) -> Fraction:
    """The second at which a player begins."""
    # Times below 0 are of what it cuts off, such as the priming of an audio codec.
    return Fraction(max(0, container.start_time or 0), av.time_base)


def video_stream(name: str, container: InputContainer) -> av.VideoStream:
    video = container.streams.best("video")
    if not isinstance(video, av.VideoStream) or video.disposition & Disposition.attached_pic:
        raise UserError(f"{name}: has no video stream")
    if video.codec_context is None:
        raise UserError(f"{name}: FFmpeg knows no decoder for its video stream")
    return video


def device_of(name: str) -> str | None:
    """The camera that `name` stands for; None where it is a file."""
    return WEBCAM if name == "webcam" else name if name.startswith("/dev/video") else None


def _open(name: str) -> InputContainer:
    device = device_of(name)
    try:
        if device is None and format_of_file(name) == "WEBP":
            return av.open(webp_as_clip(name), "r")
        return av.open(name) if device is None else av.open(device, format="v4l2")
    except av.FFmpegError as error:
        kind = "a clip" if device is None else "a camera"
        message = f"{device or name}: cannot be read as {kind}: {reason(error).lower()}"
        raise UserError(message) from None
    except ValueError:  # a format that this FFmpeg lacks
        raise UserError(f"--input {name}: cameras are read through Linux's v4l2 alone") from None


def _seeks(container: InputContainer, video: av.VideoStream, start: Fraction) -> bool:
    """Go to a frame at or before `start` that needs no other, and say whether there is one."""
    wanted = beginning(container) + start
    try:
        for earlier in (0, BETWEEN_KEY_FRAMES):
            place = int(max(Fraction(0), wanted - earlier) * av.time_base)
            container.seek(place)
            # Some containers (MPEG-TS) are searched by bytes, and land anywhere.
            key = next((packet for packet in container.demux(video) if packet.is_keyframe), None)
            if key is not None and key.pts is not None and key.pts * key.time_base <= wanted:
                container.seek(place)
                return True
    except av.FFmpegError:  # what cannot be searched
        pass
    return False
