"""Stylize pictures: python eval.py --model models/candy --image in.jpg"""

from pathlib import Path

from fast_style.command_line import (
    OneLineParser,
    at_least_1,
    exit_on_user_error,
    number_of_bytes,
    unit_interval,
)


def main() -> int:
    parser = OneLineParser(description="Stylize pictures with a trained model.")
    parser.add_argument("--model", required=True, help="model folder, such as models/candy")
    parser.add_argument("--image", required=True, nargs="+", help="pictures, folders or globs")
    parser.add_argument("--output", type=Path, help="file (for one picture) or folder")
    parser.add_argument("--style", help="of a model of several: candy, or candy=0.6,wave=0.4")
    parser.add_argument("--strength", type=unit_interval, default=1.0, help="0 to 1: how much")
    parser.add_argument("--preserve-color", action="store_true", help="keep the photo's colours")
    parser.add_argument(
        "--max-size", type=at_least_1, help="shrink the long side to this many pixels"
    )
    parser.add_argument("--scale", type=at_least_1, default=1, help="strokes so many times larger")
    parser.add_argument(
        "--max-memory", type=number_of_bytes, help="such as 4GB; default: what is free"
    )
    parser.add_argument("--allow-huge", action="store_true", help="more than 179 million pixels")
    parser.add_argument("--runtime", default="auto", choices=["auto", "tensorflow", "openvino"])
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    args = parser.parse_args()

    from fast_style.stylize_files import (
        stylize_files,  # after the flags: a wrong one is told at once
    )

    return stylize_files(
        args.model,
        args.image,
        args.output,
        runtime=args.runtime,
        precision=args.precision,
        style=args.style,
        max_memory=args.max_memory,
        allow_huge=args.allow_huge,
        strength=args.strength,
        preserve_color=args.preserve_color,
        max_size=args.max_size,
        scale=args.scale,
    )


if __name__ == "__main__":
    exit_on_user_error(main)
