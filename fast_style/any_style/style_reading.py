"""The statistics of a style image, computed by the loss network on either runtime."""

from fast_style.conf.config import Config
from fast_style.loss.style_statistics import StyleStatistics, read_style


def read_statistics(config: Config, runtime: str) -> StyleStatistics:
    """Returns the statistics of the style image of a conf with one style.

    runtime: 'tensorflow', or 'openvino', which finds only those of the loss network's layers.
    Raises UserError if the image cannot be read, or is of one colour.
    """
    style = read_style(config)
    if isinstance(style, StyleStatistics):
        return style
    if runtime == "openvino":
        from fast_style.any_style.openvino_statistics import layer_statistics

        return StyleStatistics(dict(layer_statistics(config, style)), {})
    from fast_style.loss.perceptual_loss import PerceptualLoss

    return PerceptualLoss(config, [style]).statistics(0)
