"""The transformer network on pictures of any size, a strip of rows at a time.

The result is the same as from the whole picture at once. Each strip includes the rows around it
that its convolutions see. The statistics of an instance normalization are collected over the whole
picture before the next layer: one pass over the picture for each normalization, starting at the
last features that were kept. Features of a quarter of the resolution and less are kept, in
temporary files. Larger ones are computed again.

Features are (rows, W, C) float32, pictures are (rows, W, 3) uint8.
"""

import contextlib
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
KEPT = 4  # features whose sides are at most 1/4 of the picture's are kept


@dataclass(frozen=True)
class Convolution:
    """A convolution. Its input is first multiplied by factor, plus offset, ReLU and mirrored."""

    kind: Kind
    kernel: np.ndarray
    factor: np.ndarray | float  # (C,) float32, as is the offset
    offset: np.ndarray | float
    relu: bool
    stride: int = 1
    bias: np.ndarray | None = None  # for kind 'rgb'
    doubling: str = "nearest"  # for kind 'resize'

    @property
    def border(self) -> int:
        return self.kernel.shape[0] // 2

    def seen_by(self, first: int, last: int) -> tuple[int, int]:
        """Returns the first and last rows of the input, with border, for these output rows."""
        if self.kind == "resize":
            return first // 2 - self.border, last // 2 + self.border
        return first * self.stride - self.border, (last - 1) * self.stride + self.border + 1

    def height(self, rows: int) -> int:
        """Returns the number of output rows for a number of input rows."""
        return 2 * rows if self.kind == "resize" else rows // self.stride


Wanted = Literal["rows", "mean", "variance"]
# Takes the rows of a strip and, for each convolution, how many rows to mirror above and below. A
# negative number of rows is cut off.
OnStrip = Callable[[np.ndarray, list[int], list[int]], dict[Wanted, np.ndarray]]


class Runtime(Protocol):
    def on_strips(self, convolutions: Sequence[Convolution], wanted: Sequence[Wanted]) -> OnStrip:
        """Returns a function that applies the convolutions to a strip."""
        ...


class Rows(Protocol):
    """Rows that can be read any number of times."""

    height: int

    def read(self, first: int, last: int) -> np.ndarray: ...


