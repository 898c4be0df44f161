"""Reads files, fetches them, and writes files completely or not at all."""

import contextlib
import errno
import os
import secrets
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from fast_style import __version__
from fast_style.errors import UserError, naming_os_errors, reason

UNFINISHED_FILES = ".*.tmp"  # what a killed program leaves behind
SECONDS_OF_SILENCE = 60  # after which a server is given up


def read_bytes(path: str | os.PathLike[str], at_most: int | None = None) -> bytes:
    """Returns the bytes of a file.

    Raises UserError that names the file if it is missing, a folder or unreadable, or has more than
    at_most bytes.
    """
    try:
        with open(path, "rb") as file:
            if at_most is None:
                return file.read()
            status = os.fstat(file.fileno())
            # A pipe or a device has no size, and a file may grow.
            expected = status.st_size if stat.S_ISREG(status.st_mode) else at_most
            data = file.read(min(expected, sys.maxsize - 1) + 1) if expected <= at_most else b""
            if max(expected, len(data)) > at_most:
                raise UserError(f"{path}: is too large; at most {at_most:,} bytes are read")
            return data
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder; name a file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {reason(error)}") from error
    except ValueError as error:  # a null character in the name
        raise UserError(f"{path!r}: is not a file name: {error}") from error


def downloads() -> Path:
    """Returns the folder where fetched files are kept, in the Keras home folder."""
    return Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "fast_style"


def fetched(url: str, at_most: int, otherwise: str) -> bytes:
    """Returns the bytes at a URL.

    otherwise: the end of the message, what to do if they cannot be fetched. Raises UserError then,
    also if there are more than at_most bytes.
    """
    # They take 0.1 s to import, which only a program that fetches should wait for.
    import http.client
    import urllib.request

    print(f"fetching {url}")
    opener = urllib.request.build_opener()
    # Wikimedia refuses clients that do not name themselves.
    opener.addheaders = [("User-Agent", f"fast-style/{__version__}")]
    try:
        with opener.open(url, timeout=SECONDS_OF_SILENCE) as response:
            data = response.read(at_most + 1)
            if len(data) > at_most:
                raise ValueError(f"more than {at_most // 10**6} MB")
            announced = response.headers["Content-Length"]
            if announced is not None and int(announced) != len(data):
                raise ValueError(f"received {len(data)} of {announced} bytes")
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise UserError(f"{url} cannot be fetched ({reason(error)[:200]}); {otherwise}") from error
    return data


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes a file completely or not at all. Raises UserError as `replacement` does."""
    with replacement(path) as temporary, open(temporary, "xb") as file:
        file.write(data)


def write_temporary(file: IO[bytes], data: bytes | memoryview) -> None:
    """Writes to a tempfile.TemporaryFile. Raises UserError if the disk is full."""
    try:
        file.write(data)
        file.flush()
    except OSError as error:
        # Python would try again when it deletes the file, and print that error.
        with contextlib.suppress(OSError):
            file.close()
        raise UserError(
            f"{tempfile.gettempdir()}: cannot be written: {error.strerror}; "
            "set TMPDIR to another folder"
        ) from None


@contextlib.contextmanager
def replacement(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a hidden temporary file in the folder of `path`, for the block to write.

    After the block, the file is flushed to the disk and replaces `path` in one step. If the block
    fails, the file is removed. A power cut before the end leaves the old file or the new one, and
    later the new one. Raises UserError that names the file if the folder is missing, `path` may
    not be replaced, or the disk refuses the data.
    """
    target = check_target(path)
    # Not made from the target's name, which may already be as long as a name can be.
    temporary = target.parent / f".{secrets.token_hex(8)}.tmp"
    with naming_os_errors(path, "written"):
        try:
            yield temporary
            flush(temporary)
            os.replace(temporary, target)
            flush_folder(target.parent)
        except BaseException:
            with contextlib.suppress(OSError):  # it would hide the first error
                temporary.unlink()
            raise


def check_target(path: str | os.PathLike[str]) -> Path:
    """Returns the file that `replacement` would replace or create.

    Raises UserError if its folder is missing or the file may not be replaced.
    """
    # A link stays; the file that it points to is replaced.
    target = Path(os.path.realpath(path))
    with naming_os_errors(path, "written"):
        target.exists()  # raises for a name that is longer than the disk allows
    if target.is_dir():
        raise UserError(f"{path}: is a folder; name a file")
    if not target.parent.is_dir():
        raise UserError(f"{path}: there is no folder {target.parent}")
    if target.exists() and not target.is_file():
        raise UserError(f"{path}: is not a regular file")
    # A rename checks the permissions of the folder alone, and would replace a protected file.
    if target.exists() and not os.access(target, os.W_OK):
        raise UserError(f"{path}: is read-only; choose another name")
    return target


def flush(path: Path) -> None:
    """Flushes a file, or a folder and everything below it, to the disk. Raises OSError."""
    for one in [path, *path.rglob("*")]:
        if one.is_dir():
            flush_folder(one)
        else:
            with open(one, "rb+") as file:
                os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Flushes the names in a folder to the disk, if the file system can do that."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # a folder that may not be listed, and every folder on Windows
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems
            raise
    finally:
        os.close(descriptor)


def make_folder(path: str | os.PathLike[str]) -> None:
    """Creates a folder and its parents. Raises UserError that names it if that is refused."""
    with naming_os_errors(path, "made"):
        Path(path).mkdir(parents=True, exist_ok=True)
