"""A model folder on disk.

conf.yml          the resolved conf
weights.npz       the trained transformer network's variables
style.npz         the style's statistics, which can replace its image in another conf
result.json       losses, steps, seconds, hardware, versions
saved_model.pb, variables/    the same network as a SavedModel
checkpoints/      STEP.npz: network, optimizer, step, conf; enough to go on bit for bit
logs/             TensorBoard
previews/         fixed pictures, stylized as the training went on
training.lock     while a training runs
"""

import dataclasses
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from absl import logging

from fast_style.conf.conf_file import check_types, config_as_yaml, config_from_mapping, read_yaml
from fast_style.conf.config import OBSERVING_KEYS, PAINTING_KEYS, Config, named_images
from fast_style.conf.locations import PROJECT, by_its_name
from fast_style.conf.names import as_name, check_name
from fast_style.errors import UserError, nearest
from fast_style.files import UNFINISHED_FILES, make_folder, read_bytes, write_atomically
from fast_style.model_folder.eight_bit_weights import dequantized
from fast_style.model_folder.npz import check_weights, read_arrays, write_arrays
from fast_style.network.architecture import Architecture, architecture_of
from fast_style.network.style_mix import mixed, name_in_style, style_proportions

CONF = "conf.yml"
WEIGHTS = "weights.npz"
RESULT = "result.json"
CHECKPOINTS = "checkpoints"
STATISTICS = "style*.npz"  # style-NAME.npz of several
LOGS = "logs"
PREVIEWS = "previews"
UNFINISHED_SAVED_MODEL = ".saving-"  # and more characters
WRITTEN_BY_TRAINING = (
    CONF,
    WEIGHTS,
    RESULT,
    CHECKPOINTS,
    LOGS,
    PREVIEWS,
    "saved_model.pb",
    "fingerprint.pb",
    "variables",
    "assets",
)


# The hashes of a training's files, and the keys of their paths, which may then differ.
HASH_KEYS = {
    "style_image_sha256": frozenset({"style_image", "style_images"}),
    "loss_model_file_sha256": frozenset({"loss_model_file"}),
}


