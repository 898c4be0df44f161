"""Opens clips and cameras."""

from fractions import Fraction

import av
from av.container import InputContainer
from av.stream import Disposition

from fast_style.errors import UserError, reason
from fast_style.pictures.formats import format_of_file
from fast_style.video.webp_reading import webp_as_clip

WEBCAM = "/dev/video0"
BETWEEN_KEY_FRAMES = 10  # seconds, the maximum in broadcasting


def open_at(name: str, start: Fraction) -> InputContainer:
    """Opens a clip at a place from which the frames from `start` on can be decoded.

    Raises UserError.
    """
    container = _open(name)
    if start and not _seeks(container, video_stream(name, container), start):
        container.close()
        container = _open(name)
    return container


def beginning(container: InputContainer) -> Fraction:
    """Returns the second at which a player begins."""
    # Players skip times below 0, such as the priming of an audio codec.
    return Fraction(max(0, container.start_time or 0), av.time_base)


def video_stream(name: str, container: InputContainer) -> av.VideoStream:
    """Returns the video stream of a clip. Raises UserError if there is none or no decoder."""
    video = container.streams.best("video")
    if not isinstance(video, av.VideoStream) or video.disposition & Disposition.attached_pic:
        raise UserError(f"{name}: has no video stream")
    if video.codec_context is None:
        raise UserError(f"{name}: FFmpeg has no decoder for its video stream")
    return video


def device_of(name: str) -> str | None:
    """Returns the camera that `name` means; None if it is a file."""
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
    except ValueError:  # this FFmpeg has no v4l2
        raise UserError(f"--input {name}: cameras can be read only on Linux (v4l2)") from None


def _seeks(container: InputContainer, video: av.VideoStream, start: Fraction) -> bool:
    """Seeks a key frame at or before `start`, and returns whether there is one."""
    wanted = beginning(container) + start
    try:
        for earlier in (0, BETWEEN_KEY_FRAMES):
            place = int(max(Fraction(0), wanted - earlier) * av.time_base)
            container.seek(place)
            # Some containers (MPEG-TS) are searched by bytes, so any frame may come.
            key = next((packet for packet in container.demux(video) if packet.is_keyframe), None)
            if key is not None and key.pts is not None and key.pts * key.time_base <= wanted:
                container.seek(place)
                return True
    except av.FFmpegError:  # the container cannot seek
        pass
    return False
