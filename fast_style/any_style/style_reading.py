"""The statistics of a style image, computed by the loss network on either runtime."""

from fast_style.conf.config import Config
from fast_style.errors import UserError, naming
from fast_style.loss.style_statistics import StyleStatistics, made_with, read_style
from fast_style.loss.vgg_weights import read_weights


def read_statistics(config: Config, runtime: str) -> StyleStatistics:
    """Returns the statistics of the loss network's layers for a conf with one style.

    runtime: 'tensorflow' or 'openvino'.
    Raises UserError if the image cannot be read or is of one colour, and if its statistics are of
    another loss network or other layers.
    """
    with naming("--style"):
        style = read_style(config)
    names = config.style_statistics_names
    if isinstance(style, StyleStatistics):
        [(first_kernel, _), *_] = read_weights(config.loss_model, config.loss_weights).values()
        style.check(made_with(config, first_kernel), names)
        return StyleStatistics({name: style.arrays[name] for name in names}, style.made_with)
    if all((painting == painting[0, 0]).all() for painting in style):
        raise UserError(f"--style {config.style_image}: is of one colour; take another picture")
    if runtime == "openvino":
        from fast_style.any_style.openvino_statistics import layer_statistics

        return StyleStatistics(dict(layer_statistics(config, style)), {})
    from fast_style.loss.perceptual_loss import PerceptualLoss

    found = PerceptualLoss(config, [style]).statistics(0)
    return StyleStatistics({name: found.arrays[name] for name in names}, found.made_with)
