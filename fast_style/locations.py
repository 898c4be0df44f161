"""Where the files that a conf or a flag names are looked for."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
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


def by_its_name(folder: Path) -> Path:
    """The folder by a path that ends with its name, which `.` and `..` do not."""
    return folder.resolve() if folder.name in ("", "..") else folder
