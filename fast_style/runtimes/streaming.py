"""The transformer network on pictures of any size, a strip of rows at a time.

The result is the same as from the whole picture at once. Each strip includes the rows around it
that its convolutions see. The statistics of an instance normalization are collected over the whole
picture before the next layer: one pass over the picture for each normalization, starting at the
last features that were kept. Features of half the resolution and less are kept, in temporary
files. Larger ones are computed again.

All arithmetic is done by the runtime. Pictures are (rows, W, 3) uint8. Features are (rows, W, C) in
the dtype of the runtime: float32, or uint16 with the bits of bfloat16.
"""

import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import IO, Literal, Protocol

import numpy as np

from fast_style.files import write_temporary
from fast_style.network.architecture import (
    BORDER,
    EPSILON,
    Architecture,
)
from fast_style.pipeline import pipeline

Kind = Literal["plain", "resize", "rgb"]
KEPT = 2  # features whose sides are at most 1/2 of the picture's are kept


@dataclass(frozen=True)
class Scaling:
    """What is done to features before they are used: times factor, plus offset, and ReLU."""

    factor: np.ndarray | float = 1.0  # (C,) float32, as is the offset
    offset: np.ndarray | float = 0.0
    relu: bool = False


@dataclass(frozen=True)
class Convolution:
    """A convolution of the mirrored sum of its inputs, each of them scaled first."""

    kind: Kind
    kernel: np.ndarray
    scalings: tuple[Scaling, ...]  # one for each input
    stride: int = 1
    bias: np.ndarray | None = None  # of the last convolution of a network
    output: str = ""  # as in Architecture, of the last convolution of a network
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


# 'rows' is the output of the last convolution; of the network's last one, it is the pixels. 'mean'
# and 'variance' are its statistics. 'sum' is the sum of the scaled inputs of the first one.
Wanted = Literal["rows", "mean", "variance", "sum"]
# Takes the rows of each input and, for each convolution, how many rows to mirror above and below. A
# negative number of rows is cut off.
OnStrip = Callable[[list[np.ndarray], list[int], list[int]], dict[Wanted, np.ndarray]]


class Runtime(Protocol):
    dtype: type[np.generic]  # of features, see above

    def on_strips(self, convolutions: Sequence[Convolution], wanted: Sequence[Wanted]) -> OnStrip:
        """Returns a function that applies the convolutions to a strip.

        The arrays that it returns are valid until the call after the next one.
        """
        ...


class Rows(Protocol):
    """Rows that can be read any number of times."""

    height: int
    width: int

    def read(self, first: int, last: int) -> np.ndarray: ...


