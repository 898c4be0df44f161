"""One training at a time in a model folder."""

import contextlib
import os
import socket
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from absl import logging

from fast_style.errors import UserError
from fast_style.files import make_folder

LOCK = "training.lock"


@contextlib.contextmanager
def training_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a model folder in the block; make the folder where it does not exist.

    The system releases the lock when its process ends, however it ends. Raises UserError, which
    names the owner, where another training holds the lock, and where nothing can be written.
    """
    make_folder(folder)
    path = folder / LOCK
    with _locked(path) as file:
        try:
            _sign(file, path)
            yield
        finally:
            with contextlib.suppress(OSError):  # the folder may be gone by now
                if _is_at(file, path):
                    path.unlink()


def _locked(path: Path) -> FileIO:
    while True:
        try:
            file = open(path, "ab+", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise UserError(f"{path}: cannot be written: {error.strerror or error}") from error
        try:
            _lock(file, path.parent)
        except UserError:
            file.close()
            raise
        # Its owner may have removed it after it was opened here, and a third made a new one.
        if _is_at(file, path):
            return file
        file.close()


def _lock(file: FileIO, folder: Path) -> None:
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        owner = file.read().decode(errors="replace") or "another process"
        raise UserError(
            f"{folder}: {owner} is training it; wait for its end, or give the conf another naming"
        ) from None
    except (OSError, ImportError) as error:  # some network file systems, and Windows
        logging.warning("%s: cannot be locked (%s); let no other training into it", folder, error)


def _sign(file: FileIO, path: Path) -> None:
    try:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from error


def _is_at(file: FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
