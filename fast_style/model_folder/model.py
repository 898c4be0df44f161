"""The trained network of a model folder: reading, building and writing it."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from fast_style.conf.conf_file import as_yaml, check_types, config_as_yaml, read_yaml
from fast_style.conf.config import Config, named_images
from fast_style.conf.names import as_name, check_name
from fast_style.errors import UserError, naming
from fast_style.files import write_atomically
from fast_style.model_folder.checkpoint import newest_checkpoint
from fast_style.model_folder.eight_bit_weights import dequantized
from fast_style.model_folder.layout import (
    CHECKPOINTS,
    CONF,
    RESULT,
    WEIGHTS,
    find_model_folder,
    models_there_are,
)
from fast_style.model_folder.npz import check_weights, read_arrays, write_arrays
from fast_style.model_folder.variables import assign_variables, of_network, variables_as_arrays
from fast_style.network.architecture import ARCHITECTURES, Architecture, architecture_of
from fast_style.network.style_mix import mixed, name_in_style, stacked, style_proportions
from fast_style.network.style_predictor import (
    PREDICTOR,
    Statistics,
    check_arrays,
    check_reads,
    norm_paths,
    predicted_norms,
)

NETWORK = "network/"  # begins the names of the arrays in weights.npz


@dataclass(frozen=True)
class Model:
    """The conf of a model folder and the arrays of its network, read from the file `source`.

    The files that the conf names may no longer exist.
    """

    conf: dict
    arrays: dict[str, np.ndarray]
    source: Path

    @property
    def styles(self) -> list[str]:
        """The names of the styles; of a model that takes any style, those in its folder."""
        images = self.conf.get("style_images")
        if images is None:
            return [] if self.takes_any_style else [self.name]
        return list(named_images(images))

    @property
    def architecture(self) -> Architecture:
        """The architecture of the conf. These defaults are those of confs without the keys."""
        return architecture_of(self.conf.get("network", "paper"), self.conf.get("output", "tanh"))

    @property
    def name(self) -> str:
        """The conf's naming, or the folder's name if the conf has none."""
        return self.conf.get("naming") or self.source.parent.name

    @property
    def has_choice(self) -> bool:
        """Whether a style has to be chosen."""
        return self.takes_any_style or len(self.styles) > 1

    def in_style(self, style: str | None) -> "Model":
        """Returns the model of one style. style: a name or a mix; None: the only style.

        For a model that takes any style, any_style.chosen_style has the function.
        Raises UserError if there is no such style, and for None if there are several.
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
            conf |= self.keys_of_style(style)
        return Model(conf, arrays, self.source)

    def keys_of_style(self, name: str) -> dict[str, Any]:
        """Returns what a conf of this style alone has as its style image, of several styles."""
        hashes = self.conf.get("style_image_sha256") or {}
        return {
            "style_image": named_images(self.conf["style_images"])[name],
            "style_image_sha256": hashes.get(name),
        }

    @property
    def takes_any_style(self) -> bool:
        """Whether it can be given the statistics of any style image."""
        return any(path.startswith(NETWORK + PREDICTOR) for path in self.arrays)

    def arrays_of_style(self, mix: Sequence[tuple[Statistics, float]]) -> dict[str, np.ndarray]:
        """Returns the arrays of one style, from a model that takes any style.

        mix: the statistics of style images, as in style.npz, and the share of each in the mix.
        Raises UserError if they are of other layers than the predictor reads, or if its arrays are
        not those of a predictor.
        """
        own = {path.removeprefix(NETWORK): array for path, array in self.arrays.items()}
        check_arrays(own, self.source)
        for statistics, _ in mix:
            check_reads(own, statistics, self.source.parent)
        each = [(predicted_norms(own, one, np), share) for one, share in mix]
        norms = {
            NETWORK + path: sum(share * found[path] for found, share in each)
            for path in norm_paths(own)
        }
        check_weights(norms, f"{self.source}: predicted norms")
        kept = (path for path in self.arrays if not path.startswith(NETWORK + PREDICTOR))
        return {path: norms.get(path, self.arrays[path]) for path in kept}

    def in_style_like(self, name: str) -> "Model":
        """Returns the model that a style `name` begins from: the same style, or a mix of all."""
        return self.in_style(name if name in self.styles else ",".join(self.styles))


