"""Files read, and files written whole or not at all."""

import contextlib
import errno
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from fast_style.errors import UserError, naming_os_errors, reason

UNFINISHED_FILES = ".*.tmp"  # a kill leaves one where it was being written


def read_bytes(path: str | os.PathLike[str], at_most: int | None = None) -> bytes:
    """All of a file. Raises UserError naming it when it is missing, a folder or unreadable.

    at_most: a file of more bytes is refused too, before it is read.
    """
    try:
        with open(path, "rb") as file:
            if at_most is None:
                return file.read()
            status = os.fstat(file.fileno())
            # A pipe or a device has no size, and what has one may grow.
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


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Put data into the file at path; whatever goes wrong, no half-written file is left.

    Raises UserError as replacement does.
    """
    with replacement(path) as temporary, open(temporary, "xb") as file:
        file.write(data)


@contextlib.contextmanager
def replacement(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The name of a hidden temporary file in the folder of `path`, for the block to write.

    After the block it is flushed to the disk and takes the place of the old file in one step;
    where the block fails, nothing of it is left. After a power cut there is the old file or the
    new one, whole, and after the return of this the new one. Raises UserError naming the file when
    the folder is missing, the target may not be replaced, or the disk refuses the data.
    """
    target = check_target(path)
    # Not made from the target's name, which may already be as long as a name can be.
    temporary = target.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        yield temporary
        flush(temporary)
        os.replace(temporary, target)
        flush_folder(target.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):  # that error would hide this one
            temporary.unlink()
        if isinstance(error, OSError):
            raise UserError(f"{path}: cannot be written: {reason(error)}") from error
        raise


def check_target(path: str | os.PathLike[str]) -> Path:
    """The file that `replacement` would replace or make.

    Raises UserError where the folder is missing or the file is not one that may be replaced.
    """
    # A link keeps pointing where it points: its target is what is replaced.
    target = Path(os.path.realpath(path))
    with naming_os_errors(path, "written"):
        target.exists()  # which a name does not that is longer than the disk allows
    if target.is_dir():
        raise UserError(f"{path}: is a folder; name a file")
    if not target.parent.is_dir():
        raise UserError(f"{path}: there is no folder {target.parent}")
    if target.exists() and not target.is_file():
        raise UserError(f"{path}: is not a regular file")
    # A rename asks only the folder, so a file that its owner protected would be lost.
    if target.exists() and not os.access(target, os.W_OK):
        raise UserError(f"{path}: is read-only; choose another name")
    return target


def flush(path: Path) -> None:
    """Have a file, or a folder and all below it, outlast a power cut. Raises OSError."""
    for one in [path, *path.rglob("*")]:
        if one.is_dir():
            flush_folder(one)
        else:
            with open(one, "rb+") as file:
                os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Have the names in a folder outlast a power cut, as far as the file system can do that."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # one that may be written but not listed, and any on Windows
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # of some network file systems
            raise
    finally:
        os.close(descriptor)


def make_folder(path: str | os.PathLike[str]) -> None:
    """Make a folder and those above it. Raises UserError naming it where that is refused."""
    with naming_os_errors(path, "made"):
        Path(path).mkdir(parents=True, exist_ok=True)
