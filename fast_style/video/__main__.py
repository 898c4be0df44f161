"""Stylize a clip: python -m fast_style.video --model models/candy --input a.mp4 --output b.mp4"""

from argparse import ArgumentTypeError
from fractions import Fraction
from pathlib import Path

from fast_style.command_line import (
    STYLE_HELP,
    OneLineParser,
    add_stylization_flags,
    exit_on_user_error,
    unit_interval,
)
from fast_style.errors import UserError, check_installed


def seconds(text: str) -> Fraction:
    """Returns the value of a flag such as 90, 1:30 or 0:01:30.5. Raises ArgumentTypeError."""
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
    parser = OneLineParser(description="Stylize a clip with a trained model. Its sound is copied.")
    parser.add_argument("--model", required=True, help="model folder, such as models/candy")
    parser.add_argument(
        "--input", required=True, help="clip, /dev/video1, or webcam (until Ctrl-C)"
    )
    parser.add_argument(
        "--output",
        required=True,
        type=Path,
        help=".mp4, .mov, .mkv, .webm, .gif, .webp; - writes to stdout, for a player",
    )
    parser.add_argument("--style", help=STYLE_HELP)
    add_stylization_flags(parser)
    parser.add_argument("--smooth", type=unit_interval, default=0.0, help="0 to 1: reduces flicker")
    parser.add_argument("--start", type=seconds, default="0", help="seconds or HH:MM:SS")
    parser.add_argument("--end", type=seconds, help="seconds or HH:MM:SS")
    parser.add_argument(
        "--live",
        action="store_true",
        help="play the clip as if it were a camera, and drop frames to keep up",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="allow --output to replace the clip"
    )
    args = parser.parse_args()
    if args.end is not None and args.end <= args.start:
        raise UserError(f"--end {float(args.end):g}: is not after --start {float(args.start):g}")
    check_installed("videos need", "video", "av", *(["cv2"] if args.smooth else []))

    from fast_style.stylize.stylization import Stylization
    from fast_style.video.stylize_clip import stylize_clip  # needs PyAV

    stylize_clip(
        args.model,
        args.input,
        args.output,
        Stylization.from_flags(args),
        start=args.start,
        end=args.end,
        smooth=args.smooth,
        runtime=args.runtime,
        precision=args.precision,
        style=args.style,
        overwrite=args.overwrite,
        live=args.live,
    )


if __name__ == "__main__":
    exit_on_user_error(main)
