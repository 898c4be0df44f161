"""Errors that the user of a program can correct."""

import contextlib
import difflib
from collections.abc import Iterable, Iterator
from importlib.util import find_spec

LONGEST = 1500  # letters of a message
PACKAGES = {"cv2": "opencv-python-headless"}  # of modules that are called otherwise


class UserError(Exception):
    """Something the person at the keyboard can put right.

    The message is one line that names the file, the key or flag, the value, and what would have
    been right. Programs print it to stderr and exit with status 2.
    """

    def __init__(self, message: object) -> None:
        super().__init__(_shortened(printable(str(message))))


@contextlib.contextmanager
def naming(what: object) -> Iterator[None]:
    """Put `what` and a colon before the message of a UserError that the block raises."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{what}: {error}") from error


@contextlib.contextmanager
def naming_os_errors(file: object, done: str) -> Iterator[None]:
    """Make a UserError that names the file of an OSError that the block raises.

    done: what cannot be done with the file, such as "written".
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"{file}: cannot be {done}: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """What went wrong, in the words of the system or the library."""
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__


def _shortened(line: str) -> str:
    # A value of a megabyte is not what a person looks for in a message.
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} ... {line[-LONGEST // 3 :]}"


def printable(text: str) -> str:
    """The text as one line of a terminal, whatever a file's name holds: codes are spelt out."""
    return "".join(
        letter if letter.isprintable() else " " if letter.isspace() else ascii(letter)[1:-1]
        for letter in text
    )


def check_installed(beginning: str, extra: str, *modules: str) -> None:
    """Raise UserError where a module of an optional extra is missing.

    beginning: of the message, such as "curves need". extra: of fast-style, such as "gatys".
    """
    missing = [PACKAGES.get(module, module) for module in modules if not find_spec(module)]
    if missing:
        raise UserError(f"{beginning} {', '.join(missing)}: pip install 'fast-style[{extra}]'")


def nearest(wrong: str, valid: Iterable[str]) -> str:
    """The part of a message that names the likeliest correction, or everything there is."""
    valid = list(valid)
    close = difflib.get_close_matches(wrong, valid, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"one of: {', '.join(valid)}"
