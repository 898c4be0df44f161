"""The network of the style that --style names: a style of the model, a style image, or a mix."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fast_style.conf.conf_file import config_from_mapping
from fast_style.conf.config import PLACE_KEYS, Config, is_url
from fast_style.conf.names import as_name
from fast_style.errors import UserError
from fast_style.model_folder.layout import find_model_folder
from fast_style.model_folder.model import Model
from fast_style.network.style_mix import name_in_style, named_shares
from fast_style.network.style_predictor import Statistics


def in_style(
    model: Model, style: str | Mapping[str, float] | None, runtime: str = "tensorflow"
) -> Model:
    """Returns the model of one style.

    style: for a model of several styles, a name or a mix, such as 'candy=0.6,wave=0.4'. For a model
    that takes any style, also style images, the style.npz of model folders, and names of trained
    styles, such as 'painting.jpg' or 'a.jpg=0.7,starry=0.3'; or a mapping of each to its share,
    with the sum 1. None: the only style. runtime: 'tensorflow' or 'openvino', which computes the
    statistics of a style image.

    Raises UserError if there is no such style or file, and for None if a style has to be named.
    """
    shares: Mapping[str, float] | None = None
    if isinstance(style, Mapping):
        shares = style
        style = next(iter(shares)) if len(shares) == 1 else _as_text(shares)
    if not model.takes_any_style:
        if style is not None and style not in model.styles and Path(style).expanduser().is_file():
            raise UserError(
                f"--style {style}: {model.source.parent} takes no style images; it has "
                f"{', '.join(model.styles)}"
            )
        return model.in_style(style)
    if style is None:
        names = f", or one of {', '.join(model.styles)}" if model.styles else ""
        raise UserError(
            f"{model.source.parent}: takes any style; --style names a style image, such as "
            f"--style painting.jpg{names}"
        )
    if shares is None:
        alone = Path(style).expanduser().is_file() or is_url(style)
        shares = {style: 1.0} if alone else named_shares(style)
    conf = model.conf | {
        "naming": as_name(name_in_style(model.name, style)),
        "style_image": None,
        "style_images": None,
        "style_image_sha256": None,
        "style_dataset": None,
        "artwork": "",
    }
    mix = []
    for name, share in shares.items():
        statistics, keys = _read(model, name, runtime)
        mix.append((statistics, share))
        if len(shares) == 1:  # a mix has no style image
            conf |= keys
    return Model(conf, model.arrays_of_style(mix), model.source)


def _as_text(shares: Mapping[str, float]) -> str:
    return ",".join(f"{name}={share:g}" for name, share in shares.items())


def _read(model: Model, name: str, runtime: str) -> tuple[Statistics, dict[str, Any]]:
    """Returns statistics, and the keys that a conf has for the style image.

    name: a style of the model, a style image or its statistics, or another style that is trained.
    """
    # Imported for a style image alone: it takes longer than the rest of this module's imports.
    from fast_style.any_style.style_reading import read_statistics
    from fast_style.loss.style_statistics import read_style_statistics, statistics_file

    if name in model.styles:
        keys = model.keys_of_style(name)
        return read_style_statistics(model.source.with_name(statistics_file(name))).arrays, keys
    trained = find_model_folder(name) / statistics_file()
    if "/" not in name and not Path(name).expanduser().is_file() and trained.is_file():
        name = str(trained)
    config = style_config(model, name)
    return read_statistics(config, runtime).arrays, {"style_image": name}


def style_config(model: Model, style_image: str) -> Config:
    """Returns the conf of a style image whose statistics a model that takes any style can read.

    Raises UserError if the file is not there.
    """
    return config_from_mapping(_conf(model) | {"style_image": style_image}, "--style")


def statistics_config(model: Model) -> Config:
    """Returns the same conf without a style image."""
    return config_from_mapping(_conf(model) | {"style_dataset": "synthetic"}, str(model.source))


def _conf(model: Model) -> dict[str, Any]:
    conf = {key: value for key, value in model.conf.items() if key not in PLACE_KEYS}
    return conf | {"style_image": None, "style_images": None, "style_image_sha256": None}
