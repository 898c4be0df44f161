"""The transformer network over pictures of any size: rows flow through it, a few at a time.

What comes out is what the whole picture at once gives. Convolutions keep the rows that they still
need, and the statistics of every instance normalization are gathered over the whole picture before
anything flows on: a pass for each of them, from the last features that were kept. Kept, in
temporary files, are those at a quarter of the resolution; larger ones are computed again.

Features are (1, C, rows, W) float32, the order that OpenVINO computes in.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np

from fast_style.architecture import (
    BORDER,
    DOWNSAMPLING,
    EPSILON,
    OUTPUT_GAIN,
    OUTPUT_REACH,
    borders,
    transformed,
)
from fast_style.errors import UserError

Rows = Iterator[np.ndarray]
# Rows above that are still needed, rows, and a factor and an offset for each channel, which are
# (1, C, 1, 1), to convolved rows.
Operation = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


class Operations(Protocol):
    """What a runtime computes.

    Each operation puts the rows below those above, multiplies by the factor, adds the offset, takes
    the ReLU where it is to, mirrors at the left and right, and convolves.
    """

    def convolution(self, kernel: np.ndarray, stride: int, relu: bool) -> Operation: ...

    def resize_convolution(self, kernel: np.ndarray, relu: bool) -> Operation: ...

    def rgb_convolution(self, kernel: np.ndarray, bias: np.ndarray, relu: bool) -> Operation: ...

    def moments(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of each channel."""


@dataclass(frozen=True)
class Features:
    """Rows that flow anew for each pass, and what the next layer does to them first."""

    rows: Callable[[], Rows]
    channels: int
    shrunk: int  # so many times is the picture wider and higher
    factor: np.ndarray  # (1, C, 1, 1) float32, as is the offset
    offset: np.ndarray
    relu: bool

    def normalized(self) -> Rows:
        for rows in self.rows():
            rows = rows * self.factor + self.offset
            yield np.maximum(rows, 0) if self.relu else rows


def stylize_rows(
    arrays: Mapping[str, np.ndarray],
    output: str,
    operations: Operations,
    rgb: np.ndarray,
    rows_at_once: int,
) -> Rows:
    """Yield (rows, W, 3) uint8 of the stylized image of an (H, W, 3) uint8 one, from the top.

    arrays: of one style, as checkpoints.Model has them; output: as build_transformer_network's.
    rows_at_once: of the picture, which decides how much memory is needed.
    Temporary files take up to 128 bytes for each pixel.
    """
    layers = StreamedLayers(arrays, operations)
    pixels = _plain(partial(_with_border, rgb, rows_at_once), 3, 1)
    source = replace(pixels, factor=pixels.factor / np.float32(127.5), offset=-pixels.factor)
    height, width = rgb.shape[:2]
    done = -BORDER
    for features in transformed(source, layers).rows():
        x = features[0].transpose(1, 2, 0) * np.float32(OUTPUT_GAIN)
        x = (x if output == "linear" else np.tanh(x)) * np.float32(OUTPUT_REACH[output])
        stylized = np.rint(np.clip(x + np.float32(127.5), 0, 255)).astype(np.uint8)
        inside = stylized[max(0, -done) : max(0, height - done), BORDER : BORDER + width]
        done += len(stylized)
        if len(inside):
            yield inside


