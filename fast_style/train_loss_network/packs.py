"""Reads packs: Parquet files of labelled, encoded pictures."""

import contextlib
import functools
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from fast_style.errors import UserError
from fast_style.hardware import usable_cores

SCHEMA = pa.schema(
    [
        pa.field("set", pa.string(), nullable=False),
        pa.field("class", pa.string(), nullable=False),
        pa.field("validation", pa.bool_(), nullable=False),  # these are never trained on
        pa.field("picture", pa.binary(), nullable=False),  # the bytes of a picture file
    ]
)
DECODED_AT_ONCE = 4096


@dataclass(frozen=True)
class Classes:
    """The classes of all sets. names: (set, class) for each label."""

    names: list[tuple[str, str]]

    @property
    def sets(self) -> list[str]:
        """The names of the sets, in the order of the labels."""
        return list(dict.fromkeys(name for name, _ in self.names))

    def set_of_label(self) -> list[int]:
        """Returns the index in `sets` for each label."""
        return [self.sets.index(name) for name, _ in self.names]


@dataclass(frozen=True)
class Decoded:
    """Some pictures, either to train on or for validation."""

    pixels: np.ndarray  # (P, 3) uint8, the rows of all pictures one after the other
    sizes: np.ndarray  # (N, 2) int64 heights and widths
    labels: np.ndarray  # (N,) int64
    validation: bool


def read_classes(pack: Path) -> Classes:
    """Reads the classes of a pack. Raises UserError."""
    with _opened(pack) as file:
        columns = file.read(["set", "class"])
        return Classes(sorted(set(zip(*(c.to_pylist() for c in columns.columns), strict=True))))


def decoded(pack: Path) -> Iterator[Decoded]:
    """Decodes the pictures of a pack.

    Raises UserError, naming the file, for a pack or a picture that is damaged.
    """
    labels = {name: label for label, name in enumerate(read_classes(pack).names)}
    with _opened(pack) as file, ThreadPoolExecutor(usable_cores()) as pool:
        for table in file.iter_batches(DECODED_AT_ONCE):
            rows = table.to_pylist()
            for held_out in (False, True):
                chosen = [row for row in rows if row["validation"] == held_out]
                if chosen:
                    pictures = list(pool.map(functools.partial(_decode, pack), chosen))
                    yield Decoded(
                        np.concatenate([rgb.reshape(-1, 3) for rgb in pictures]),
                        np.array([rgb.shape[:2] for rgb in pictures]),
                        np.array([labels[row["set"], row["class"]] for row in chosen]),
                        held_out,
                    )


@contextlib.contextmanager
def _opened(pack: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(pack) as file:
            if not file.schema_arrow.equals(SCHEMA):
                raise ValueError("it has other columns")
            yield file
    except (OSError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), "")
        raise UserError(
            f"--data {pack}: is not a pack, which python -m fast_style.train_loss_network.pack "
            f"makes: {reason}"
        ) from None


def _decode(pack: Path, row: dict) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(row["picture"])) as image:
            return np.asarray(image.convert("RGB"))
    except Exception as error:  # on damaged bytes Pillow's readers raise nearly anything
        raise UserError(
            f"--data {pack}: a picture of {row['set']}/{row['class']} is damaged: {error}"
        ) from None