def read_model(folder: Path) -> Model:
    """Reads a model folder, or with a warning the newest checkpoint of an unfinished training.

    Raises UserError if the folder holds no model or a damaged one.
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
    logging.warning("%s: not finished; its checkpoint of step %d is used", folder, checkpoint.step)
    return Model(checkpoint.config, of_network(checkpoint.arrays), folder / CHECKPOINTS)


def _read_conf(path: Path) -> dict:
    conf = read_yaml(path)
    if not isinstance(conf, dict):
        raise UserError(f"{path}: is not a mapping of keys to values")
    check_types(conf, str(path))
    # The names become names of files and of requests.
    for name in [conf.get("naming") or "", *(named_images(conf.get("style_images") or []))]:
        if name:
            check_name(name, f"{path}: ")
    return conf


def load_network(folder: Path, style: str | None = None):
    """Returns the Keras network of a model folder, in float32. Raises UserError.

    style: of a folder with several styles, a name or a mix such as 'candy=0.6,wave=0.4'.
    """
    return build_network(read_model(folder).in_style(style))


def build_network(model: Model, policy: str = "float32"):
    """Returns the Keras network of a model of one style. policy: Keras's dtype policy.

    Raises UserError if the arrays are those of another network.
    """
    # Keras takes seconds to import, so the model is read first.
    from fast_style.network.layers import default_dtype
    from fast_style.network.transformer_network import build_transformer_network

    with default_dtype(policy):
        network = build_transformer_network(model.architecture)
    assign_variables("network", network.weights, model.arrays, model.source)
    return network


def load_teacher(config: Config, policy: str):
    """Returns the Keras network of the conf's teacher, frozen, or None if it has no weight.

    Raises UserError, naming the key, if its folder holds no network of one style.
    """
    if not config.teacher_weight or config.teacher is None:
        return None
    with naming("teacher"):
        model = read_model(find_model_folder(config.teacher)).in_style(None)
    network = build_network(model, policy)
    network.trainable = False
    return network


def write_model(folder: Path, config: Config, network) -> None:
    """Writes conf.yml and weights.npz. network: a StyledNetwork."""
    write_atomically(folder / CONF, config_as_yaml(config).encode())
    write_arrays(folder / WEIGHTS, variables_as_arrays("network", network.variables))


def write_result(folder: Path, result: dict) -> None:
    """Writes result.json, which marks a training as complete."""
    write_atomically(folder / RESULT, json.dumps(result, indent=2).encode())


def copy_model(model: Model, target: Path) -> None:
    """Writes the model, and its result if it has one, into the folder `target`."""
    write_atomically(target / CONF, as_yaml(model.conf).encode())
    write_arrays(target / WEIGHTS, model.arrays)
    result = model.source.with_name(RESULT)
    if result.exists():
        shutil.copy(result, target / RESULT)


def load_initial_weights(
    network, wanted: str, styles: Mapping[str, Statistics], folder: Path
) -> None:
    """Assigns the network of another model folder to a StyledNetwork or AnyStyleNetwork.

    wanted: the key `network` of the conf. styles: the statistics of its styles. Each takes the one
    that is predicted for these if the folder's network takes any style, or the one of the same name
    if it has several styles, and their mean if none has that name.
    Raises UserError if the folder holds no network with weights of the same shapes.
    """
    model = read_model(folder)
    found = model.architecture.name
    if not model.architecture.has_weights_like(ARCHITECTURES[wanted]):
        raise UserError(
            f"init_from: {folder}: has network: {found}, but the conf has network: {wanted}; "
            f"name a folder with network: {wanted}, or null"
        )
    variables = network.variables
    predicts = any(variable.path.startswith(PREDICTOR) for variable in variables)
    if predicts and not model.takes_any_style:  # the predictor begins as it is
        arrays = model.in_style_like("").arrays
        variables = network.network.trainable_variables
    elif predicts:
        arrays = model.arrays
    else:
        with naming("init_from"):
            plain = [
                model.arrays_of_style([(statistics, 1.0)])
                if model.takes_any_style
                else model.in_style_like(name).arrays
                for name, statistics in styles.items()
            ]
        arrays = stacked(plain) if len(plain) > 1 else plain[0]
    assign_variables("network", variables, arrays, folder)