class StreamedLayers:
    """What architecture.transformed asks for, over features that flow."""

    def __init__(self, arrays: Mapping[str, np.ndarray], operations: Operations):
        self.arrays = arrays
        self.operations = operations

    def normalized_convolution(
        self, x: Features, filters: int, kernel: int, stride: int = 1, *, name: str
    ) -> Features:
        return self._normalized(self._convolved(x, filters, kernel, stride, name), name, True)

    def residual_block(self, x: Features, filters: int, *, name: str) -> Features:
        y = self.normalized_convolution(x, filters, 3, name=f"{name}_conv1")
        y = self._convolved(y, filters, 3, 1, f"{name}_conv2")
        y = self._normalized(y, f"{name}_conv2", False)
        return _plain(KeptRows(partial(_sum, x, y)), filters, x.shrunk)

    def resize_convolution(self, x: Features, filters: int, *, name: str) -> Features:
        operation = self.operations.resize_convolution(self._kernel(name), x.relu)
        rows = partial(_convolved, x, operation, 3, 1, 1, "symmetric")
        return self._normalized(_plain(rows, filters, x.shrunk // 2), name, True)

    def rgb_convolution(self, x: Features, kernel: int, *, name: str) -> Features:
        bias = self.arrays[f"network/{name}/bias"]
        operation = self.operations.rgb_convolution(self._kernel(name), bias, x.relu)
        rows = partial(_convolved, x, operation, kernel, 1, kernel // 2, "reflect")
        return _plain(rows, 3, x.shrunk)

    def _convolved(
        self, x: Features, filters: int, kernel: int, stride: int, name: str
    ) -> Features:
        operation = self.operations.convolution(self._kernel(name), stride, x.relu)
        rows = partial(_convolved, x, operation, kernel, stride, kernel // 2, "reflect")
        return _plain(rows, filters, x.shrunk * stride)

    def _normalized(self, x: Features, name: str, relu: bool) -> Features:
        """A pass over the whole picture, after which the features are known to be even."""
        if x.shrunk == DOWNSAMPLING:
            x = replace(x, rows=KeptRows(x.rows))
        count, mean, squares = 0, np.zeros(x.channels), np.zeros(x.channels)
        for rows in x.rows():
            positions = rows.shape[2] * rows.shape[3]
            its_mean, its_variance = self.operations.moments(rows)
            apart = its_mean - mean
            # Two sets of numbers as one (Chan, Golub and LeVeque 1979), in float64.
            squares += its_variance * positions
            squares += apart**2 * (count * positions / (count + positions))
            count += positions
            mean += apart * (positions / count)
        scale, shift = (self.arrays[f"network/{name}_norm/{v}"] for v in ("scale", "shift"))
        factor = scale / np.sqrt(squares / count + EPSILON)
        offset = shift - mean * factor
        return replace(x, factor=_channelwise(factor), offset=_channelwise(offset), relu=relu)

    def _kernel(self, name: str) -> np.ndarray:
        return self.arrays[f"network/{name}/kernel"]


class KeptRows:
    """Rows that are computed when they first flow, and read from a temporary file after that."""

    def __init__(self, rows: Callable[[], Rows]):
        self.compute: Callable[[], Rows] | None = rows
        self.file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self) -> Rows:
        if self.compute is None:
            yield from self._read()
            return
        for rows in self.compute():
            self._write(np.ascontiguousarray(rows))
            yield rows
        self.compute = None  # and with it the features that these were computed from

    def _write(self, rows: np.ndarray) -> None:
        left = rows.data.cast("B")
        try:
            while left:
                left = left[self.file.write(left) :]
        except OSError as error:
            raise UserError(
                f"{tempfile.gettempdir()}: cannot keep features: {error.strerror}; "
                "TMPDIR names another folder"
            ) from None
        self.shapes.append(rows.shape)

    def _read(self) -> Rows:
        offset = 0
        for shape in self.shapes:
            rows = np.empty(shape, np.float32)
            left = rows.data.cast("B")
            while left:
                got = os.preadv(self.file.fileno(), [left], offset)
                offset, left = offset + got, left[got:]
            yield rows


def _with_border(rgb: np.ndarray, rows_at_once: int) -> Rows:
    down, across = (_mirrored_positions(side) for side in rgb.shape[:2])
    for first in range(0, len(down), rows_at_once):
        rows = rgb[down[first : first + rows_at_once]][:, across]
        yield np.ascontiguousarray(rows.transpose(2, 0, 1)[None], np.float32)


def _mirrored_positions(side: int) -> np.ndarray:
    return np.pad(np.arange(side), borders(side), mode="reflect")


def _convolved(
    x: Features, operation: Operation, window: int, step: int, border: int, mode: str
) -> Rows:
    above: np.ndarray | None = None
    for rows in _mirrored(x.rows(), border, mode):
        if above is None:
            above = rows[:, :, :0]
        there = above.shape[2] + rows.shape[2]
        steps = max(0, (there - window) // step + 1)
        if steps:
            yield operation(above, rows, x.factor, x.offset)
        unfinished = there - steps * step
        if unfinished > rows.shape[2]:
            above = np.concatenate([above, rows], axis=2)[:, :, -unfinished:]
        else:
            above = rows[:, :, rows.shape[2] - unfinished :]


def _mirrored(rows: Rows, border: int, mode: str) -> Rows:
    """Rows with `border` more above and below; 'symmetric' repeats the outermost, 'reflect' not."""
    skip = int(mode == "reflect")
    needed = border + skip
    waiting = next(rows)
    while waiting.shape[2] < needed:
        waiting = np.concatenate([waiting, next(rows)], axis=2)
    waiting = np.concatenate([waiting[:, :, skip:needed][:, :, ::-1], waiting], axis=2)
    for new in rows:
        if new.shape[2] < needed:  # too few to be the last that are mirrored
            waiting = np.concatenate([waiting, new], axis=2)
        else:
            yield waiting
            waiting = new
    below = waiting[:, :, -needed:][:, :, :border][:, :, ::-1]
    yield np.concatenate([waiting, below], axis=2)


def _sum(one: Features, other: Features) -> Rows:
    """Both added up, in pieces as short as the shorter one's."""
    ours, theirs = one.normalized(), other.normalized()
    a = b = None
    while True:
        a = next(ours, None) if a is None else a
        b = next(theirs, None) if b is None else b
        if a is None or b is None:
            return
        rows = min(a.shape[2], b.shape[2])
        yield a[:, :, :rows] + b[:, :, :rows]
        a = a[:, :, rows:] if a.shape[2] > rows else None
        b = b[:, :, rows:] if b.shape[2] > rows else None


def _plain(rows: Callable[[], Rows], channels: int, shrunk: int) -> Features:
    one = np.ones((1, channels, 1, 1), np.float32)
    return Features(rows, channels, shrunk, one, 0 * one, False)


def _channelwise(values: np.ndarray) -> np.ndarray:
    return values.reshape(1, -1, 1, 1).astype(np.float32)
