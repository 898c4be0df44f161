"""The transformer network over pictures of any size, a strip of rows at a time.

What comes out is what the whole picture at once gives. A strip brings along the rows beyond it that
its convolutions see, and the statistics of every instance normalization are gathered over the whole
picture before anything goes on: a pass for each of them, from the last features that were kept.
Kept, in temporary files, are those at a quarter of the resolution and smaller ones; larger ones are
computed again.

Features are (rows, W, C) float32, pictures the same in uint8.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np

from fast_style.errors import UserError
from fast_style.network.architecture import (
    BORDER,
    EPSILON,
    NOISE_SIDE,
    OUTPUT_GAIN,
    OUTPUT_REACH,
    Architecture,
    noise_tile,
)
from fast_style.pipeline import pipeline

Kind = Literal["plain", "resize", "rgb"]
KEPT = 4  # features that the picture is so many times as wide as


@dataclass(frozen=True)
class Convolution:
    """A convolution, and what is done to its input first: factor, offset, ReLU, mirrored border."""

    kind: Kind
    kernel: np.ndarray
    factor: np.ndarray  # (C,) float32, as is the offset
    offset: np.ndarray
    relu: bool
    stride: int = 1
    bias: np.ndarray | None = None  # of 'rgb'
    doubling: str = "nearest"  # of 'resize'

    @property
    def border(self) -> int:
        return self.kernel.shape[0] // 2

    def seen_by(self, first: int, last: int) -> tuple[int, int]:
        """The rows of the input, and of its border, that the rows first..last come from."""
        if self.kind == "resize":
            return first // 2 - self.border, last // 2 + self.border
        return first * self.stride - self.border, (last - 1) * self.stride + self.border + 1

    def height(self, rows: int) -> int:
        """The rows that so many rows of input become."""
        return 2 * rows if self.kind == "resize" else rows // self.stride


# What becomes of a strip's rows, when each convolution has so many of them mirrored above and below
# or, where that is negative, cut off.
Wanted = Literal["rows", "mean", "variance"]
OnStrip = Callable[[np.ndarray, list[int], list[int]], dict[Wanted, np.ndarray]]


class Runtime(Protocol):
    """What computes."""

    def on_strips(
        self, convolutions: Sequence[Convolution], wanted: Sequence[Wanted]
    ) -> OnStrip: ...


class Rows(Protocol):
    """Rows that can be read as often as is needed."""

    height: int

    def read(self, first: int, last: int) -> np.ndarray: ...


@dataclass(frozen=True)
class Features:
    """What convolutions make of rows, and what the next one is to do with it first."""

    source: Rows
    convolutions: tuple[Convolution, ...]
    shrunk: int  # so many times is the picture wider and higher
    factor: np.ndarray
    offset: np.ndarray
    relu: bool

    def read(self, first: int, last: int) -> np.ndarray:
        """Rows of features that wait for no convolution."""
        assert not self.convolutions
        rows = self.source.read(first, last) * self.factor + self.offset
        return np.maximum(rows, 0, out=rows) if self.relu else rows

    def strips(self, rows_at_once: int) -> Iterator[tuple[int, int]]:
        """First and last rows of strips that stand for so many rows of the picture each."""
        height = self._heights()[-1]
        of_a_strip = rows_at_once // self.shrunk
        for first in range(0, height, of_a_strip):
            yield first, min(first + of_a_strip, height)

    def computed(
        self, runtime: Runtime, rows_at_once: int, wanted: Sequence[Wanted]
    ) -> Iterator[dict[Wanted, np.ndarray]]:
        """What is wanted of one strip after the other, from the top.

        Files are read and written while the runtime has another strip.
        """
        on_strip = runtime.on_strips(self.convolutions, wanted)
        seen = self._seen_by_strips(rows_at_once)
        with pipeline(seen, lambda strip: on_strip(*strip)) as found:
            yield from found

    def _seen_by_strips(
        self, rows_at_once: int
    ) -> Iterator[tuple[np.ndarray, list[int], list[int]]]:
        """The rows of the source that each strip comes from, and what Wanted says is mirrored."""
        heights = self._heights()
        for first, last in self.strips(rows_at_once):
            above: list[int] = []
            below: list[int] = []
            for number, convolution in reversed(list(enumerate(self.convolutions))):
                first, last = convolution.seen_by(first, last)
                beyond = max(0, -first), max(0, last - heights[number])
                first, last = first + beyond[0], last - beyond[1]
                # A resize makes two rows of one, of which the outermost may not be seen.
                surplus = (first % 2, last % 2) if self._is_resized(number) else (0, 0)
                first, last = first - surplus[0], last + surplus[1]
                above.insert(0, beyond[0] - surplus[0])
                below.insert(0, beyond[1] - surplus[1])
            yield self.source.read(first, last), above, below

    def _is_resized(self, number: int) -> bool:
        """Whether what a convolution sees comes from a resize."""
        return number > 0 and self.convolutions[number - 1].kind == "resize"

    def _heights(self) -> list[int]:
        """Of the source, and behind each convolution."""
        heights = [self.source.height]
        for convolution in self.convolutions:
            heights.append(convolution.height(heights[-1]))
        return heights


def stylize_rows(
    arrays: Mapping[str, np.ndarray],
    architecture: Architecture,
    runtime: Runtime,
    rgb: np.ndarray,
    rows_at_once: int,
) -> Iterator[np.ndarray]:
    """Yield (rows, W, 3) uint8 of the stylized image of an (H, W, 3) uint8 one, from the top.

    arrays: of one style, as model.Model has them, and of that architecture.
    rows_at_once: of the picture, which decides how much memory is needed.
    Temporary files take up to 128 bytes for each pixel.
    """
    multiple = architecture.downsampling
    rows_at_once = max(1, rows_at_once // multiple) * multiple
    layers = StreamedLayers(arrays, runtime, rows_at_once, min(KEPT, multiple))
    factor, offset = np.full(3, 1 / 127.5, np.float32), np.full(3, -1, np.float32)
    pixels = Features(PictureWithBorder(rgb, architecture), (), 1, factor, offset, False)
    height, width = rgb.shape[:2]
    done = -BORDER
    last = architecture.transformed(pixels, layers)
    for found in last.computed(runtime, rows_at_once, ["rows"]):
        x = found["rows"] * np.float32(OUTPUT_GAIN)
        x = x if architecture.output == "linear" else np.tanh(x)
        x = x * np.float32(OUTPUT_REACH[architecture.output])
        stylized = np.rint(np.clip(x + np.float32(127.5), 0, 255)).astype(np.uint8)
        inside = stylized[max(0, -done) : max(0, height - done), BORDER : BORDER + width]
        done += len(stylized)
        if len(inside):
            yield inside


class StreamedLayers:
    """What Architecture.transformed asks for, over the strips of a picture."""

    def __init__(
        self, arrays: Mapping[str, np.ndarray], runtime: Runtime, rows_at_once: int, kept: int
    ):
        """kept: features are, where the picture is so many times as wide, or more."""
        self.arrays = arrays
        self.runtime = runtime
        self.rows_at_once = rows_at_once
        self.kept = kept

    def normalized_convolution(
        self, x: Features, filters: int, kernel: int, stride: int = 1, *, name: str
    ) -> Features:
        return self._normalized(self._convolved("plain", x, name, stride), name, True)

    def fixed_noise(self, x: Features, *, name: str) -> Features:
        noise = noise_tile() @ self.arrays[f"network/{name}/mix"].astype(np.float32)
        kept = KeptRows()
        for first, last in x.strips(self.rows_at_once):
            rows = x.read(first, last)
            down, across = (
                np.arange(*ends) % NOISE_SIDE for ends in ((first, last), (rows.shape[1],))
            )
            kept.append(rows + noise[down][:, across])
        return Features(kept, (), x.shrunk, *_as_it_is(len(x.factor)))

    def residual_block(self, x: Features, filters: int, *, name: str) -> Features:
        y = self.normalized_convolution(x, filters, 3, name=f"{name}_conv1")
        y = self._normalized(self._convolved("plain", y, f"{name}_conv2"), f"{name}_conv2", False)
        kept = KeptRows()
        for strip in x.strips(self.rows_at_once):
            kept.append(x.read(*strip) + y.read(*strip))
        return Features(kept, (), x.shrunk, *_as_it_is(filters))

    def resize_convolution(
        self, x: Features, filters: int, doubling: str, *, name: str
    ) -> Features:
        return self._normalized(self._convolved("resize", x, name, doubling=doubling), name, True)

    def rgb_convolution(self, x: Features, kernel: int, *, name: str) -> Features:
        return self._convolved("rgb", x, name)

    def _convolved(
        self, kind: Kind, x: Features, name: str, stride: int = 1, doubling: str = "nearest"
    ) -> Features:
        kernel, bias = (
            self.arrays[f"network/{name}/kernel"],
            self.arrays.get(f"network/{name}/bias"),
        )
        convolution = Convolution(kind, kernel, x.factor, x.offset, x.relu, stride, bias, doubling)
        shrunk = x.shrunk // 2 if kind == "resize" else x.shrunk * stride
        return Features(
            x.source, (*x.convolutions, convolution), shrunk, *_as_it_is(kernel.shape[3])
        )

    def _normalized(self, x: Features, name: str, relu: bool) -> Features:
        """A pass over the whole picture, after which the features are known to be even."""
        kept = KeptRows() if x.shrunk >= self.kept else None
        wanted: list[Wanted] = ["mean", "variance", "rows"] if kept else ["mean", "variance"]
        count, mean, squares = 0, np.zeros(len(x.factor)), np.zeros(len(x.factor))
        strips = x.strips(self.rows_at_once)
        computed = x.computed(self.runtime, self.rows_at_once, wanted)
        for (first, last), found in zip(strips, computed, strict=True):
            if kept:
                kept.append(found["rows"])
            rows, apart = last - first, found["mean"] - mean
            # Two sets of numbers as one (Chan, Golub and LeVeque 1979), in float64.
            squares += found["variance"].astype(np.float64) * rows
            squares += apart**2 * (count * rows / (count + rows))
            count += rows
            mean += apart * (rows / count)
        scale, shift = (self.arrays[f"network/{name}_norm/{v}"] for v in ("scale", "shift"))
        factor = scale / np.sqrt(squares / count + EPSILON)
        offset = shift - mean * factor
        if kept:
            x = replace(x, source=kept, convolutions=())
        return replace(
            x, factor=factor.astype(np.float32), offset=offset.astype(np.float32), relu=relu
        )


class PictureWithBorder:
    """The rows of an (H, W, 3) picture inside its border, which is mirrored as they are read."""

    def __init__(self, rgb: np.ndarray, architecture: Architecture):
        self.rgb = rgb
        self.down, self.across = (
            np.pad(np.arange(side), architecture.borders(side), mode="reflect")
            for side in rgb.shape[:2]
        )
        self.height = len(self.down)

    def read(self, first: int, last: int) -> np.ndarray:
        return self.rgb[self.down[first:last]][:, self.across].astype(np.float32)


class KeptRows:
    """Rows in a temporary file, which goes when nothing reads them any more."""

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        self.height = 0
        self.row: tuple[int, int] = (0, 0)

    def append(self, rows: np.ndarray) -> None:
        """Raises UserError where they find no room."""
        left = np.ascontiguousarray(rows, np.float32).data.cast("B")
        try:
            while left:
                left = left[self.file.write(left) :]
        except OSError as error:
            raise UserError(
                f"{tempfile.gettempdir()}: cannot keep features: {error.strerror}; "
                "TMPDIR names another folder"
            ) from None
        self.row = (rows.shape[1], rows.shape[2])
        self.height += len(rows)

    def read(self, first: int, last: int) -> np.ndarray:
        rows = np.empty((last - first, *self.row), np.float32)
        left, offset = rows.data.cast("B"), rows[:1].nbytes * first
        while left:
            got = os.preadv(self.file.fileno(), [left], offset)
            offset, left = offset + got, left[got:]
        return rows


def _as_it_is(channels: int) -> tuple[np.ndarray, np.ndarray, bool]:
    """Factor, offset and ReLU of features that nothing is to be done to."""
    return np.ones(channels, np.float32), np.zeros(channels, np.float32), False
