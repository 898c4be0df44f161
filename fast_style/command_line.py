"""What all programs share: common flags, errors in one line, and Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from fast_style.errors import UserError

if TYPE_CHECKING:
    from fast_style.stylize.stylization import Stylization


class OneLineParser(argparse.ArgumentParser):
    """An ArgumentParser that raises UserError for a wrong flag, so that it is one line too.

    A program that is a package is called by its command, not `__main__.py` as argparse does before
    Python 3.14.
    """

    def __init__(self, **options: Any) -> None:
        script = Path(sys.argv[0])
        if script.name == "__main__.py":
            options.setdefault("prog", f"python -m fast_style.{script.parent.name}")
        super().__init__(**options)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; {self.prog} --help lists the flags")


def at_least_1(text: str) -> int:
    """The value of a flag that counts something. Raises ArgumentTypeError."""
    if _number(text, int, "a whole number") < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return int(text)


def number_of_bytes(text: str) -> int:
    """The value of a flag such as 4GB, 500MB or 1e9. Raises ArgumentTypeError."""
    for ending, factor in {"GB": 1e9, "MB": 1e6, "": 1.0}.items():
        if text.upper().endswith(ending):
            try:
                value = float(text[: len(text) - len(ending)]) * factor
            except ValueError:
                break
            if value >= 1:
                return int(value)
    raise argparse.ArgumentTypeError(f"{text!r} is not an amount of memory, such as 4GB")


def unit_interval(text: str) -> float:
    """The value of a flag between 0 and 1. Raises ArgumentTypeError."""
    if not 0 <= _number(text) <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return float(text)


def factor(text: str) -> float:
    """The value of a flag that enlarges, from 1 up. Raises ArgumentTypeError."""
    if not 1 <= _number(text) < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return float(text)


def _number(text: str, of: type[float] = float, called: str = "a number") -> float:
    try:
        return of(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not {called}") from None


def add_stylization_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of every program that stylizes: how, and on what."""
    parser.add_argument("--strength", type=unit_interval, default=1.0, help="0 to 1: how much")
    parser.add_argument("--preserve-color", action="store_true", help="keep the content's colours")
    parser.add_argument(
        "--max-size", type=at_least_1, help="shrink the long side to this many pixels"
    )
    parser.add_argument("--scale", type=factor, default=1.0, help="strokes so many times larger")
    parser.add_argument("--runtime", default="auto", choices=["auto", "tensorflow", "openvino"])
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])


def add_mask_flag(parser: argparse.ArgumentParser) -> None:
    """A flag of programs that stylize pictures; they read the mask when they read pictures."""
    parser.add_argument(
        "--mask",
        help="picture: what is white is stylized, black stays, grey is stylized in part; of the "
        "proportions of each picture, and scaled to its size",
    )


def add_set_flag(parser: argparse.ArgumentParser) -> None:
    """The flag of programs that load confs; args.overrides is what load_config takes."""
    parser.add_argument(
        "--set",
        action="append",
        metavar="KEY=VALUE",
        default=[],
        dest="overrides",
        help="another value for a key of the conf; may be given several times",
    )


def stylization(args: argparse.Namespace) -> Stylization:
    """The Stylization that the flags of add_stylization_flags ask for."""
    # Not at the top: it imports NumPy and Pillow, which not all programs need.
    from fast_style.stylize.stylization import Stylization

    return Stylization(args.strength, args.preserve_color, args.max_size, args.scale)


def exit_on_user_error(main: Callable[[], int | None]) -> None:
    """Run a program's main function; a UserError becomes one line on stderr and status 2.

    So does an OSError, such as that of a full disk that stdout is written to.
    """
    try:
        status = main()
        sys.stdout.flush()
    except UserError as error:
        status = print_error(str(error))
    except OSError as error:
        if error.errno is None:
            raise
        status = print_error(
            ": ".join(str(part) for part in (error.filename, error.strerror) if part)
        )
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    sys.exit(status)


def print_error(message: str) -> int:
    """Print the message as one line on stderr; the exit status 2."""
    try:
        sys.stdout.flush()
    except OSError:  # else Python tries once more at its end, and adds a traceback
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return 2


@contextlib.contextmanager
def interruption() -> Iterator[list[int]]:
    """Yield a list that is empty until Ctrl-C, so that a loop can finish its current step and end.

    A second Ctrl-C stops at once.
    """
    interrupted: list[int] = []

    def on_sigint(signum, _frame):
        if interrupted:
            raise KeyboardInterrupt
        interrupted.append(signum)

    try:
        previous = signal.signal(signal.SIGINT, on_sigint)
    except ValueError:  # not the main thread, where signals do not arrive
        yield interrupted
        return
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, previous)
