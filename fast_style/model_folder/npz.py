"""Arrays in .npz files, those of unknown origin too: no pickle, bounded memory, no NaN."""

import io
import math
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from fast_style.errors import UserError
from fast_style.files import write_atomically

MOST_BYTES = 1 << 30
"""Of all arrays together; the largest loss network has 0.6 GB."""

MOST_ARRAYS = 10_000

LARGEST_WEIGHT = 1e4
"""Networks that were trained stay below 100, and float32 does not overflow from these."""

# Numbers, truth values, and texts for a header.
_KINDS = "fiubU"


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """An uncompressed .npz, written whole or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_atomically(path, buffer.getvalue())


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz; UserError where it is missing or damaged. Never runs pickled code."""
    try:
        return read_npz(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except UserError:
        raise
    except Exception as error:  # on damaged bytes zipfile and NumPy raise nearly anything
        raise UserError(f"{path}: is damaged or not an .npz of arrays: {error}") from None


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz by their names. Runs no pickled code.

    Raises UserError for a file that says it is larger than MOST_BYTES, before any of it is
    inflated, and whatever NumPy and zipfile raise for damaged bytes.
    """
    arrays: dict[str, np.ndarray] = {}
    if path.stat().st_size > 2 * MOST_BYTES:
        raise UserError(
            f"{path}: has {path.stat().st_size:,} bytes; at most {2 * MOST_BYTES:,} are read"
        )
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        size = sum(entry.file_size for entry in entries)
        if size > MOST_BYTES or len(entries) > MOST_ARRAYS:
            raise UserError(
                f"{path}: holds {len(entries):,} arrays of {size:,} bytes; at most "
                f"{MOST_ARRAYS:,} of {MOST_BYTES:,} bytes are read"
            )
        for entry in entries:
            name = entry.filename.removesuffix(".npy")
            if name in arrays:
                raise ValueError(f"{name} is in it twice")
            with archive.open(entry) as file:
                arrays[name] = _array(file, name)
    return arrays


def _array(file: IO[bytes], name: str) -> np.ndarray:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    if dtype.kind not in _KINDS:
        raise ValueError(f"{name} is of {dtype}, not of numbers")
    content = file.read()
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(content):
        raise ValueError(f"{name} says {dtype} of shape {shape} and has {len(content):,} bytes")
    flat = np.frombuffer(content, dtype) if len(content) else np.empty(0, dtype)
    return flat.reshape(shape, order="F" if fortran else "C").copy()


def check_weights(arrays: dict[str, np.ndarray], where: str) -> None:
    """Raise UserError naming the array that no network can have: not finite, or beyond 1e4."""
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            raise UserError(f"{where}: {name} holds {array.dtype}; weights are floating-point")
        largest = float(np.abs(array).max(initial=0))
        if not np.isfinite(largest):
            raise UserError(f"{where}: {name} holds values that are not finite; fetch it again")
        if largest > LARGEST_WEIGHT:
            raise UserError(
                f"{where}: {name} holds values up to {largest:.3g}; those of a network are "
                f"at most {LARGEST_WEIGHT:g}"
            )
