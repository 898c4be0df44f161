"""Arrays in .npz files, which may come from anybody: no pickle, bounded memory, no NaN."""

import io
import zipfile
from pathlib import Path

import numpy as np

from fast_style.errors import UserError
from fast_style.files import write_atomically

MOST_BYTES = 1 << 30  # of all arrays together; the largest loss network has 0.6 GB
MOST_ARRAYS = 10_000
LARGEST_WEIGHT = 1e4  # trained networks stay below 100, and float32 does not overflow from these
_KINDS = "fiubU"  # numbers, booleans, and the text of a header


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes an uncompressed .npz, whole or not at all. Raises UserError."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_atomically(path, buffer.getvalue())


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Returns the arrays of an .npz by name. Does not run pickled code.

    Raises UserError for a file that is missing, damaged, or of more than MOST_BYTES or MOST_ARRAYS,
    which are checked before it is inflated.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except UserError:
        raise
    except Exception as error:  # on damaged bytes zipfile and NumPy raise nearly anything
        raise UserError(f"{path}: is damaged or not an .npz of arrays: {error}") from None


def _read(path: Path) -> dict[str, np.ndarray]:
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
                arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
                # zipfile checks the CRC only at the end of an entry.
                if file.read(1):
                    raise ValueError(f"{name} has more bytes than its dtype and shape need")
            if arrays[name].dtype.kind not in _KINDS:
                raise ValueError(f"{name} is of {arrays[name].dtype}, not of numbers")
    return arrays


def check_weights(arrays: dict[str, np.ndarray], where: str) -> None:
    """Raises UserError for an array that no trained network has: not finite, or beyond 1e4."""
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
