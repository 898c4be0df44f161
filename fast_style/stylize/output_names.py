"""Which pictures are stylized, and the names of the results."""

import functools
import glob
import itertools
import os.path
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TypeVar

from fast_style.errors import UserError
from fast_style.pictures.formats import WRITTEN
from fast_style.pictures.images import search

Place = TypeVar("Place", str, Path)
AnyPath = TypeVar("AnyPath", bound=PurePath)


@dataclass(frozen=True)
class Inputs:
    """The files that the user's files, folders and globs stand for.

    insides: each picture with its path inside its folder; for a file or a glob, its name.
    left_out: pictures of formats that are not read, with the reason. others: all other files.
    results: stylized images of earlier runs.
    """

    insides: dict[Path, Path] = field(default_factory=dict)
    left_out: dict[Path, str] = field(default_factory=dict)
    others: list[Path] = field(default_factory=list)
    results: list[Path] = field(default_factory=list)


def gather_inputs(specs: Iterable[str], output: Path | None, models: Collection[str]) -> Inputs:
    """Returns the pictures that files, folders and globs stand for, without earlier results.

    output, models: as in results_among; None if nothing is written to this disk. Raises UserError
    as search does, and if there are only results.
    """
    inputs = Inputs()
    real = functools.cache(lambda folder: Path(os.path.realpath(folder)))
    for spec in specs:
        given = Path(spec).expanduser()
        found = search(spec)
        inputs.left_out.update(found.left_out)
        inputs.others.extend(found.others)
        results: set[Path] = set()
        if output is not None and not given.is_file():
            folder = given if given.is_dir() else folder_of_glob(given)
            paths = {picture: real(picture.parent) / picture.name for picture in found.pictures}
            among = results_among(paths.values(), real(folder), real(output), models)
            results = {picture for picture, path in paths.items() if path in among}
            inputs.results.extend(sorted(results))
        for picture in found.pictures:
            if picture not in results:
                inside = picture.relative_to(given) if given.is_dir() else Path(picture.name)
                inputs.insides[picture] = inside
    if not inputs.insides:
        raise UserError(f"{inputs.results[0]}: is a result, and there are no other pictures")
    return inputs


def folder_of_glob(pattern: AnyPath) -> AnyPath:
    """Returns the folder that contains everything that a glob stands for."""
    plain = itertools.takewhile(lambda part: not glob.has_magic(part), pattern.parts)
    return type(pattern)(*plain)


def results_among(
    pictures: Iterable[AnyPath], looked_in: PurePath, output: PurePath, models: Collection[str]
) -> set[AnyPath]:
    """Returns those of the pictures in the folder looked_in that earlier runs wrote there.

    output: the folder or file that is written to. If it is inside the folder, its contents are
    results. If it is the folder itself or contains it, results are those named NAME-MODEL or
    NAME-MODEL-STYLE beside a picture NAME. models: the names that MODEL can have. All paths are
    absolute.
    """
    pictures = set(pictures)
    if looked_in in output.parents:
        return {path for path in pictures if output == path or output in path.parents}
    if looked_in != output and output not in looked_in.parents:
        return set()
    originals = {(path.parent, _stem(path.name)) for path in pictures}
    beginnings = tuple(f"{model}-" for model in models)

    def is_result(path: AnyPath) -> bool:
        parts = path.stem.split("-")
        splits = (("-".join(parts[:n]), "-".join(parts[n:])) for n in range(1, len(parts)))
        return any(
            (path.parent, name) in originals and f"{rest}-".startswith(beginnings)
            for name, rest in splits
        )

    return set(filter(is_result, pictures))


def stylized_names(inside: str, model: str) -> tuple[str, str]:
    """Returns the names of the stylized image of a picture, inside the output folder.

    inside: the picture's path inside its folder. model: as style_mix.name_in_style returns it.
    The first name is for a picture without alpha, the second for one with alpha. They differ if
    the picture's own format is not written.
    """
    ending = os.path.splitext(inside)[1]
    named = f"{_stem(inside)}-{model}"
    if ending.lower() == ".gif":  # a palette holds too few colours for a stylized picture
        return f"{named}.png", f"{named}.png"
    if ending.lower() in WRITTEN:
        return f"{named}{ending}", f"{named}{ending}"
    return f"{named}.jpg", f"{named}.png"


def _stem(name: str) -> str:
    """Returns the name without its ending, if it is that of a format that is written.

    Other endings stay: there may be a.avif, a.heic and a.jpg.
    """
    stem, ending = os.path.splitext(name)
    return stem if ending.lower() in WRITTEN else name


def refuse_shared_targets(flag: str, targets: Iterable[tuple[Place, tuple[Place, Place]]]) -> None:
    """Raises UserError if two pictures would become one file.

    targets: (picture, files), the files as stylized_names returns them.
    """
    origins: dict[Place, Place] = {}
    for picture, both in targets:
        for target in dict.fromkeys(both):
            if target in origins:
                raise UserError(
                    f"{flag}: {origins[target]} and {picture} would both become {target}"
                )
            origins[target] = picture


def refuse_own_inputs(pictures: Mapping[Path, Iterable[Path]]) -> None:
    """Raises UserError if a stylized image would replace any of the pictures."""
    real = {os.path.realpath(picture): picture for picture in pictures}
    for targets in pictures.values():
        for target in targets:
            replaced = real.get(os.path.realpath(target))
            if replaced is not None:
                raise UserError(f"--output: {target} would replace {replaced}; --overwrite does it")
