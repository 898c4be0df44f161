"""How the frames of a clip are stored and shown: from a decoder to upright RGB, and back."""

from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.sidedata.sidedata import SideData
from av.video.reformatter import ColorRange, Colorspace

from fast_style.pictures.pixels import resize

# What computes RGB by a matrix of ITU-T H.273, table 4. RGB itself, and 'unknown', have none.
MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}
# What players take where a clip does not say.
HD_MATRIX, SD_MATRIX = 1, 6
MOST_ROWS_OF_SD = 576


@dataclass(frozen=True)
class FrameFormat:
    """The size and colours of stored frames, and how a player shows them.

    decoded: width and height in the clip that is read; width, height: in the one that is written.
    quarter_turns: counterclockwise, to what is upright. display_matrix: FFmpeg's nine numbers, or
    None. matrix, primaries, transfer: numbers of ITU-T H.273. pixel_aspect: width over height of
    a pixel; None where unknown.
    """

    decoded: tuple[int, int]
    width: int
    height: int
    quarter_turns: int
    display_matrix: list[int] | None
    matrix: int
    primaries: int
    transfer: int
    pixel_aspect: Fraction | None

    def upright(self, frame: av.VideoFrame) -> np.ndarray:
        """(H, W, 3) uint8 RGB from a decoder's frame; one of another size is brought to this."""
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
        """An encoder's frame, of limited range, from what `upright` gives."""
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
    """The format of a stream's frames, from one of them; max_size: as in Clip."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    display_matrix = (
        np.frombuffer(bytes(matrix), np.int32) if isinstance(matrix, SideData) else None
    )
    width, height = _within(max_size, frame.width, frame.height)
    guessed = HD_MATRIX if frame.height > MOST_ROWS_OF_SD else SD_MATRIX
    return FrameFormat(
        decoded=(frame.width, frame.height),
        width=width,
        height=height,
        quarter_turns=round(frame.rotation / 90),
        display_matrix=None if display_matrix is None else display_matrix.tolist(),
        matrix=frame.colorspace if frame.colorspace in MATRICES else guessed,
        primaries=frame.color_primaries,
        transfer=frame.color_trc,
        pixel_aspect=stream.sample_aspect_ratio,
    )


def _within(max_size: int | None, width: int, height: int) -> tuple[int, int]:
    """The stored size, or where max_size shrinks it one that every codec takes: even."""
    long = max(width, height)
    if max_size is None or long <= max_size:
        return width, height
    scale = max(2, max_size - max_size % 2) / long
    return max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))