@dataclass(frozen=True)
class Features:
    """The output of convolutions of the rows of sources, and how it is scaled.

    Without convolutions, the features are the sum of the sources, each of them scaled.
    """

    sources: tuple[Rows, ...]
    shrunk: int  # how many times smaller than the picture
    convolutions: tuple[Convolution, ...] = ()
    scalings: tuple[Scaling, ...] = (Scaling(),)

    def strips(self, rows_at_once: int) -> Iterator[tuple[int, int]]:
        """Yields the first and last rows of strips.

        rows_at_once: rows in a strip of the largest features from the sources to these. Smaller
        features have more channels, so that all strips need about the same memory.
        """
        heights = self._heights()
        height = heights[-1]
        of_a_strip = rows_at_once * height // max(heights)
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
    ) -> Iterator[tuple[list[np.ndarray], list[int], list[int]]]:
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
            yield [source.read(first, last) for source in self.sources], above, below

    def _heights(self) -> list[int]:
        """Returns the heights of the sources and of the output of each convolution."""
        heights = [self.sources[0].height]
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
    rows_at_once: rows in a strip, of the largest features that it needs, which decide how much
    memory is needed.
    Temporary files take up to 64 bytes for each pixel, in float32 twice as much. Raises UserError
    if they do not fit.
    """
    multiple = architecture.downsampling
    rows_at_once = max(1, rows_at_once // multiple) * multiple
    layers = StreamedLayers(arrays, architecture, runtime, rows_at_once)
    picture = PictureWithBorder(rgb, architecture)
    pixels = Features((picture,), 1, scalings=(Scaling(1 / 127.5, -1.0),))
    height, width = rgb.shape[:2]
    done = -BORDER
    last = architecture.transformed(pixels, layers)
    for found in last.computed(runtime, rows_at_once, ["rows"]):
        stylized = found["rows"]
        inside = stylized[max(0, -done) : max(0, height - done), BORDER : BORDER + width]
        done += len(stylized)
        if len(inside):
            yield inside.copy()  # the runtime uses its array again


class StreamedLayers:
    """The layers of Architecture.transformed on strips of a picture."""

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        architecture: Architecture,
        runtime: Runtime,
        rows_at_once: int,
    ):
        self.arrays = arrays
        self.output = architecture.output
        self.runtime = runtime
        self.rows_at_once = rows_at_once

    def normalized_convolution(
        self, x: Features, filters: int, kernel: int, stride: int = 1, *, name: str
    ) -> Features:
        return self._normalized(self._convolved("plain", x, name, stride), name, True)

    def residual_block(self, x: Features, filters: int, *, name: str) -> Features:
        y = self._convolved("plain", x, f"{name}_conv1")
        summed, replaced = None, None
        if len(x.sources) > 1:
            summed, replaced = KeptRows(self.runtime.dtype, x.sources[0]), x.sources[1]
            x = Features((summed,), x.shrunk)
        y = self._normalized(y, f"{name}_conv1", True, replaced, summed)
        conv2 = self._convolved("plain", y, f"{name}_conv2")
        return _sum(x, self._normalized(conv2, f"{name}_conv2", False, y.sources[0]))

    def resize_convolution(
        self, x: Features, filters: int, doubling: str, *, name: str
    ) -> Features:
        return self._normalized(self._convolved("resize", x, name, doubling=doubling), name, True)

    def rgb_convolution(self, x: Features, kernel: int, *, name: str) -> Features:
        return self._convolved("rgb", x, name)

    def rgb_resize_convolution(self, x: Features, doubling: str, *, name: str) -> Features:
        return self._convolved("resize", x, name, doubling=doubling)

    def _convolved(
        self, kind: Kind, x: Features, name: str, stride: int = 1, doubling: str = "nearest"
    ) -> Features:
        kernel = self.arrays[f"network/{name}/kernel"]
        bias = self.arrays.get(f"network/{name}/bias")
        output = "" if bias is None else self.output
        convolution = Convolution(kind, kernel, x.scalings, stride, bias, output, doubling)
        shrunk = x.shrunk // 2 if kind == "resize" else x.shrunk * stride
        return Features(x.sources, shrunk, (*x.convolutions, convolution))

    def _normalized(
        self,
        x: Features,
        name: str,
        relu: bool,
        replaced: Rows | None = None,
        summed: "KeptRows | None" = None,
    ) -> Features:
        """Normalizes the features with their statistics over the whole picture.

        replaced: as for KeptRows. summed: takes the sum of the sources, which have as many rows.
        """
        kept = KeptRows(self.runtime.dtype, replaced) if x.shrunk >= KEPT else None
        wanted: list[Wanted] = ["mean", "variance"]
        wanted += ["rows"] if kept else []
        wanted += ["sum"] if summed else []
        count, mean, squares = 0, np.zeros(1), np.zeros(1)
        strips = x.strips(self.rows_at_once)
        computed = x.computed(self.runtime, self.rows_at_once, wanted)
        for (first, last), found in zip(strips, computed, strict=True):
            rows, apart = last - first, found["mean"] - mean
            if kept:
                kept.append(found["rows"])
            if summed:
                above = min(first, x.convolutions[0].border)  # rows that the strip begins with
                summed.append(found["sum"][above : above + rows])
            # Combines the statistics of two parts (Chan, Golub and LeVeque 1979), in float64.
            squares = squares + found["variance"].astype(np.float64) * rows
            squares += apart**2 * (count * rows / (count + rows))
            count += rows
            mean = mean + apart * (rows / count)
        scale, shift = (self.arrays[f"network/{name}_norm/{v}"] for v in ("scale", "shift"))
        factor = scale / np.sqrt(squares / count + EPSILON)
        offset = shift - mean * factor
        scaling = Scaling(factor.astype(np.float32), offset.astype(np.float32), relu)
        if kept:
            return Features((kept,), x.shrunk, scalings=(scaling,))
        return replace(x, scalings=(scaling,))


def _sum(x: Features, y: Features) -> Features:
    """Returns the sum of features without convolutions."""
    assert not x.convolutions and not y.convolutions
    return replace(x, sources=(*x.sources, *y.sources), scalings=(*x.scalings, *y.scalings))


class PictureWithBorder:
    """The rows of an (H, W, 3) picture with its mirrored border."""

    def __init__(self, rgb: np.ndarray, architecture: Architecture):
        self.rgb = rgb
        self.down, self.across = (
            np.pad(np.arange(side), architecture.borders(side), mode="reflect")
            for side in rgb.shape[:2]
        )
        self.height, self.width = len(self.down), len(self.across)

    def read(self, first: int, last: int) -> np.ndarray:
        return self.rgb[self.down[first:last]].take(self.across, axis=1)


class KeptRows:
    """Rows in a temporary file, which is deleted with the last object that uses it.

    replaced: rows of the same size. If they are in a file, the new ones are written over them while
    they are read for the last time, in order. That halves the space, and with it what the system
    writes to the disk.
    """

    def __init__(self, dtype: type[np.generic], replaced: Rows | None = None) -> None:
        self.dtype = dtype
        same = replaced if isinstance(replaced, KeptRows) else None
        self.file: IO[bytes] = same.file if same else tempfile.TemporaryFile()  # noqa: SIM115
        self.lock: threading.Lock = same.lock if same else threading.Lock()
        self.height, self.width, self.channels = 0, 0, 0
        self.latest: tuple[int, np.ndarray] | None = None  # the first row, and what was read

    def append(self, rows: np.ndarray) -> None:
        """Adds (rows, W, C) rows at the end. Raises UserError if the disk is full."""
        with self.lock:
            self.file.seek(self.height * rows[:1].nbytes)
            write_temporary(self.file, np.ascontiguousarray(rows).data)
        self.height += len(rows)
        self.width, self.channels = rows.shape[1:]

    def read(self, first: int, last: int) -> np.ndarray:
        """Returns rows. Those that were returned last are not read again: others may be there."""
        rows = np.empty((last - first, self.width, self.channels), self.dtype)
        known = 0
        if self.latest and self.latest[0] <= first:
            again = self.latest[1][first - self.latest[0] :][: len(rows)]
            known = len(again)
            rows[:known] = again
        with self.lock:
            self.file.seek((first + known) * rows[:1].nbytes)
            self.file.readinto(rows[known:].data)  # type: ignore[attr-defined]
        self.latest = first, rows
        return rows
