"""Contact sheets of trained styles, and of short trainings of one conf's variants."""

import dataclasses
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fast_style.conf.conf_file import load_config
from fast_style.conf.config import Config
from fast_style.conf.names import as_name
from fast_style.errors import UserError
from fast_style.hardware import start_tensorflow
from fast_style.model_folder.model import read_model
from fast_style.pictures.contact_sheet import contact_sheet
from fast_style.stylize.stylizer import Stylizer


def styles_by_photos(models: list[Path], photos: list[np.ndarray]) -> np.ndarray:
    """Returns the contact sheet of every style of `models`, from (H, W, 3) uint8 photos."""
    columns = {"content image": photos}
    styles = [(folder, style) for folder in models for style in read_model(folder).styles]
    for folder, style in tqdm(styles, unit=" styles"):
        stylizer = Stylizer(folder, style=style)
        columns[style] = [stylizer(photo) for photo in photos]
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