@dataclass(frozen=True)
class Checkpoint:
    """Everything a training needs to resume after `step` steps as if it had never stopped."""

    step: int
    seconds: float
    precision: str
    config: dict
    notes: dict
    arrays: dict[str, np.ndarray]

    def check(self, where: str) -> None:
        """Raise UserError where its contents cannot be those of a training."""
        numbers = isinstance(self.step, int) and isinstance(self.seconds, int | float)
        notes = isinstance(self.notes, dict) and {"last_step", "validation_before"} <= set(
            self.notes
        )
        if not numbers or self.step < 0 or not notes or not isinstance(self.config, dict):
            raise UserError(f"{where}: has a header that no training wrote")
        check_types({**self.config, "precision": self.precision}, where)
        check_weights(_of_network(self.arrays), where)

    def save(self, folder: Path, keep: int) -> None:
        """Write checkpoints/STEP.npz whole or not at all; only the newest `keep` remain."""
        checkpoints = folder / CHECKPOINTS
        make_folder(checkpoints)
        header = {
            "step": self.step,
            "seconds": self.seconds,
            "precision": self.precision,
            "config": self.config,
            "notes": self.notes,
        }
        write_arrays(
            checkpoints / f"{self.step:08d}.npz",
            {"header": np.array(json.dumps(header))} | self.arrays,
        )
        for old in _checkpoint_files(folder)[:-keep]:
            old.unlink(missing_ok=True)


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that can be read; a damaged one is passed over and named in the log."""
    for path in reversed(_checkpoint_files(folder)):
        try:
            arrays = read_arrays(path)
            header = json.loads(str(arrays.pop("header")))
            checkpoint = Checkpoint(arrays=arrays, **header)
            checkpoint.check(str(path))
            return checkpoint
        except (UserError, KeyError, TypeError, ValueError, RecursionError) as error:
            logging.warning("%s is damaged (%s); going back to the one before it", path, error)
    return None


def check_same_training(
    checkpoint: Checkpoint, config: Config, hashes: Mapping[str, Any], folder: Path
) -> None:
    """Raise UserError, naming the keys, where `config` would not continue the same training.

    More steps are fine, and so is whatever only changes what is written about the training. Of
    files the contents count: hashes as provenance.hashes has them.
    """
    # A key that came later is at its default there, which leaves a training as it was.
    defaults = {field.name: field.default for field in dataclasses.fields(Config)}
    there = defaults | checkpoint.config
    wanted = dataclasses.asdict(config)
    free = OBSERVING_KEYS | PAINTING_KEYS | {"steps", "epoch"}
    # The result of an earlier version has the hashes that its checkpoints lack.
    hashes_there = _result_of(folder) | checkpoint.notes
    for key, keys_of_paths in HASH_KEYS.items():
        if key in hashes_there:
            there[key], wanted[key] = hashes_there[key], hashes[key]
            if _alike(key, there[key], wanted[key]):
                free |= keys_of_paths
    differing = [
        _difference(key, there[key], value)
        for key, value in wanted.items()
        if key not in free and not _alike(key, there[key], value)
    ]
    if differing:
        raise UserError(
            f"{folder}: its checkpoint was trained with other values of {', '.join(differing)}; "
            f"give the conf another naming, with init_from: {folder} to begin from its weights, or "
            "--restart to begin anew"
        )


def _alike(key: str, there: Any, now: Any) -> bool:
    if key.startswith("style_image") and isinstance(there, dict) and isinstance(now, dict):
        return list(there.items()) == list(now.items())  # a style's number is its place
    return there == now


def _difference(key: str, there: Any, now: Any) -> str:
    if isinstance(there, dict) and isinstance(now, dict):
        names = [name for name in there | now if there.get(name) != now.get(name)]
        there, now = ({n: one[n] for n in names or one if n in one} for one in (there, now))
    hint = "; the file is another one" if key in HASH_KEYS else ""
    return f"{key} ({there!r} there, {now!r} now{hint})"


def _result_of(folder: Path) -> dict:
    try:
        result = json.loads(read_bytes(folder / RESULT))
    except (UserError, ValueError):
        return {}
    return result if isinstance(result, dict) else {}


def check_still_newest(checkpoint: Checkpoint | None, folder: Path) -> None:
    """Raise UserError where a training has written others since `checkpoint` was read there."""
    newest = newest_checkpoint(folder)
    if (newest and newest.step) != (checkpoint and checkpoint.step):
        raise UserError(f"{folder}: another training wrote into it meanwhile; start this one again")


def variables_as_arrays(prefix: str, variables: Iterable) -> dict[str, np.ndarray]:
    """Keras variables as 'PREFIX/path' to array."""
    return {f"{prefix}/{variable.path}": np.asarray(variable) for variable in variables}


def assign_variables(prefix: str, variables: Iterable, arrays: dict[str, np.ndarray], source: Path):
    """Give Keras variables the values saved under their paths; UserError where one does not fit."""
    for variable in variables:
        saved = arrays.get(f"{prefix}/{variable.path}")
        if saved is None or tuple(saved.shape) != tuple(variable.shape):
            found = "lacks it" if saved is None else f"has it with shape {saved.shape}"
            raise UserError(
                f"{source}: {variable.path} of shape {tuple(variable.shape)} is wanted, the file "
                f"{found}; it was written for another network"
            )
        variable.assign(saved)


def write_model(folder: Path, config: Config, network) -> None:
    """Write the trained StyledNetwork and its conf, which make the folder a model folder."""
    write_atomically(folder / CONF, config_as_yaml(config).encode())
    write_arrays(folder / WEIGHTS, variables_as_arrays("network", network.variables))


def write_result(folder: Path, result: dict) -> None:
    """Write the result of a finished training; its file marks the training as complete."""
    write_atomically(folder / RESULT, json.dumps(result, indent=2).encode())


def load_network(folder: Path, policy: str = "float32", style: str | None = None):
    """The transformer network of a model folder, computing in the dtype policy `policy`.

    style: of a folder with several, a name or a mix such as 'candy=0.6,wave=0.4'.
    A training that has not finished gives its newest checkpoint, and says so.
    Raises UserError where the folder holds no model, a damaged one, or not that style.
    """
    return build_network(read_model(folder).in_style(style), policy)


def build_network(model: "Model", policy: str = "float32"):
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


def copy_model(model: Model, target: Path) -> None:
    """Make the folder `target` a model folder with the model and its result, if it has one."""
    conf_text = yaml.safe_dump(model.conf, sort_keys=False, allow_unicode=True)
    write_atomically(target / CONF, conf_text.encode())
    write_arrays(target / WEIGHTS, model.arrays)
    result = model.source.with_name(RESULT)
    if result.exists():
        shutil.copy(result, target / RESULT)


def read_model(folder: Path) -> Model:
    """Read a model folder; of an unfinished training its newest checkpoint, with a warning.

    Raises UserError where the folder holds no model or a damaged one.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such model folder; {_models_there_are(folder)}")
    if (folder / WEIGHTS).exists() and (folder / CONF).exists():
        arrays = dequantized(read_arrays(folder / WEIGHTS))
        check_weights(_of_network(arrays), str(folder / WEIGHTS))
        return Model(_read_conf(folder / CONF), arrays, folder / WEIGHTS)
    checkpoint = newest_checkpoint(folder)
    if checkpoint is None:
        raise UserError(
            f"{folder}: holds no model (no {WEIGHTS} with {CONF}, no {CHECKPOINTS}/*.npz); "
            f"{_models_there_are(folder)}"
        )
    logging.warning("%s: not finished; taking its checkpoint of step %d", folder, checkpoint.step)
    return Model(checkpoint.config, _of_network(checkpoint.arrays), folder / CHECKPOINTS)


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
            check_name(name, str(path))
    return conf


