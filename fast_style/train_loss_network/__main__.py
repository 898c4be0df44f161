"""Train a loss network, such as the built-in one: the convolutions of a VGG, as a classifier.

    python -m fast_style.train_loss_network --data PACK --photos FOLDER --minutes N

`python -m fast_style.train_loss_network.pack` makes the file PACK from folders of pictures.
If the training is stopped, the same command continues it from the checkpoint.
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
    """Returns the value of a flag that is a positive number. Raises ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def crop(text: str) -> int:
    """Returns the value of a flag that is a side in pixels. Raises ArgumentTypeError."""
    value = at_least_1(text)
    if value < 16:  # the fifth block is 16 times smaller than the picture
        raise argparse.ArgumentTypeError(f"{text} is not at least 16")
    return value


def parse_arguments() -> argparse.Namespace:
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the pack of pictures")
    parser.add_argument("--terms", help="the terms of use of the data, for the card")
    parser.add_argument("--photos", required=True, help="folder or glob of photos to calibrate on")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=at_least_1)
    length.add_argument(
        "--minutes", type=above_0, help="as many steps as fit into this time, at measured speed"
    )
    parser.add_argument("--folder", type=Path, default=Path("models/loss_network"))
    parser.add_argument("--output", type=Path, default=Path("pretrained/vgg_16_half.npz"))
    parser.add_argument("--loss-model", default="vgg_16_half", choices=list(CONVOLUTIONS))
    parser.add_argument("--pooling", default="avg", choices=["avg", "max"])
    parser.add_argument(
        "--crops",
        type=crop,
        nargs="+",
        default=[64, 96, 128],
        help="sides of the training crops, in pixels, each for an equal number of steps",
    )
    parser.add_argument("--batch-size", type=at_least_1, default=512)
    parser.add_argument("--learning-rate", type=above_0, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--init-from", metavar="FILE", help="weights of a loss network")
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
