"""Train a loss network like the built-in one: a VGG16 of half width with the features of VGG16.

    python -m fast_style.train_loss_network --dataset PICTURES --validation-images PHOTOS

The same command continues a training that was stopped.
"""

import argparse
from pathlib import Path

from fast_style.command_line import OneLineParser, at_least_1, exit_on_user_error
from fast_style.conf.config import IMAGENET, Config
from fast_style.conf.locations import locate_weights
from fast_style.errors import UserError, naming
from fast_style.files import check_target, make_folder
from fast_style.hardware import start_tensorflow
from fast_style.pictures.images import find_pictures

SMALLEST = 32
"""Pixels: the fifth block of a VGG is 16 times smaller than the picture."""


def parse_arguments() -> argparse.Namespace:
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--dataset",
        required=True,
        help="pictures to train on: a folder, a glob, synthetic, or a TFDS name",
    )
    parser.add_argument("--download", action="store_true", help="let TFDS fetch the dataset")
    parser.add_argument("--terms", help="the card's text about the pictures and their licences")
    parser.add_argument(
        "--validation-images", required=True, help="photos to measure it on: a folder or a glob"
    )
    parser.add_argument(
        "--teacher",
        default=IMAGENET,
        metavar="FILE",
        help="weights of VGG16; imagenet, the default, downloads those of Keras",
    )
    parser.add_argument("--steps", type=at_least_1, default=2000)
    parser.add_argument("--batch-size", type=at_least_1, default=16)
    parser.add_argument("--image-size", type=at_least_1, default=128, help="side in pixels")
    parser.add_argument(
        "--learning-rate",
        type=float,
        default=0.01,
        help="of each step, relative to the size of a kernel",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--folder", type=Path, default=Path("models/loss_network"), help="of the checkpoint"
    )
    parser.add_argument("--output", type=Path, default=Path("models/vgg_16_half.npz"))
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    if args.output.suffix != ".npz":
        raise UserError(f"--output {args.output}: its name must end in .npz")
    if args.image_size < SMALLEST:
        raise UserError(f"--image-size {args.image_size}: must be at least {SMALLEST}")
    if not 0 < args.learning_rate < 1:
        raise UserError(f"--learning-rate {args.learning_rate}: must be between 0 and 1")
    if not 0 <= args.seed < 2**31:
        raise UserError(f"--seed {args.seed}: must be between 0 and {2**31 - 1}")
    make_folder(args.output.parent)
    check_target(args.output)
    config = Config(
        naming="loss_network",
        dataset=args.dataset,
        image_size=args.image_size,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        schedule="cosine",
        warmup_steps=args.steps // 20,
        steps=args.steps,
        seed=args.seed,
        crop="random",
        flip=True,
    )
    with naming("--validation-images"):
        photos = find_pictures(args.validation_images)
    teacher = args.teacher if args.teacher == IMAGENET else str(locate_weights(args.teacher))
    start_tensorflow()  # not at the top: it takes seconds
    from fast_style.train_loss_network.recipe import make_loss_network

    make_loss_network(
        config,
        teacher,
        photos,
        args.folder,
        args.output,
        terms=args.terms,
        download=args.download,
    )


if __name__ == "__main__":
    exit_on_user_error(main)
