"""Train a loss network, such as the built-in one: a VGG's convolutions, as a classifier.

    python -m fast_style.train_loss_network --data PACKS --photos FOLDER --minutes N

PACKS is a folder that `python -m fast_style.train_loss_network.pack` made of folders of pictures.
The same command goes on from the checkpoint that an earlier one left.
"""

import argparse
from pathlib import Path

from fast_style.command_line import OneLineParser, at_least_1, exit_on_user_error
from fast_style.conf.vgg_layers import CONVOLUTIONS
from fast_style.errors import UserError
from fast_style.files import check_target, make_folder
from fast_style.pictures.images import find_pictures

CALIBRATION_PHOTOS = 64


def above_0(text: str) -> float:
    """The value of a flag that is a positive number. Raises ArgumentTypeError."""
    value = not_negative(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def not_negative(text: str) -> float:
    """The value of a flag that is a number from 0 up. Raises ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not at least 0")
    return value


def crop(text: str) -> int:
    """A side in pixels. Raises ArgumentTypeError."""
    value = at_least_1(text)
    if value < 16:  # the fifth block is 16 times smaller than the picture
        raise argparse.ArgumentTypeError(f"{text} is not at least 16")
    return value


def parse_arguments() -> argparse.Namespace:
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of packs")
    parser.add_argument("--terms", help="what the card says of the data: its terms of use")
    parser.add_argument("--photos", required=True, help="folder or glob of photos to calibrate on")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=at_least_1)
    length.add_argument(
        "--minutes", type=above_0, help="as many steps as the measured speed allows in this time"
    )
    parser.add_argument("--folder", type=Path, default=Path("models/loss_network"))
    parser.add_argument("--output", type=Path, default=Path("pretrained/vgg_16_half.npz"))
    parser.add_argument("--loss-model", default="vgg_16_half", choices=list(CONVOLUTIONS))
    parser.add_argument(
        "--pooling", default="avg", choices=["avg", "max"], help="avg: as styles are trained"
    )
    parser.add_argument(
        "--crops",
        type=crop,
        nargs="+",
        default=[64, 96, 128],
        help="sides of the training crops, each for an equal number of steps",
    )
    parser.add_argument("--batch-size", type=at_least_1, default=512)
    parser.add_argument("--learning-rate", type=above_0, default=0.05)
    parser.add_argument(
        "--sparsity", type=not_negative, default=0.0, help="weight of a penalty on active units"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--init-from", metavar="FILE", help="weights of a loss network to begin with"
    )
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    photos = find_pictures(args.photos)[:CALIBRATION_PHOTOS]
    if args.output.suffix != ".npz":
        raise UserError(f"--output {args.output}: its name must end in .npz")
    make_folder(args.output.parent)
    check_target(args.output)
    try:
        from fast_style.train_loss_network.recipe import make_loss_network  # torch takes seconds
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise UserError(
            "training a loss network needs PyTorch: pip install 'fast-style[loss-network]'"
        ) from None
    make_loss_network(args, photos)


if __name__ == "__main__":
    exit_on_user_error(main)
