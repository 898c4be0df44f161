"""Train many styles on one GPU or TPU: together in one network, then each in its own.

    python -m fast_style.train_zoo -c conf/zoo.yml --alone conf/wave.yml --photos FOLDER

It needs JAX for your accelerator, such as `pip install "jax[cuda13]"`. TensorFlow is not used.
"""

from dataclasses import replace

from fast_style.command_line import OneLineParser, add_set_flag, exit_on_user_error
from fast_style.conf.conf_file import load_config
from fast_style.errors import check_installed
from fast_style.pictures.images import find_pictures


def main() -> None:
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-c", "--conf", required=True, help="conf with `style_images`: the zoo")
    parser.add_argument(
        "--alone",
        nargs="+",
        default=[],
        metavar="CONF",
        help="confs of single styles, named as in the zoo, which begin from it",
    )
    parser.add_argument("--photos", required=True, help="folder or glob of photos to train on")
    add_set_flag(parser)  # for all of the confs
    args = parser.parse_args()
    zoo, *alone = (
        replace(load_config(conf, args.overrides), dataset=args.photos)
        for conf in (args.conf, *args.alone)
    )
    photos = find_pictures(args.photos)

    check_installed("training the zoo needs", "train-zoo", "jax")
    from fast_style.train_zoo.recipe import train_zoo  # JAX and Keras take seconds

    for folder in train_zoo(zoo, alone, photos):
        print(f"{folder} is written")


if __name__ == "__main__":
    exit_on_user_error(main)
