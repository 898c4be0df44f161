"""The files of a model folder, and where model folders are found.

conf.yml          the resolved conf
weights.npz       the trained transformer network's variables
style.npz         the style's statistics, which can replace its image in another conf
result.json       losses, steps, seconds, hardware, versions
saved_model.pb, variables/    the same network as a SavedModel
checkpoints/      STEP.npz: everything that a training resumes from (checkpoint.Checkpoint)
logs/             TensorBoard
previews/         the same pictures, stylized at intervals during the training
training.lock     locked while a training runs
"""

import shutil
from collections.abc import Iterable
from pathlib import Path

from absl import logging

from fast_style.conf.locations import PROJECT, by_its_name
from fast_style.errors import nearest
from fast_style.files import UNFINISHED_FILES

CONF = "conf.yml"
WEIGHTS = "weights.npz"
RESULT = "result.json"
CHECKPOINTS = "checkpoints"
STATISTICS = "style*.npz"  # style-NAME.npz for each of several styles
LOGS = "logs"
PREVIEWS = "previews"
UNFINISHED_SAVED_MODEL = ".saving-"  # and more characters
SAVED_MODEL = ("saved_model.pb", "fingerprint.pb", "variables", "assets")
WRITTEN_BY_TRAINING = (CONF, WEIGHTS, RESULT, CHECKPOINTS, LOGS, PREVIEWS, *SAVED_MODEL)

SHIPPED = PROJECT / "pretrained"


def find_model_folder(name: str) -> Path:
    """Returns the model folder `name`, or the one of that name in pretrained/ if there is none.

    The latter is logged if `name` is a path, but not if it is a name alone, such as 'candy'.
    """
    folder = by_its_name(Path(name))
    shipped = SHIPPED / folder.name
    if not folder.exists() and shipped.is_dir():
        if name != folder.name:
            logging.warning("%s does not exist; %s is used instead", folder, shipped)
        return shipped
    return folder


def names_of_models(models: Iterable[str | Path]) -> set[str]:
    """Returns the names of these models, of those beside them and of the shipped ones."""
    folders = [Path(model) for model in models]
    beside = [found for folder in folders for found in _models_in(folder.parent)]
    return {folder.name for folder in (*folders, *beside, *shipped_models())}


def models_there_are(folder: Path) -> str:
    """Returns the end of a message that `folder` is no model: which models there are."""
    beside = {str(path) for path in _models_in(folder.parent)}
    names = sorted(beside | {shipped.name for shipped in shipped_models()})
    return nearest(str(folder), names) if names else "train one with train.py"


def shipped_models() -> list[Path]:
    """Returns the model folders in pretrained/."""
    return _models_in(SHIPPED)


def _models_in(parent: Path) -> list[Path]:
    return sorted(path.parent for path in parent.glob(f"*/{WEIGHTS}"))


def begin_anew(folder: Path) -> None:
    """Removes what an earlier training wrote into the folder, and nothing else."""
    for name in WRITTEN_BY_TRAINING:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for statistics in folder.glob(STATISTICS):
        statistics.unlink()


def remove_unfinished(folder: Path) -> None:
    """Removes the unfinished files of a training that was killed. No training may be running."""
    for place in (folder, folder / CHECKPOINTS, folder / PREVIEWS):
        for file in place.glob(UNFINISHED_FILES):
            file.unlink(missing_ok=True)
    for saved_model in folder.glob(f"{UNFINISHED_SAVED_MODEL}*"):
        shutil.rmtree(saved_model)
