"""Train the built-in loss network: VGG16's convolutions at half width, on small object pictures.

    python -m fast_style.train_loss_network --data FOLDER|TFDS_NAME --photos FOLDER

The same command goes on from the epoch that an earlier one had reached.
"""

import argparse
from pathlib import Path

from fast_style.command_line import OneLineParser, exit_on_user_error
from fast_style.pictures.images import find_pictures

CALIBRATION_PHOTOS = 64


def parse_arguments() -> argparse.Namespace:
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of TFRecords, or a TFDS name")
    parser.add_argument("--data-name", help="what the model card calls the data")
    parser.add_argument("--photos", required=True, help="folder or glob of photos to calibrate on")
    parser.add_argument("--folder", type=Path, default=Path("models/loss_network"))
    parser.add_argument("--output", type=Path, default=Path("pretrained/vgg_16_half.npz"))
    parser.add_argument("--classes", type=int, default=200)
    parser.add_argument("--pictures", type=int, default=80_000, help="pictures in an epoch")
    parser.add_argument("--crops", type=int, nargs="+", default=[32, 32, 32, 32, 40, 40, 48])
    parser.add_argument("--sharp-crops", type=int, nargs="*", default=[56, 56])
    parser.add_argument("--sharp-learning-rate", type=float, default=1.5e-3)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=4e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.data_name = args.data_name or Path(args.data).name
    return args


def main() -> None:
    args = parse_arguments()
    photos = find_pictures(args.photos)[:CALIBRATION_PHOTOS]

    from fast_style.train_loss_network.recipe import make_loss_network  # TensorFlow takes seconds

    make_loss_network(args, photos)


if __name__ == "__main__":
    exit_on_user_error(main)
