"""Train networks on one GPU or TPU with JAX, from the confs of train.py.

    python -m fast_style.train_jax -c conf/any.yml conf/starry.yml --set dataset=FOLDER

It needs JAX for your accelerator, such as `pip install "jax[cuda13]"`. TensorFlow is not used.
"""

from fast_style.command_line import OneLineParser, add_set_flag, exit_on_user_error
from fast_style.conf.conf_file import load_config
from fast_style.errors import check_installed


def main() -> None:
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-c", "--conf", required=True, nargs="+", help="confs, trained in turn")
    add_set_flag(parser)  # for all of the confs
    args = parser.parse_args()
    configs = [load_config(conf, args.overrides) for conf in args.conf]

    check_installed("training on an accelerator needs", "jax", "jax")
    from fast_style.train_jax.recipe import train  # JAX and Keras take seconds

    for folder in train(configs):
        print(f"{folder} is written")


if __name__ == "__main__":
    exit_on_user_error(main)
