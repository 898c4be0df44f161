"""Contact sheets of trained styles, and of short trainings of one conf's variants."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fast_style.conf.conf_file import load_config
from fast_style.conf.config import Config
from fast_style.conf.names import as_name
from fast_style.errors import UserError
from fast_style.hardware import start_tensorflow
from fast_style.model_folder.model import read_model
from fast_style.network.style_mix import name_in_style
from fast_style.pictures.contact_sheet import contact_sheet
from fast_style.stylize.stylizer import Stylizer


def styles_by_photos(
    models: list[Path], photos: list[np.ndarray], style_images: Sequence[str] = ()
) -> np.ndarray:
    """Returns the contact sheet of every style of `models`, from (H, W, 3) uint8 photos.

    style_images: of the models that take any style, instead of the styles in their folders. Raises
    UserError if no model takes them, and if there are no styles at all.
    """
    styles: list[tuple[Path, str]] = []
    for folder in models:
        model = read_model(folder)
        chosen = style_images if model.takes_any_style and style_images else model.styles
        styles += [(folder, style) for style in chosen]
    if style_images and not any(style in style_images for _, style in styles):
        raise UserError(f"--style {style_images[0]}: none of the models takes style images")
    if not styles:
        raise UserError(f"--models {models[0]}: takes any style; --style names style images")
    columns = {"content image": photos}
    for folder, style in tqdm(styles, unit=" styles"):
        stylizer = Stylizer(folder, style=style)
        short = style if style not in style_images else name_in_style("", style)[1:]
        heading = name_in_style(folder.name, style) if short in columns else short
        columns[heading] = [stylizer(photo) for photo in photos]
    return contact_sheet(columns)


def sweep(confs: dict[str, Config], photos: list[np.ndarray]) -> np.ndarray:
    """Returns the contact sheet of several trainings, by their headings.

    Each has its own model folder; a finished training is not repeated.
    """
    # Not at the top: TensorFlow takes seconds to import.
    start_tensorflow()
    from fast_style.training.loop import train

    columns = {"content image": photos}
    for heading, config in confs.items():
        stylizer = Stylizer(train(config))
        columns[heading] = [stylizer(photo) for photo in photos]
    return contact_sheet(columns)


def swept_confs(conf: str, overrides: list[str], swept: str, steps: int) -> dict[str, Config]:
    """Returns 'key=value' to the conf with that value; `swept` is like 'seed=1,2,3'."""
    key, separator, values = swept.partition("=")
    if not separator or not values:
        raise UserError(f"--sweep {swept}: is not of the form key=value,value")
    confs: dict[str, Config] = {}
    for value in values.split(","):
        config = load_config(conf, [f"steps={steps}", *overrides, f"{key}={value}"])
        naming = as_name(f"{config.naming}-{key}-{value}")
        if naming in [other.naming for other in confs.values()]:
            raise UserError(f"--sweep {swept}: two of its models would be called {naming!r}")
        confs[f"{key}={value}"] = dataclasses.replace(config, naming=naming)
    return confs
