"""One training at a time in a model folder."""

import contextlib
import os
import socket
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from absl import logging

from fast_style.errors import UserError, naming_os_errors
from fast_style.files import make_folder

LOCK = "training.lock"


@contextlib.contextmanager
def training_lock(folder: Path) -> Iterator[None]:
    """Holds the lock of a model folder during the block. Makes the folder if it does not exist.

    The operating system releases the lock when the process ends. The lock's file remains, because
    another process may have opened it. Raises UserError, which names the owner, if another training
    holds the lock, and if nothing can be written.
    """
    make_folder(folder)
    path = folder / LOCK
    with naming_os_errors(path, "written"):
        file = open(path, "ab+", buffering=0)  # noqa: SIM115
    with file:
        _lock(file, folder)
        with naming_os_errors(path, "written"):
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield


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
        logging.warning("%s: cannot be locked (%s); start no other training in it", folder, error)
