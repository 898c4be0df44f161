"""Which pictures are stylized, what the results are called, and that no two are called the same."""

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
    """What files, folders and globs stand for.

    insides: the pictures, each with its path inside its folder; of a file or a glob that is the
    name alone. left_out: pictures of kinds that are not read, each with the reason. others: files
    that are no pictures. results: what earlier runs made of the pictures.
    """

    insides: dict[Path, Path] = field(default_factory=dict)
    left_out: dict[Path, str] = field(default_factory=dict)
    others: list[Path] = field(default_factory=list)
    results: list[Path] = field(default_factory=list)


def gather_inputs(specs: Iterable[str], output: Path | None, models: Collection[str]) -> Inputs:
    """The pictures that files, folders and globs stand for, without results of earlier runs.

    output, models: as in results_among; None where nothing is written to this disk. Raises
    UserError as search does, and where there are results alone.
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
    """The folder below which all lies that a glob stands for."""
    plain = itertools.takewhile(lambda part: not glob.has_magic(part), pattern.parts)
    return type(pattern)(*plain)


def results_among(
    pictures: Iterable[AnyPath], looked_in: PurePath, output: PurePath, models: Collection[str]
) -> set[AnyPath]:
    """Those of the pictures in a folder that earlier runs wrote there.

    output: the folder, or the file, that is written to. Where it is inside of the folder, that is
    all that it holds; where it is the folder itself, what is called NAME-MODEL beside a picture
    NAME. models: what results may be named after; a style may follow. All paths are absolute.
    """
    pictures = set(pictures)
    if looked_in in output.parents:
        return {path for path in pictures if output == path or output in path.parents}
    if looked_in != output and output not in looked_in.parents:
        return set()
    originals = {(path.parent, _stem(path.name)) for path in pictures}
    return {
        path
        for path in pictures
        if any(
            (path.parent, name) in originals and _names_one(models, rest)
            for name, rest in _splits(path.stem)
        )
    }


def _splits(stem: str) -> Iterable[tuple[str, str]]:
    parts = stem.split("-")
    return (("-".join(parts[:n]), "-".join(parts[n:])) for n in range(1, len(parts)))


def _names_one(models: Collection[str], name: str) -> bool:
    return any(name == model or name.startswith(f"{model}-") for model in models)


def stylized_names(inside: str, model: str) -> tuple[str, str]:
    """Where the stylized image of the picture `inside` an input folder goes inside the output's.

    model: as style_mix.name_in_style has it. The first is for a picture without alpha, the second
    for one with it; they differ where the picture's own format is not written.
    """
    ending = os.path.splitext(inside)[1]
    named = f"{_stem(inside)}-{model}"
    if ending.lower() == ".gif":  # a stylized picture has more colours than its palette holds
        return f"{named}.png", f"{named}.png"
    if ending.lower() in WRITTEN:
        return f"{named}{ending}", f"{named}{ending}"
    return f"{named}.jpg", f"{named}.png"


def _stem(name: str) -> str:
    """The name without its ending, where that tells a format that is written.

    Of the others the same picture may be there several times: a.avif, a.heic and a.jpg.
    """
    stem, ending = os.path.splitext(name)
    return stem if ending.lower() in WRITTEN else name


def refuse_shared_targets(flag: str, targets: Iterable[tuple[Place, tuple[Place, Place]]]) -> None:
    """Raise UserError where two pictures would become one file.

    targets: (picture, files) as stylized_names has them.
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
    """Raise UserError where a picture would be replaced by a stylized image, of any of them."""
    real = {os.path.realpath(picture): picture for picture in pictures}
    for targets in pictures.values():
        for target in targets:
            replaced = real.get(os.path.realpath(target))
            if replaced is not None:
                raise UserError(f"--output: {target} would replace {replaced}; --overwrite does it")
