"""The network of the style that --style names: a style of the model, a style image, or a mix."""

from collections.abc import Mapping
from pathlib import Path

from fast_style.any_style.style_reading import read_statistics
from fast_style.conf.conf_file import config_from_mapping
from fast_style.conf.config import PLACE_KEYS, Config
from fast_style.conf.names import as_name
from fast_style.errors import UserError
from fast_style.loss.style_statistics import STYLE, SUFFIX, StyleStatistics, read_style_statistics
from fast_style.model_folder.model import Model
from fast_style.network.style_mix import name_in_style, named_shares


def in_style(
    model: Model, style: str | Mapping[str, float] | None, runtime: str = "tensorflow"
) -> Model:
    """Returns the model of one style.

    style: for a model of several styles, a name or a mix, such as 'candy=0.6,wave=0.4'. For a model
    that takes any style, also files: style images, or the style.npz of model folders, such as
    'painting.jpg' or 'a.jpg=0.7,b.jpg=0.3'; or a mapping of each to its share, with the sum 1.
    None: the only style. runtime: 'tensorflow' or 'openvino', which computes the statistics of a
    style image.

    Raises UserError if there is no such style or file, and for None if a style has to be named.
    """
    shares: Mapping[str, float] | None = None
    if isinstance(style, Mapping):
        shares = style
        style = next(iter(shares)) if len(shares) == 1 else _as_text(shares)
    if not model.takes_any_style:
        return model.in_style(style)
    if style is None:
        names = f", or one of {', '.join(model.styles)}" if model.styles else ""
        raise UserError(
            f"{model.source.parent}: takes any style; --style names a style image, such as "
            f"--style painting.jpg{names}"
        )
    if shares is None:
        shares = {style: 1.0} if Path(style).expanduser().is_file() else named_shares(style)
    of_each = [(_statistics(model, name, runtime), share) for name, share in shares.items()]
    mix = [(statistics.arrays, share) for statistics, share in of_each]
    conf = model.conf | {
        "naming": as_name(name_in_style(model.name, style)),
        "style_images": None,
        "style_dataset": None,
        "artwork": "",
    }
    if len(of_each) == 1:  # a mix has no style image
        conf["style_image"] = style
        conf["style_image_sha256"] = None
    return Model(conf, model.arrays_of_style(mix), model.source)


def _as_text(shares: Mapping[str, float]) -> str:
    return ",".join(f"{name}={share:g}" for name, share in shares.items())


def _statistics(model: Model, name: str, runtime: str) -> StyleStatistics:
    if name in model.styles:
        return read_style_statistics(
            model.source.with_name(f"{name_in_style(STYLE, name)}{SUFFIX}")
        )
    return read_statistics(style_config(model, name), runtime)


def style_config(model: Model, style_image: str) -> Config:
    """Returns the conf of a style image whose statistics a model that takes any style can read.

    Raises UserError if the file is not there.
    """
    conf = {key: value for key, value in model.conf.items() if key not in PLACE_KEYS}
    conf |= {"style_image": style_image, "style_images": None, "style_image_sha256": None}
    return config_from_mapping(conf, "--style")
