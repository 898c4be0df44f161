"""What stylized images are called, and that no two of them are called the same."""

import os.path
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from fast_style.errors import UserError
from fast_style.pictures.images import find_pictures

Place = TypeVar("Place", str, Path)


def pictures_and_insides(specs: Iterable[str]) -> dict[Path, Path]:
    """The pictures that files, folders and globs stand for, each with its path inside its folder.

    Of a file or a glob that is the name alone. Raises UserError as find_pictures does.
    """
    insides: dict[Path, Path] = {}
    for spec in specs:
        given = Path(spec).expanduser()
        for picture in find_pictures(spec):
            insides[picture] = picture.relative_to(given) if given.is_dir() else Path(picture.name)
    return insides


def stylized_name(inside: str, model: str) -> str:
    """Where the stylized image of the picture `inside` an input folder goes inside the output's.

    model: as style_mix.name_in_style has it.
    """
    stem, ending = os.path.splitext(inside)
    # A stylized picture has more colours than a GIF's palette holds.
    return f"{stem}-{model}{'.png' if ending.lower() == '.gif' else ending}"


def refuse_shared_targets(flag: str, targets: Iterable[tuple[Place, Place]]) -> None:
    """Raise UserError where two pictures would become one file. targets: (picture, file)."""
    origins: dict[Place, Place] = {}
    for picture, target in targets:
        if target in origins:
            raise UserError(f"{flag}: {origins[target]} and {picture} would both become {target}")
        origins[target] = picture
