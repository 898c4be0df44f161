"""Train one style: python train.py -c conf/candy.yml, or python train.py --style painting.jpg"""

from fast_style.command_line import OneLineParser, add_set_flag, exit_on_user_error, minutes
from fast_style.hardware import start_tensorflow
from fast_style.training.flags import style_flag, training_conf


def main() -> None:
    parser = OneLineParser(
        description="Train the transformer network of a style image or a conf file. The same "
        "command continues an interrupted training from its newest checkpoint."
    )
    parser.add_argument("-c", "--conf", help="conf file, such as conf/candy.yml")
    parser.add_argument("--style", help="a painting to train on, with or without a conf")
    add_set_flag(parser)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help="the same as --set steps=STEPS")
    length.add_argument(
        "--minutes",
        type=minutes,
        help="as many steps as fit into this time; default without --conf: 2",
    )
    parser.add_argument(
        "--restart",
        action="store_true",
        help="begin at step 0; delete the results of an earlier training",
    )
    parser.add_argument(
        "--download", action="store_true", help="let TFDS fetch the data set (COCO: up to 40 GB)"
    )
    args = parser.parse_args()
    config, fitting = training_conf(args.conf, args.style, args.overrides, args.steps, args.minutes)

    # Imported after the conf has been checked: TensorFlow takes seconds.
    start_tensorflow()
    from fast_style.training.loop import train

    folder = train(config, restart=args.restart, download=args.download, minutes=fitting)
    evaluate = "fast-style eval" if parser.prog == "fast-style train" else "python eval.py"
    print(f"{folder}: {evaluate} --model {folder}{style_flag(config)} --image PICTURE")


if __name__ == "__main__":
    exit_on_user_error(main)
