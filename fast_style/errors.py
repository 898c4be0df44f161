"""The one way in which this program tells a person what went wrong."""

import argparse
import difflib
import sys
from collections.abc import Callable, Iterable
from typing import NoReturn


class UserError(Exception):
    """Something the person at the keyboard can put right.

    The message is one line that names the file, the key or flag, the value, and what would have
    been right. Programs print it to stderr and exit with status 2.
    """


class OneLineParser(argparse.ArgumentParser):
    """An ArgumentParser that tells a wrong flag in one line, as everything else is told."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; {self.prog} --help lists the flags")


def nearest(wrong: str, valid: Iterable[str]) -> str:
    """The part of a message that names the likeliest correction, or everything there is."""
    valid = list(valid)
    close = difflib.get_close_matches(wrong, valid, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"one of: {', '.join(valid)}"


def exit_on_user_error(main: Callable[[], int | None]) -> None:
    """Run a program's main function; a UserError becomes one line on stderr and status 2."""
    try:
        sys.exit(main())
    except UserError as error:
        message = " ".join(str(error).split())
        print(f"error: {message}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
