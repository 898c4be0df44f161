"""Converts a decoder's frames to upright RGB, and RGB to an encoder's frames."""

from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.sidedata.sidedata import SideData
from av.video.reformatter import ColorRange, Colorspace

from fast_style.pictures.pixels import resize

# FFmpeg's colour spaces by matrix (ITU-T H.273, table 4). RGB and 'unknown' have no matrix.
MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}
# The matrices that players use if a clip does not name one.
HD_MATRIX, SD_MATRIX = 1, 6
MOST_ROWS_OF_SD = 576


@dataclass(frozen=True)
class FrameFormat:
    """The size, rotation and colours of frames."""

    decoded: tuple[int, int]  # width and height in the clip that is read
    width: int  # in the clip that is written, as is height
    height: int
    quarter_turns: int  # counterclockwise, from stored to upright
    display_matrix: list[int] | None  # FFmpeg's nine numbers of the rotation
    matrix: int  # numbers of ITU-T H.273, as are primaries and transfer
    primaries: int
    transfer: int
    pixel_aspect: Fraction | None  # width / height of a pixel; None: unknown

    def upright(self, frame: av.VideoFrame) -> np.ndarray:
        """Returns (H, W, 3) uint8 RGB from a decoder's frame. Scales frames of another size."""
        rgb = frame.to_ndarray(
            format="rgb24",
            width=self.decoded[0],
            height=self.decoded[1],
            src_colorspace=MATRICES[self.matrix],
            dst_color_range=ColorRange.JPEG,
        )
        if self.decoded != (self.width, self.height):
            rgb = resize(rgb, self.height, self.width)
        return np.ascontiguousarray(np.rot90(rgb, self.quarter_turns))

    def stored(self, rgb: np.ndarray, pixel_format: str) -> av.VideoFrame:
        """Returns an encoder's frame, in limited range, from (H, W, 3) uint8 upright RGB."""
        turned = np.ascontiguousarray(np.rot90(rgb, -self.quarter_turns))
        return av.VideoFrame.from_ndarray(turned, "rgb24").reformat(
            format=pixel_format,
            dst_colorspace=MATRICES[self.matrix],
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
        )


def frame_format_of(
    frame: av.VideoFrame, stream: av.VideoStream, max_size: int | None
) -> FrameFormat:
    """Returns the format of a stream's frames, from one of them. max_size: as in Clip."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    numbers = np.frombuffer(bytes(matrix), np.int32) if isinstance(matrix, SideData) else None
    width, height = _within(max_size, frame.width, frame.height)
    guessed = HD_MATRIX if frame.height > MOST_ROWS_OF_SD else SD_MATRIX
    return FrameFormat(
        decoded=(frame.width, frame.height),
        width=width,
        height=height,
        quarter_turns=round(frame.rotation / 90),
        display_matrix=None if numbers is None else numbers.tolist(),
        matrix=frame.colorspace if frame.colorspace in MATRICES else guessed,
        primaries=frame.color_primaries,
        transfer=frame.color_trc,
        pixel_aspect=stream.sample_aspect_ratio,
    )


def _within(max_size: int | None, width: int, height: int) -> tuple[int, int]:
    """Returns the size itself, or a smaller one of even numbers, which every codec supports."""
    long = max(width, height)
    if max_size is None or long <= max_size:
        return width, height
    scale = max(2, max_size - max_size % 2) / long
    return max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))
