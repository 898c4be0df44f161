"""Train one style: python train.py -c conf/candy.yml"""

from fast_style.command_line import OneLineParser, add_set_flag, exit_on_user_error
from fast_style.conf.conf_file import load_config
from fast_style.hardware import start_tensorflow


def main() -> None:
    parser = OneLineParser(
        description="Train the transformer network that a conf file describes. The same "
        "command continues an interrupted training from its newest checkpoint."
    )
    parser.add_argument("-c", "--conf", required=True, help="conf file, such as conf/candy.yml")
    add_set_flag(parser)
    parser.add_argument("--steps", type=int, help="the same as --set steps=STEPS")
    parser.add_argument(
        "--restart",
        action="store_true",
        help="begin at step 0; delete the results of an earlier training",
    )
    parser.add_argument(
        "--download", action="store_true", help="let TFDS fetch the data set (COCO: up to 40 GB)"
    )
    args = parser.parse_args()
    overrides = args.overrides + ([] if args.steps is None else [f"steps={args.steps}"])
    config = load_config(args.conf, overrides)

    # Imported after the conf has been checked: TensorFlow takes seconds.
    start_tensorflow()
    from fast_style.training.loop import train

    folder = train(config, restart=args.restart, download=args.download)
    evaluate = "fast-style eval" if parser.prog == "fast-style train" else "python eval.py"
    print(f"{folder}: {evaluate} --model {folder} --image PICTURE")


if __name__ == "__main__":
    exit_on_user_error(main)
