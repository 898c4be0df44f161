"""Train one style: python train.py -c conf/candy.yml, or python train.py --style painting.jpg"""

from fast_style.command_line import OneLineParser, add_set_flag, exit_on_user_error, minutes
from fast_style.conf.conf_file import load_config
from fast_style.conf.config import is_url
from fast_style.conf.locations import locate
from fast_style.conf.names import as_name
from fast_style.errors import UserError
from fast_style.hardware import start_tensorflow
from fast_style.network.style_mix import name_in_style


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
    if not (args.conf or args.style):
        parser.error("give --style IMAGE, or --conf FILE")
    overrides = [] if args.steps is None else [f"steps={args.steps}"]
    if args.style:
        if not (is_url(args.style) or locate(args.style).exists()):
            raise UserError(f"--style {args.style}: no such file")
        naming = as_name(name_in_style("", args.style)[1:])
        overrides += [f"style_image={args.style}", f"naming={naming}"]
    steps_are_set = any(one.partition("=")[0].strip() == "steps" for one in args.overrides)
    if steps_are_set and args.minutes is not None:
        raise UserError("--minutes: is not allowed with --set steps")
    config = load_config(args.conf or "conf/built_in.yml", overrides + args.overrides)
    if not (args.conf or args.steps is not None or steps_are_set or args.minutes is not None):
        args.minutes = 2.0

    # Imported after the conf has been checked: TensorFlow takes seconds.
    start_tensorflow()
    from fast_style.training.loop import train

    folder = train(config, restart=args.restart, download=args.download, minutes=args.minutes)
    evaluate = "fast-style eval" if parser.prog == "fast-style train" else "python eval.py"
    style = "" if len(config.named_style_images) == 1 else " --style STYLE"
    if config.style_dataset is not None:
        style = " --style PAINTING"
    print(f"{folder}: {evaluate} --model {folder}{style} --image PICTURE")


if __name__ == "__main__":
    exit_on_user_error(main)
