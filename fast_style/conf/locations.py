"""Where the files that a conf or a flag names are looked for."""

import re
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
# An installed wheel carries the scripts, conf/, img/ and pretrained/ inside the package.
PROJECT = _PACKAGE / "box" if (_PACKAGE / "box").is_dir() else _PACKAGE.parent


def locate(path: str) -> Path:
    """The first that exists of `path` as given and `path` under the project's folder.

    A leading `~` is the home folder. Where neither exists, the path as given comes back, so that
    the caller can name it.
    """
    given = Path(path).expanduser()
    under_project = PROJECT / given
    return under_project if not given.exists() and under_project.exists() else given


def locate_weights(name: str) -> Path:
    """As `locate`, for a file of weights; of a TF-slim V2 checkpoint its index.

    People name its prefix, which is no file, or one of its two files.
    """
    prefix = re.sub(r"\.(index|data-\d+-of-\d+)$", "", name)
    index = locate(f"{prefix}.index")
    return index if index.is_file() else locate(name)


def beside(path: str, folder: Path) -> str:
    """The path of a file that a conf in `folder` names: as given, or else in that folder.

    Where it is in neither, the path as given comes back, for `locate`.
    """
    given = Path(path).expanduser()
    return str(folder / given) if not given.exists() and (folder / given).is_file() else path


def looked_in(path: str, folder: Path) -> str:
    """The part of a message that names where a file of a conf in `folder` was looked for."""
    if Path(path).expanduser().is_absolute():
        return ""
    places = dict.fromkeys(str(place.resolve()) for place in (Path(), folder, PROJECT))
    return f"; looked in {', '.join(places)}"


def by_its_name(folder: Path) -> Path:
    """The folder by a path that ends with its name, which `.` and `..` do not."""
    return folder.resolve() if folder.name in ("", "..") else folder
