"""Stylize a collection: python -m fast_style.batch --model models/candy --input photos --output out

Uses all cores of this machine, or through Ray its GPUs, or the cluster that --address names. The
same command continues a run that was stopped.
"""

import argparse
import os

from fast_style.command_line import (
    STYLE_HELP,
    OneLineParser,
    add_mask_flag,
    add_protect_faces_flag,
    add_stylization_flags,
    at_least_1,
    exit_on_user_error,
)


def gpus(text: str) -> float:
    """The value of a flag: at most 1, or a whole number. Raises ArgumentTypeError, ValueError."""
    value = float(text)
    if (not 0 <= value <= 1 and not value.is_integer()) or value < 0:
        raise argparse.ArgumentTypeError(f"{text} is neither between 0 and 1 nor a whole number")
    return value


def main() -> int:
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", required=True, nargs="+", help="model folders")
    parser.add_argument(
        "--style", action="append", default=[], help=f"{STYLE_HELP}; may be repeated"
    )
    parser.add_argument(
        "--input", required=True, nargs="+", help="pictures, folders, globs, *.parquet, or URLs"
    )
    parser.add_argument("--output", required=True, help="folder, or URL of a folder")
    parser.add_argument("--image-column", default="bytes", help="Parquet: encoded pictures")
    parser.add_argument("--name-column", default="name", help="Parquet: their file names")
    add_stylization_flags(parser)
    add_mask_flag(parser)
    add_protect_faces_flag(parser)
    parser.add_argument("--allow-huge", action="store_true", help="read over 179 million pixels")
    parser.add_argument(
        "--address",
        default=os.environ.get("RAY_ADDRESS") or None,
        help="Ray cluster: ray://HOST:10001, auto on a machine of it, or local for a new one",
    )
    parser.add_argument("--actors", type=at_least_1, help="default: as many as fit")
    parser.add_argument("--cpus-per-actor", type=at_least_1, help="default: one to four")
    parser.add_argument("--gpus-per-actor", type=gpus, help="default: 1 if there are GPUs")
    args = parser.parse_args()

    from fast_style.batch.run import stylize_collection
    from fast_style.stylize.stylization import Stylization

    return stylize_collection(
        args.model,
        args.input,
        args.output,
        Stylization.from_flags(args),
        mask=args.mask,
        styles=args.style,
        image_column=args.image_column,
        name_column=args.name_column,
        address=args.address,
        actors=args.actors,
        cpus_per_actor=args.cpus_per_actor,
        gpus_per_actor=args.gpus_per_actor,
        runtime=args.runtime,
        precision=args.precision,
        allow_huge=args.allow_huge,
    )


if __name__ == "__main__":
    exit_on_user_error(main)
