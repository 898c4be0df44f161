"""The conf of a training from the flags of train.py. Without TensorFlow."""

from collections.abc import Sequence

from fast_style.conf.conf_file import load_config
from fast_style.conf.config import Config, is_url
from fast_style.conf.locations import locate
from fast_style.conf.names import as_name
from fast_style.errors import UserError
from fast_style.network.style_mix import name_in_style

RECIPE = "conf/built_in.yml"  # of a style image without a conf
MINUTES = 2.0


def training_conf(
    conf: str | None,
    style: str | None,
    overrides: Sequence[str],
    steps: int | None,
    minutes: float | None,
) -> tuple[Config, float | None]:
    """Returns the conf, and the minutes that decide the number of steps, or None.

    conf: a conf file. style: a style image, instead of the conf's or with RECIPE. overrides: as for
    load_config. Raises UserError as load_config does, if both conf and style are None, for a style
    image that is not there, and for minutes together with steps.
    """
    if not (conf or style):
        raise UserError("give --style IMAGE, or --conf FILE; train.py --help lists the flags")
    given = [] if steps is None else [f"steps={steps}"]
    if style:
        if not (is_url(style) or locate(style).exists()):
            raise UserError(f"--style {style}: no such file")
        naming = as_name(name_in_style("", style)[1:])
        given += [f"style_image={style}", f"naming={naming}"]
    given += overrides
    steps_are_set = any(one.partition("=")[0].strip() == "steps" for one in given)
    if steps_are_set and minutes is not None:
        raise UserError("--minutes: is not allowed with --set steps")
    config = load_config(conf or RECIPE, given)
    if not (conf or steps_are_set or minutes is not None):
        minutes = MINUTES
    return config, minutes


def style_flag(config: Config) -> str:
    """Returns the flag of eval.py that the trained model needs, or an empty text."""
    if config.style_dataset is not None:
        return " --style PAINTING"
    return "" if len(config.named_style_images) == 1 else " --style STYLE"
