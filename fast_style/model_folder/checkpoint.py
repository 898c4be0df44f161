"""The checkpoints of a training."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from fast_style.conf.conf_file import check_types
from fast_style.conf.config import OBSERVING_KEYS, PAINTING_KEYS, Config
from fast_style.errors import UserError
from fast_style.files import make_folder, read_bytes
from fast_style.model_folder.layout import CHECKPOINTS, RESULT
from fast_style.model_folder.npz import check_weights, read_arrays, write_arrays
from fast_style.model_folder.variables import of_network

# The hashes of a training's files, and the conf keys of their paths. If the hash is the same, the
# paths may differ.
HASH_KEYS = {
    "style_image_sha256": frozenset({"style_image", "style_images"}),
    "loss_model_file_sha256": frozenset({"loss_model_file"}),
}


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a training needs to resume after `step` steps as if it had never stopped.

    seconds: how long the steps took. precision: 'float32' or 'bfloat16'. config: the conf.
    notes: the terms of the last step ('last_step') and of the held-out pictures before the first
    ('validation_before'), the number of training pictures ('pictures'), and the hashes of the
    style images and of the loss network's file (HASH_KEYS). arrays: the variables of the
    transformer network as 'network/PATH' and of the optimizer as 'optimizer/PATH'.
    """

    step: int
    seconds: float
    precision: str
    config: dict
    notes: dict
    arrays: dict[str, np.ndarray]

    def check(self, where: str) -> None:
        """Raises UserError if no training can have written this. where: the file, for messages."""
        numbers = isinstance(self.step, int) and isinstance(self.seconds, int | float)
        dicts = isinstance(self.notes, dict) and isinstance(self.config, dict)
        needed = {"last_step", "validation_before"}
        if not (numbers and dicts and self.step >= 0 and needed <= self.notes.keys()):
            raise UserError(f"{where}: has a header that no training wrote")
        check_types({**self.config, "precision": self.precision}, where)
        check_weights(of_network(self.arrays), where)

    def save(self, folder: Path, keep: int) -> None:
        """Writes checkpoints/STEP.npz, whole or not at all, and keeps only the newest `keep`."""
        path = folder / CHECKPOINTS / f"{self.step:08d}.npz"
        make_folder(path.parent)
        header = {name: value for name, value in vars(self).items() if name != "arrays"}
        write_arrays(path, {"header": np.array(json.dumps(header))} | self.arrays)
        for old in checkpoint_files(folder)[:-keep]:
            old.unlink(missing_ok=True)


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """Returns the newest checkpoint that can be read, or None. Damaged ones are logged."""
    for path in reversed(checkpoint_files(folder)):
        try:
            arrays = read_arrays(path)
            header = json.loads(str(arrays.pop("header")))
            checkpoint = Checkpoint(arrays=arrays, **header)
            checkpoint.check(str(path))
            return checkpoint
        except (UserError, KeyError, TypeError, ValueError, RecursionError) as error:
            logging.warning("%s is damaged (%s); the one before it is used", path, error)
    return None


def checkpoint_files(folder: Path) -> list[Path]:
    """Returns the files of a model folder's checkpoints, the newest last."""
    return sorted((folder / CHECKPOINTS).glob("[0-9]*.npz"))


def check_same_training(
    checkpoint: Checkpoint, config: Config, hashes: Mapping[str, Any], folder: Path
) -> None:
    """Raises UserError, naming the keys, if `config` would not continue the same training.

    The number of steps may differ, and the keys that only change what is written about a training.
    Files are compared by their `hashes`, as provenance.hashes returns them.
    """
    # A key that is newer than the checkpoint had the effect of its default.
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
            f"give the conf another naming (with init_from: {folder} to begin from its weights), "
            "or start again with --restart"
        )


def _alike(key: str, there: Any, now: Any) -> bool:
    if key.startswith("style_image") and isinstance(there, dict) and isinstance(now, dict):
        return list(there.items()) == list(now.items())  # the order numbers the styles
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
    """Raises UserError if another training has written a checkpoint since this one was read."""
    newest = newest_checkpoint(folder)
    if (newest and newest.step) != (checkpoint and checkpoint.step):
        raise UserError(f"{folder}: another training has written into it; start this one again")
