"""The places of the files that a conf or a flag names."""

import re
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
# An installed wheel carries the scripts, conf/, img/ and pretrained/ inside the package.
PROJECT = _PACKAGE / "box" if (_PACKAGE / "box").is_dir() else _PACKAGE.parent


def locate(path: str) -> Path:
    """Returns `path`, or `path` in the project's folder if only this exists.

    A leading `~` is the home folder.
    """
    given = Path(path).expanduser()
    under_project = PROJECT / given
    return under_project if not given.exists() and under_project.exists() else given


def locate_weights(name: str) -> Path:
    """Returns what `locate` does, for a file of weights; for a TF-slim V2 checkpoint its index.

    The name can be the checkpoint's prefix or one of its two files.
    """
    prefix = re.sub(r"\.(index|data-\d+-of-\d+)$", "", name)
    index = locate(f"{prefix}.index")
    return index if index.is_file() else locate(name)


def beside(path: str, folder: Path) -> str:
    """Returns `path`, or `path` in a conf's `folder` if only this is a file."""
    given = Path(path).expanduser()
    return str(folder / given) if not given.exists() and (folder / given).is_file() else path


def looked_in(path: str, folder: Path) -> str:
    """Returns the part of a message that names the places searched for a conf's file."""
    if Path(path).expanduser().is_absolute():
        return ""
    places = dict.fromkeys(str(place.resolve()) for place in (Path(), folder, PROJECT))
    return f"; looked in {', '.join(places)}"


def by_its_name(folder: Path) -> Path:
    """Returns the folder as a path that ends with its name, unlike `.` and `..`."""
    return folder.resolve() if folder.name in ("", "..") else folder