def _of_network(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: array for name, array in arrays.items() if name.startswith("network/")}


def find_model_folder(name: str) -> Path:
    """The model folder `name`, or the one of that name in pretrained/, which is then logged.

    A name alone, such as 'candy', means the shipped one where there is no such folder; that is not
    logged. The path ends with the folder's name, by which outputs are called.
    """
    folder = by_its_name(Path(name))
    shipped = PROJECT / "pretrained" / folder.name
    if not folder.exists() and shipped.is_dir():
        if name != folder.name:  # a name alone is that of what ships
            logging.warning("%s is not there; taking %s", folder, shipped)
        return shipped
    return folder


def begin_anew(folder: Path) -> None:
    """Remove the files that an earlier training wrote into the folder, and nothing else."""
    for name in WRITTEN_BY_TRAINING:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for statistics in folder.glob(STATISTICS):
        statistics.unlink()


def remove_unfinished(folder: Path) -> None:
    """Remove the unfinished files of a training that was killed; none may be running."""
    for place in (folder, folder / CHECKPOINTS, folder / PREVIEWS):
        for file in place.glob(UNFINISHED_FILES):
            file.unlink(missing_ok=True)
    for saved_model in folder.glob(f"{UNFINISHED_SAVED_MODEL}*"):
        shutil.rmtree(saved_model)


def _checkpoint_files(folder: Path) -> list[Path]:
    return sorted((folder / CHECKPOINTS).glob("[0-9]*.npz"))


def names_of_models(models: Iterable[str | Path]) -> set[str]:
    """Names that results may end with: of these models, their siblings and the shipped ones."""
    folders = [Path(model) for model in models]
    return {beside.name for folder in folders for beside in (folder, *_models_beside(folder))}


def _models_beside(folder: Path) -> set[Path]:
    parents = (folder.parent, PROJECT / "pretrained")
    return {weights.parent for parent in parents for weights in parent.glob(f"*/{WEIGHTS}")}


def _models_there_are(folder: Path) -> str:
    beside = {str(path.parent) for path in folder.parent.glob(f"*/{WEIGHTS}")}
    shipped = {path.parent.name for path in (PROJECT / "pretrained").glob(f"*/{WEIGHTS}")}
    names = sorted(beside | shipped)
    return nearest(str(folder), names) if names else "train one with train.py"
