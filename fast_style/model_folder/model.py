"""The trained network of a model folder: reading, building and writing it."""

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from absl import logging

from fast_style.conf.conf_file import (
    as_yaml,
    check_types,
    config_as_yaml,
    config_from_mapping,
    read_yaml,
)
from fast_style.conf.config import Config, named_images
from fast_style.conf.names import as_name, check_name
from fast_style.errors import UserError
from fast_style.files import write_atomically
from fast_style.model_folder.checkpoint import newest_checkpoint
from fast_style.model_folder.eight_bit_weights import dequantized
from fast_style.model_folder.layout import CHECKPOINTS, CONF, RESULT, WEIGHTS, models_there_are
from fast_style.model_folder.npz import check_weights, read_arrays, write_arrays
from fast_style.model_folder.variables import assign_variables, of_network, variables_as_arrays
from fast_style.network.architecture import ARCHITECTURES, Architecture, architecture_of
from fast_style.network.style_mix import mixed, name_in_style, stacked, style_proportions


@dataclass(frozen=True)
class Model:
    """A model folder's conf and its transformer network's arrays, read from the file `source`.

    The conf is as it was written; its style image and photos may be gone since.
    """

    conf: dict
    arrays: dict[str, np.ndarray]
    source: Path

    @property
    def styles(self) -> list[str]:
        images = self.conf.get("style_images")
        return [self.name] if images is None else list(named_images(images))

    @property
    def architecture(self) -> Architecture:
        """Of the conf; one without these keys is older than they are, and has these defaults."""
        return architecture_of(self.conf.get("network", "paper"), self.conf.get("output", "tanh"))

    @property
    def name(self) -> str:
        """The conf's naming; another program's conf may have none, and then the folder's name."""
        return self.conf.get("naming") or self.source.parent.name

    def in_style(self, style: str | None) -> "Model":
        """The model of one style alone: of `style`, a name or a mix; None: the only one there is.

        Raises UserError where there is no such style, or none is named and there are several.
        """
        if len(self.styles) == 1:
            if style is not None:
                style_proportions(style, self.styles)
            return self
        if style is None:
            raise UserError(
                f"{self.source.parent}: has several styles; --style takes one of "
                f"{', '.join(self.styles)}, or a mix: {self.styles[0]}=0.6,{self.styles[1]}=0.4"
            )
        arrays = mixed(self.arrays, style_proportions(style, self.styles))
        naming = as_name(name_in_style(self.name, style))
        conf = self.conf | {"naming": naming, "style_images": None}
        if style in self.styles:  # a mix has no style image
            conf["style_image"] = named_images(self.conf["style_images"])[style]
            conf["style_image_sha256"] = (self.conf.get("style_image_sha256") or {}).get(style)
        return Model(conf, arrays, self.source)

    def in_style_like(self, name: str) -> "Model":
        """The model to begin a style of that name from: its own, or else all of them mixed."""
        return self.in_style(name if name in self.styles else ",".join(self.styles))


def read_model(folder: Path) -> Model:
    """Read a model folder; of an unfinished training its newest checkpoint, with a warning.

    Raises UserError where the folder holds no model or a damaged one.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such model folder; {models_there_are(folder)}")
    if (folder / WEIGHTS).exists() and (folder / CONF).exists():
        arrays = dequantized(read_arrays(folder / WEIGHTS))
        check_weights(of_network(arrays), str(folder / WEIGHTS))
        return Model(_read_conf(folder / CONF), arrays, folder / WEIGHTS)
    checkpoint = newest_checkpoint(folder)
    if checkpoint is None:
        raise UserError(
            f"{folder}: holds no model (no {WEIGHTS} with {CONF}, no {CHECKPOINTS}/*.npz); "
            f"{models_there_are(folder)}"
        )
    logging.warning("%s: not finished; taking its checkpoint of step %d", folder, checkpoint.step)
    return Model(checkpoint.config, of_network(checkpoint.arrays), folder / CHECKPOINTS)


def read_config(folder: Path, style: str | None = None) -> Config:
    """The conf that a model folder was trained with, that of `style` where it has several.

    Raises UserError as read_model does.
    """
    model = read_model(folder).in_style(style)
    config = config_from_mapping(model.conf, str(model.source.parent / CONF))
    return config.of_style(*config.named_style_images)


def _read_conf(path: Path) -> dict:
    conf = read_yaml(path)
    if not isinstance(conf, dict):
        raise UserError(f"{path}: is not a mapping of keys to values")
    check_types(conf, str(path))
    # They become names of files and of requests.
    for name in [conf.get("naming") or "", *(named_images(conf.get("style_images") or []))]:
        if name:
            check_name(name, f"{path}: ")
    return conf


def load_network(folder: Path, policy: str = "float32", style: str | None = None):
    """The transformer network of a model folder, computing in the dtype policy `policy`.

    style: of a folder with several, a name or a mix such as 'candy=0.6,wave=0.4'.
    A training that has not finished gives its newest checkpoint, with a warning.
    Raises UserError where the folder holds no model, a damaged one, or not that style.
    """
    return build_network(read_model(folder).in_style(style), policy)


def build_network(model: Model, policy: str = "float32"):
    """The transformer network of a model of one style, as load_network gives it.

    Raises UserError where the arrays are those of another network.
    """
    # After the model is known to be there: Keras takes seconds to import.
    from fast_style.network.layers import default_dtype
    from fast_style.network.transformer_network import build_transformer_network

    with default_dtype(policy):
        network = build_transformer_network(model.architecture)
    assign_variables("network", network.weights, model.arrays, model.source)
    return network


def write_model(folder: Path, config: Config, network) -> None:
    """Write the trained StyledNetwork and its conf, which make the folder a model folder."""
    write_atomically(folder / CONF, config_as_yaml(config).encode())
    write_arrays(folder / WEIGHTS, variables_as_arrays("network", network.variables))


def write_result(folder: Path, result: dict) -> None:
    """Write the result of a finished training; its file marks the training as complete."""
    write_atomically(folder / RESULT, json.dumps(result, indent=2).encode())


def copy_model(model: Model, target: Path) -> None:
    """Make the folder `target` a model folder with the model and its result, if it has one."""
    write_atomically(target / CONF, as_yaml(model.conf).encode())
    write_arrays(target / WEIGHTS, model.arrays)
    result = model.source.with_name(RESULT)
    if result.exists():
        shutil.copy(result, target / RESULT)


def load_initial_weights(
    variables: Sequence, wanted: str, styles: Iterable[str], folder: Path
) -> None:
    """Assign the transformer network of another model folder to a StyledNetwork's variables.

    Where the folder has several styles, those with the names of ours are taken; a name that it
    does not have begins from the mean of them all. Raises UserError where the folder holds no
    network whose weights fit that of the name `wanted`.
    """
    model = read_model(folder)
    found = model.architecture.name
    if not model.architecture.has_weights_like(ARCHITECTURES[wanted]):
        raise UserError(
            f"init_from: {folder}: has network: {found}, and the conf network: {wanted}; "
            f"name a folder with network: {wanted}, or null"
        )
    plain = [model.in_style_like(name).arrays for name in styles]
    arrays = stacked(plain) if len(plain) > 1 else plain[0]
    assign_variables("network", variables, arrays, folder)
