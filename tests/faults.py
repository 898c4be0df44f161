"""What programs do to files, one operation after the other, and something that befalls one of them.

    python -m tests.faults FOLDER N train.py -c conf.yml ...

runs a program that is killed (SIGKILL) at the N-th operation on a file below FOLDER.
"""

import builtins
import contextlib
import io
import os
import runpy
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Strike = Callable[[str, str], None]  # takes the operation's name and the file's

RENAMES = ("rename", "replace")
OF_NAMES = ("mkdir", "unlink", "remove", "rmdir")


class Written:
    """A file open for writing, of which half is on the disk when something happens."""

    def __init__(self, file: Any, path: str, strike: Strike):
        self._file, self._path, self._strike = file, path, strike

    def write(self, data: Any) -> int:
        half = len(data) // 2
        self._file.write(data[:half])
        self._file.flush()
        self._strike("write", self._path)
        self._file.write(data[half:])
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "Written":
        self._file.__enter__()
        return self

    def __exit__(self, *raised: Any) -> Any:
        return self._file.__exit__(*raised)


@contextlib.contextmanager
def struck(folder: Path, strike: Strike) -> Iterator[None]:
    """strike is called before each operation of this process on files below `folder`.

    Of those that Python does: files opened for writing, written, flushed, renamed, removed, and
    folders made. What libraries do in C++ is not seen.
    """
    below = os.path.join(os.path.realpath(folder), "")
    originals = {name: getattr(os, name) for name in (*RENAMES, *OF_NAMES, "fsync")}
    opened = builtins.open

    def is_below(path: str) -> bool:
        return os.path.join(os.path.realpath(path), "").startswith(below)

    def open_struck(file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        path = os.fspath(file) if isinstance(file, str | os.PathLike) else ""
        if not path or not set(mode) & set("wax+") or not is_below(path):
            return opened(file, mode, *rest, **more)
        strike("open", path)
        return Written(opened(file, mode, *rest, **more), path, strike)

    def on_names(name: str) -> Callable[..., Any]:
        def operation(path: Any, *rest: Any, **more: Any) -> Any:
            # Of what rmtree removes the names alone are known, and a folder's descriptor.
            if "dir_fd" not in more and is_below(path):
                strike(name, os.fspath(path))
            return originals[name](path, *rest, **more)

        return operation

    def fsync(file: Any) -> None:
        descriptor = file if isinstance(file, int) else file.fileno()
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if is_below(path):
            strike("fsync", path)
        originals["fsync"](file)

    try:
        builtins.open = io.open = open_struck  # type: ignore[assignment]
        for name in (*RENAMES, *OF_NAMES):
            setattr(os, name, on_names(name))
        os.fsync = fsync
        yield
    finally:
        builtins.open = io.open = opened
        for name, original in originals.items():
            setattr(os, name, original)


class Fault:
    """A strike that raises an OSError at the n-th operation, and at all after it if it `stays`."""

    def __init__(self, number: int, error: int, stays: bool = False):
        self.number, self.error, self.stays = number, error, stays
        self.seen: list[str] = []

    def __call__(self, operation: str, path: str) -> None:
        self.seen.append(f"{operation} {path}")
        if len(self.seen) == self.number or (self.stays and len(self.seen) > self.number):
            raise OSError(self.error, os.strerror(self.error), path)

    @property
    def happened(self) -> bool:
        return len(self.seen) >= self.number


class Kill:
    """A strike that kills the process at the n-th operation, having said at which."""

    def __init__(self, number: int):
        self.left = number

    def __call__(self, operation: str, path: str) -> None:
        self.left -= 1
        if not self.left:
            os.write(2, f"\nkilled at: {operation} {path}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    folder, number, program, *arguments = sys.argv[1:]
    sys.argv = [program, *arguments]
    with struck(Path(folder), Kill(int(number))):
        runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()
