"""The database of people: names and the codes of their faces. It contains no pictures.

In memory, people are a dict: for each name the (N, 128) float32 codes of N pictures.
"""

import contextlib
import os
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from fast_style.errors import UserError, printable
from fast_style.model_folder.npz import read_arrays, write_arrays
from fast_style.portraits.faces import CODE_SIZE, Encoder

LONGEST_NAME = 200


def distances(people: Mapping[str, np.ndarray], code: np.ndarray) -> dict[str, float]:
    """Returns for each name the distance of the nearest of the person's codes to a (128,) code."""
    return {
        name: float(np.linalg.norm(codes - code, axis=-1).min()) for name, codes in people.items()
    }


def read_people(path: Path, encoder: Encoder) -> dict[str, np.ndarray]:
    """Reads a database. Raises UserError if it is damaged, or of another encoder."""
    arrays = read_arrays(path)
    names, codes, of = (arrays.get(key, np.zeros(())) for key in ("names", "codes", "encoder"))
    kinds = names.dtype.kind + codes.dtype.kind + of.dtype.kind
    is_whole = kinds == "UfU" and names.ndim == 1 and names.size and of.ndim == 0
    if not (is_whole and codes.shape == (len(names), CODE_SIZE) and np.isfinite(codes).all()):
        raise UserError(f"{path}: is damaged or not a database of people")
    if str(of) != encoder.name:
        raise UserError(
            f"{path}: has codes of the encoder {of}, which cannot be compared with those of "
            f"{encoder.name}; --encoder chooses the encoder"
        )
    return {str(name): codes[names == name].astype(np.float32) for name in np.unique(names)}


def one_form(name: str) -> str:
    """Returns a name in the form in which it is stored, however a keyboard composes its letters."""
    return unicodedata.normalize("NFC", name).strip()


def check_name(name: str) -> None:
    """Raises UserError if the database cannot have a person of this name."""
    if not name or name != one_form(printable(name)) or len(name) > LONGEST_NAME:
        raise UserError(f"{name!r}: is not a name of 1 to {LONGEST_NAME} printable characters")


@contextlib.contextmanager
def adding_to(path: Path, encoder: Encoder) -> Iterator[dict[str, np.ndarray]]:
    """Yields the people of a database, or none if it does not exist, and writes them afterwards.

    Two programs take turns, so that neither loses what the other one adds. Raises UserError.
    """
    with _turn(path.parent):
        people = read_people(path, encoder) if path.exists() else {}
        yield people
        write_people(path, encoder, people)


@contextlib.contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Waits until no other program has its turn in a folder, where the system has such locks."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            opened = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, opened)
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def write_people(path: Path, encoder: Encoder, people: Mapping[str, np.ndarray]) -> None:
    """Writes a database of at least one person, whole or not at all. Raises UserError."""
    for name in people:
        check_name(name)
    names = np.repeat(list(people), [len(codes) for codes in people.values()])
    codes = np.concatenate(list(people.values()))
    write_arrays(path, {"names": names, "codes": codes, "encoder": np.array(encoder.name)})
