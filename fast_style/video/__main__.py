"""Stylize a clip: python -m fast_style.video --model models/candy --input a.mp4 --output b.mp4"""

from argparse import ArgumentTypeError
from fractions import Fraction
from pathlib import Path

from fast_style.command_line import (
    OneLineParser,
    at_least_1,
    exit_on_user_error,
    unit_interval,
)
from fast_style.errors import UserError
from fast_style.video import check_installed


def seconds(text: str) -> Fraction:
    """The value of a flag such as 90, 1:30 or 0:01:30.5. Raises as argparse wants it."""
    total = Fraction(0)
    try:
        for part in text.split(":"):
            value = Fraction(part)
            if value < 0:
                raise ValueError
            total = 60 * total + value
    except (ValueError, ZeroDivisionError):
        raise ArgumentTypeError(f"{text!r} is not a time in seconds or as HH:MM:SS") from None
    return total


def main() -> None:
    parser = OneLineParser(description="Stylize a clip with a trained model; its sound stays.")
    parser.add_argument("--model", required=True, help="model folder, such as models/candy")
    parser.add_argument("--input", required=True, help="clip, /dev/video1, or webcam until Ctrl-C")
    parser.add_argument("--output", required=True, type=Path, help=".mp4, .m4v, .mov, .mkv, .webm")
    parser.add_argument("--style", help="of a model of several: candy, or candy=0.6,wave=0.4")
    parser.add_argument("--strength", type=unit_interval, default=1.0, help="0 to 1: how much")
    parser.add_argument("--preserve-color", action="store_true", help="keep the clip's colours")
    parser.add_argument(
        "--max-size", type=at_least_1, help="shrink the long side to this many pixels"
    )
    parser.add_argument("--scale", type=at_least_1, default=1, help="strokes so many times larger")
    parser.add_argument(
        "--smooth", type=unit_interval, default=0.0, help="0 to 1: how much less it flickers"
    )
    parser.add_argument("--start", type=seconds, default="0", help="seconds or HH:MM:SS")
    parser.add_argument("--end", type=seconds, help="seconds or HH:MM:SS")
    parser.add_argument("--runtime", default="auto", choices=["auto", "tensorflow", "openvino"])
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    args = parser.parse_args()
    if args.end is not None and args.end <= args.start:
        raise UserError(f"--end {float(args.end):g}: is not after --start {float(args.start):g}")
    check_installed("av", *(["cv2"] if args.smooth else []))

    from fast_style.video.stylize_clip import stylize_clip  # after the flags, and PyAV is there

    stylize_clip(
        args.model,
        args.input,
        args.output,
        start=args.start,
        end=args.end,
        max_size=args.max_size,
        smooth=args.smooth,
        runtime=args.runtime,
        precision=args.precision,
        style=args.style,
        strength=args.strength,
        preserve_color=args.preserve_color,
        scale=args.scale,
    )


if __name__ == "__main__":
    exit_on_user_error(main)
