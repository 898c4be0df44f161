"""What a model folder holds, and where model folders are found.

conf.yml          the resolved conf
weights.npz       the trained transformer network's variables
style.npz         the style's statistics, which can replace its image in another conf
result.json       losses, steps, seconds, hardware, versions
saved_model.pb, variables/    the same network as a SavedModel
checkpoints/      STEP.npz: all that a training resumes from, bit for bit (checkpoint.Checkpoint)
logs/             TensorBoard
previews/         fixed pictures, stylized as the training went on
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

SHIPPED = PROJECT / "pretrained"


def find_model_folder(name: str) -> Path:
    """The model folder `name`, or the one of that name in pretrained/, which is then logged.

    A name alone, such as 'candy', means the shipped one where there is no such folder; that is not
    logged. The path ends with the folder's name, by which outputs are called.
    """
    folder = by_its_name(Path(name))
    shipped = SHIPPED / folder.name
    if not folder.exists() and shipped.is_dir():
        if name != folder.name:  # a name alone is that of what ships
            logging.warning("%s is not there; taking %s", folder, shipped)
        return shipped
    return folder


def names_of_models(models: Iterable[str | Path]) -> set[str]:
    """Names that results may end with: of these models, their siblings and the shipped ones."""
    folders = [Path(model) for model in models]
    beside = [found for folder in folders for found in _models_in(folder.parent)]
    return {folder.name for folder in (*folders, *beside, *shipped_models())}


def models_there_are(folder: Path) -> str:
    """The part of a message that names models, where `folder` is none."""
    beside = {str(path) for path in _models_in(folder.parent)}
    names = sorted(beside | {shipped.name for shipped in shipped_models()})
    return nearest(str(folder), names) if names else "train one with train.py"


def shipped_models() -> list[Path]:
    """The model folders in pretrained/."""
    return _models_in(SHIPPED)


def _models_in(parent: Path) -> list[Path]:
    return sorted(path.parent for path in parent.glob(f"*/{WEIGHTS}"))


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
