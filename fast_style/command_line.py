"""Common flags of the programs, errors in one line, and Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from fast_style.errors import UserError
from fast_style.hardware import PRECISIONS


class OneLineParser(argparse.ArgumentParser):
    """An ArgumentParser that raises UserError for a wrong flag.

    The program name of a package is its command, and not `__main__.py` as in argparse before Python
    3.14.
    """

    def __init__(self, **options: Any) -> None:
        script = Path(sys.argv[0])
        if script.name == "__main__.py":
            options.setdefault("prog", f"python -m fast_style.{script.parent.name}")
        super().__init__(**options)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; {self.prog} --help lists the flags")


def number_of_bytes(text: str) -> int:
    """Returns the value of a flag such as 4GB, 500MB or 1e9. Raises ArgumentTypeError."""
    units = {"GB": 1e9, "MB": 1e6, "": 1.0}
    unit = next(unit for unit in units if text.upper().endswith(unit))
    with contextlib.suppress(ValueError):
        value = float(text[: len(text) - len(unit)]) * units[unit]
        if 1 <= value < math.inf:
            return int(value)
    raise argparse.ArgumentTypeError(f"{text!r} is not an amount of memory, such as 4GB")


def _number(
    kind: type, at_least: float, at_most: float = sys.float_info.max
) -> Callable[[str], Any]:
    """Returns a function from the text of a flag to a number; it raises ArgumentTypeError."""
    called = "a whole number" if kind is int else "a number"
    limits = f"at least {at_least}" if at_most > 1 else f"between {at_least} and {at_most}"

    def number(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not {called}") from None
        if not at_least <= value <= at_most:
            raise argparse.ArgumentTypeError(f"{text} is not {limits}")
        return value

    return number


at_least_0 = _number(float, 0)
at_least_1 = _number(int, 1)
unit_interval = _number(float, 0, 1)
factor = _number(float, 0.5)
STYLE_HELP = "of several styles: candy, or candy=0.6,wave=0.4; with --model any: painting.jpg"
minutes = _number(float, 0.1)


def add_stylization_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of every program that stylizes; Stylization.from_flags reads them."""
    parser.add_argument("--strength", type=unit_interval, default=1.0, help="0 to 1: how much")
    parser.add_argument("--preserve-color", action="store_true", help="keep the content's colours")
    parser.add_argument(
        "--max-size", type=at_least_1, help="shrink the long side to this many pixels"
    )
    parser.add_argument(
        "--scale", type=factor, default=1.0, help="how many times larger strokes are: 0.5 or more"
    )
    parser.add_argument("--runtime", default="auto", choices=["auto", "tensorflow", "openvino"])
    parser.add_argument(
        "--precision",
        default="auto",
        choices=PRECISIONS,
        help="int8 is fast on CPUs, and needs OpenVINO; see docs/stylize.md",
    )


def add_mask_flag(parser: argparse.ArgumentParser) -> None:
    """Adds the flag of programs that stylize pictures; they read the mask later."""
    parser.add_argument(
        "--mask",
        help="picture: white is stylized, black stays, grey is stylized in part; it needs the "
        "proportions of each picture, and is scaled to its size",
    )


def add_protect_faces_flag(parser: argparse.ArgumentParser) -> None:
    """Adds the flag of programs that stylize pictures; portraits.protection applies it."""
    parser.add_argument(
        "--protect-faces",
        type=unit_interval,
        default=0.0,
        metavar="0..1",
        help="how much less strength faces get; needs fast-style[portraits]",
    )


def add_set_flag(parser: argparse.ArgumentParser) -> None:
    """Adds the flag of programs that load confs; args.overrides is for load_config."""
    parser.add_argument(
        "--set",
        action="append",
        metavar="KEY=VALUE",
        default=[],
        dest="overrides",
        help="another value for a key of the conf; may be given several times",
    )


def exit_on_user_error(main: Callable[[], int | None]) -> None:
    """Runs a program's main function and exits. A UserError is one line on stderr, and status 2.

    So is an OSError, for example if the disk that stdout is written to is full.
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
    """Prints the message as one line on stderr; returns the exit status 2."""
    try:
        sys.stdout.flush()
    except OSError:  # otherwise Python tries again at exit, and prints a traceback
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return 2


@contextlib.contextmanager
def interruption() -> Iterator[list[int]]:
    """Yields a list that is empty until Ctrl-C, so that a loop can finish its current step.

    A second Ctrl-C stops at once.
    """
    interrupted: list[int] = []

    def on_sigint(signum, _frame):
        if interrupted:
            raise KeyboardInterrupt
        interrupted.append(signum)

    try:
        previous = signal.signal(signal.SIGINT, on_sigint)
    except ValueError:  # only the main thread can handle signals
        yield interrupted
        return
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, previous)
