"""Measure how fast this machine trains and stylizes, compared with its peak.

python -m fast_style.benchmark stylize                 # a pass, by size, runtime and precision
python -m fast_style.benchmark train                   # a training step, by loss network
python -m fast_style.benchmark memory                  # the peak memory of eval.py
python -m fast_style.benchmark startup                 # from the shell to the result
python -m fast_style.benchmark stylize --against "python other.py {input} {output}"
python -m fast_style.benchmark stylize --against-pytorch   # or train: PyTorch's example

The compared tasks alternate in one run, and the results are medians, as a machine's speed drifts.
"""

import datetime
import json
from pathlib import Path
from typing import Any

from fast_style import hardware
from fast_style.command_line import STYLE_HELP, OneLineParser, at_least_1, exit_on_user_error
from fast_style.errors import UserError, check_installed
from fast_style.files import write_atomically
from fast_style.model_folder.layout import find_model_folder
from fast_style.model_folder.model import read_model

SIZES = {
    "stylize": [256, 512, 1024, 2048],
    "train": [256],
    "memory": [512, 1024, 2048],
    "startup": [512],
}


def table(records: list[dict[str, Any]]) -> str:
    """Returns records of the same keys as lines of text, below a line of the keys."""
    cells = [list(records[0]), *([_formatted(*entry) for entry in r.items()] for r in records)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    )


def _formatted(key: str, value: Any) -> str:
    if value is None:
        return ""
    if key == "bytes":
        return f"{value / 1e9:.2f}e9"
    if key.endswith("fraction"):
        return f"{value:.0%}"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def main() -> None:
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=list(SIZES))
    parser.add_argument("--model", default="candy", help="whose network stylizes or is trained")
    parser.add_argument("--style", help=f"{STYLE_HELP}; default: its first")
    parser.add_argument(
        "--precision",
        default="auto",
        choices=hardware.PRECISIONS,
        help="stylize: only this one; default: all, or in comparisons eval.py's default",
    )
    parser.add_argument("--sizes", type=at_least_1, nargs="+", help="sides of the square pictures")
    parser.add_argument("--batch-size", type=at_least_1, default=4, help="of a training step")
    parser.add_argument("--rounds", type=at_least_1, default=5, help="of which the medians count")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--against", metavar="CMD", help="stylize: another program to time as well")
    other.add_argument(
        "--against-pytorch",
        action="store_true",
        help="stylize, train: PyTorch's fast_neural_style example to time as well",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    args = parser.parse_args()
    if args.against is not None and args.what != "stylize":
        raise UserError(f"--against goes with stylize, not with {args.what}")
    if args.precision != "auto" and args.what != "stylize":
        raise UserError(f"--precision goes with stylize, not with {args.what}")
    if args.against_pytorch:
        if args.what not in ("stylize", "train"):
            raise UserError(f"--against-pytorch goes with stylize and train, not with {args.what}")
        check_installed("--against-pytorch needs", "benchmark", "torch")

    if args.what == "train":
        hardware.start_tensorflow()
    else:
        hardware.start_tensorflow_to_stylize()
    from fast_style.benchmark import networks, programs
    from fast_style.stylize.stylizer import chosen_runtime

    chosen_runtime("auto", args.precision)  # raises UserError if it is not there

    stylize, train = networks.stylize, networks.train
    if args.against_pytorch:
        from fast_style.benchmark import against_pytorch  # needs PyTorch

        stylize, train = against_pytorch.stylize, against_pytorch.train
    sizes, rounds, precision = args.sizes or SIZES[args.what], args.rounds, args.precision
    folder = find_model_folder(args.model)
    if args.what == "train":
        network = read_model(folder).architecture.name
        records = train(network, sizes[0], args.batch_size, rounds)
    else:
        style = args.style or next(iter(read_model(folder).styles), None)
        if style is None:
            raise UserError(f"--model {args.model}: takes any style; --style names a style image")
        if args.against is not None:
            records = programs.against(args.against, folder, style, sizes, rounds, precision)
        elif args.what == "stylize":
            records = stylize(folder, style, sizes, rounds, precision)
        elif args.what == "memory":
            records = programs.memory(folder, style, sizes)
        else:
            records = programs.startup(folder, style, sizes[0], rounds)
    machine, date = hardware.describe(), datetime.datetime.now(datetime.UTC).date().isoformat()
    print(f"{machine}, {date}")
    print(table(records))
    if args.json is not None:
        compares = args.against is not None or args.against_pytorch
        measured = "against" if compares else args.what
        report = {"machine": machine, "date": date, measured: records}
        write_atomically(args.json, json.dumps(report, indent=2).encode())


if __name__ == "__main__":
    exit_on_user_error(main)
