"""Stylize pictures: python eval.py --model models/candy --image in.jpg"""

from pathlib import Path

from fast_style.command_line import (
    STYLE_HELP,
    OneLineParser,
    add_mask_flag,
    add_protect_faces_flag,
    add_stylization_flags,
    exit_on_user_error,
    number_of_bytes,
)


def main() -> int:
    parser = OneLineParser(description="Stylize pictures with a trained model.")
    parser.add_argument("--model", required=True, help="model folder, such as models/candy")
    parser.add_argument("--image", required=True, nargs="+", help="pictures, folders or globs")
    parser.add_argument("--output", type=Path, help="file (for one picture) or folder")
    parser.add_argument("--style", help=STYLE_HELP)
    add_stylization_flags(parser)
    add_mask_flag(parser)
    add_protect_faces_flag(parser)
    parser.add_argument(
        "--max-memory", type=number_of_bytes, help="such as 4GB; default: the free memory"
    )
    parser.add_argument("--allow-huge", action="store_true", help="over 179 million pixels")
    parser.add_argument(
        "--overwrite", action="store_true", help="allow a result to replace one of the pictures"
    )
    args = parser.parse_args()

    # Imported after the flags, so that a wrong flag is reported at once.
    from fast_style.stylize.files import stylize_files
    from fast_style.stylize.stylization import Stylization

    return stylize_files(
        args.model,
        args.image,
        args.output,
        Stylization.from_flags(args),
        mask=args.mask,
        runtime=args.runtime,
        precision=args.precision,
        style=args.style,
        max_memory=args.max_memory,
        allow_huge=args.allow_huge,
        overwrite=args.overwrite,
    )


if __name__ == "__main__":
    exit_on_user_error(main)