@dataclass(frozen=True)
class Features:
    """The output of convolutions on the rows of `source`, and factor, offset and ReLU on it."""

    source: Rows
    convolutions: tuple[Convolution, ...]
    shrunk: int  # how many times smaller than the picture
    factor: np.ndarray | float = 1.0
    offset: np.ndarray | float = 0.0
    relu: bool = False

    def read(self, first: int, last: int) -> np.ndarray:
        """Returns rows of features without convolutions."""
        assert not self.convolutions
        rows = self.source.read(first, last) * self.factor + self.offset
        return np.maximum(rows, 0, out=rows) if self.relu else rows

    def strips(self, rows_at_once: int) -> Iterator[tuple[int, int]]:
        """Yields the first and last rows of strips, each for `rows_at_once` rows of the picture."""
        height = self._heights()[-1]
        of_a_strip = rows_at_once // self.shrunk
        for first in range(0, height, of_a_strip):
            yield first, min(first + of_a_strip, height)

    def computed(
        self, runtime: Runtime, rows_at_once: int, wanted: Sequence[Wanted]
    ) -> Iterator[dict[Wanted, np.ndarray]]:
        """Yields what is wanted of each strip, from the top.

        Files are read and written while the runtime computes another strip.
        """
        on_strip = runtime.on_strips(self.convolutions, wanted)
        seen = self._seen_by_strips(rows_at_once)
        with pipeline(seen, lambda strip: on_strip(*strip)) as found:
            yield from found

    def _seen_by_strips(
        self, rows_at_once: int
    ) -> Iterator[tuple[np.ndarray, list[int], list[int]]]:
        """Yields the arguments of OnStrip for each strip."""
        heights = self._heights()
        for first, last in self.strips(rows_at_once):
            above: list[int] = []
            below: list[int] = []
            for number, convolution in reversed(list(enumerate(self.convolutions))):
                first, last = convolution.seen_by(first, last)
                beyond = max(0, -first), max(0, last - heights[number])
                first, last = first + beyond[0], last - beyond[1]
                # A resize makes two rows of one, so the outermost may have to be cut off.
                after_resize = number > 0 and self.convolutions[number - 1].kind == "resize"
                surplus = (first % 2, last % 2) if after_resize else (0, 0)
                first, last = first - surplus[0], last + surplus[1]
                above.insert(0, beyond[0] - surplus[0])
                below.insert(0, beyond[1] - surplus[1])
            yield self.source.read(first, last), above, below

    def _heights(self) -> list[int]:
        """Returns the heights of the source and of the output of each convolution."""
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
    """Yields the rows, (rows, W, 3) uint8, of the stylized (H, W, 3) uint8 picture, from the top.

    arrays: of one style and of that architecture, as in model.Model.
    rows_at_once: rows of the picture in a strip, which decide how much memory is needed.
    Temporary files take up to 128 bytes for each pixel. Raises UserError if they do not fit.
    """
    multiple = architecture.downsampling
    rows_at_once = max(1, rows_at_once // multiple) * multiple
    layers = StreamedLayers(arrays, runtime, rows_at_once, min(KEPT, multiple))
    pixels = Features(PictureWithBorder(rgb, architecture), (), 1, 1 / 127.5, -1.0)
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
    """The layers of Architecture.transformed on strips of a picture."""

    def __init__(
        self, arrays: Mapping[str, np.ndarray], runtime: Runtime, rows_at_once: int, kept: int
    ):
        """kept: features whose sides are at most 1/kept of the picture's are kept."""
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
        return Features(kept, (), x.shrunk)

    def residual_block(self, x: Features, filters: int, *, name: str) -> Features:
        y = self.normalized_convolution(x, filters, 3, name=f"{name}_conv1")
        y = self._normalized(self._convolved("plain", y, f"{name}_conv2"), f"{name}_conv2", False)
        kept = KeptRows()
        for strip in x.strips(self.rows_at_once):
            kept.append(x.read(*strip) + y.read(*strip))
        return Features(kept, (), x.shrunk)

    def resize_convolution(
        self, x: Features, filters: int, doubling: str, *, name: str
    ) -> Features:
        return self._normalized(self._convolved("resize", x, name, doubling=doubling), name, True)

    def rgb_convolution(self, x: Features, kernel: int, *, name: str) -> Features:
        return self._convolved("rgb", x, name)

    def _convolved(
        self, kind: Kind, x: Features, name: str, stride: int = 1, doubling: str = "nearest"
    ) -> Features:
        kernel = self.arrays[f"network/{name}/kernel"]
        bias = self.arrays.get(f"network/{name}/bias")
        convolution = Convolution(kind, kernel, x.factor, x.offset, x.relu, stride, bias, doubling)
        shrunk = x.shrunk // 2 if kind == "resize" else x.shrunk * stride
        return Features(x.source, (*x.convolutions, convolution), shrunk)

    def _normalized(self, x: Features, name: str, relu: bool) -> Features:
        """Normalizes the features with their statistics over the whole picture."""
        kept = KeptRows() if x.shrunk >= self.kept else None
        wanted: list[Wanted] = ["mean", "variance", "rows"] if kept else ["mean", "variance"]
        count, mean, squares = 0, np.zeros(1), np.zeros(1)
        strips = x.strips(self.rows_at_once)
        computed = x.computed(self.runtime, self.rows_at_once, wanted)
        for (first, last), found in zip(strips, computed, strict=True):
            if kept:
                kept.append(found["rows"])
            rows, apart = last - first, found["mean"] - mean
            # Combines the statistics of two parts (Chan, Golub and LeVeque 1979), in float64.
            squares = squares + found["variance"].astype(np.float64) * rows
            squares += apart**2 * (count * rows / (count + rows))
            count += rows
            mean = mean + apart * (rows / count)
        scale, shift = (self.arrays[f"network/{name}_norm/{v}"] for v in ("scale", "shift"))
        factor = scale / np.sqrt(squares / count + EPSILON)
        offset = shift - mean * factor
        if kept:
            x = replace(x, source=kept, convolutions=())
        return replace(
            x, factor=factor.astype(np.float32), offset=offset.astype(np.float32), relu=relu
        )


class PictureWithBorder:
    """The rows of an (H, W, 3) picture with its mirrored border."""

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
    """Rows in a temporary file, which is deleted with the object."""

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile()  # noqa: SIM115
        self.height = 0
        self.row: tuple[int, int] = (0, 0)

    def append(self, rows: np.ndarray) -> None:
        """Adds (rows, W, C) rows at the end. Raises UserError if the disk is full."""
        try:
            self.file.seek(0, os.SEEK_END)
            self.file.write(np.ascontiguousarray(rows, np.float32).data)
            self.file.flush()
        except OSError as error:
            # Python would try again when it deletes the file, and print that error.
            with contextlib.suppress(OSError):
                self.file.close()
            raise UserError(
                f"{tempfile.gettempdir()}: cannot keep features: {error.strerror}; "
                "set TMPDIR to another folder"
            ) from None
        self.row = (rows.shape[1], rows.shape[2])
        self.height += len(rows)

    def read(self, first: int, last: int) -> np.ndarray:
        rows = np.empty((last - first, *self.row), np.float32)
        self.file.seek(rows[:1].nbytes * first)
        self.file.readinto(rows.data)
        return rows
