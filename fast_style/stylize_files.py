"""Files, folders and globs through a model: what eval.py does."""

import contextlib
import functools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from fast_style.checkpoints import find_model_folder
from fast_style.errors import UserError, printable
from fast_style.files import make_folder
from fast_style.output_names import pictures_and_insides, refuse_shared_targets, stylized_name
from fast_style.pictures.images import (
    MAX_PIXELS,
    PICTURE_ENDINGS,
    Picture,
    TooManyPixels,
    read_picture,
    read_picture_file,
    write_picture,
)
from fast_style.pictures.masks import decode_mask
from fast_style.side_by_side import side_by_side
from fast_style.style_mix import name_in_style
from fast_style.stylization import Stylization
from fast_style.stylize import Stylizer


@dataclass(frozen=True)
class Job:
    """One picture on its way from a file to another."""

    source: Path
    target: Path
    picture: Picture | None = None
    seconds: float = 0.0  # of the network
    error: UserError | None = None


def stylize_files(
    model: str,
    inputs: Sequence[str],
    output: Path | None = None,
    how: Stylization = Stylization(),
    *,
    mask: str | None = None,
    runtime: str = "auto",
    precision: str = "auto",
    style: str | None = None,
    max_memory: int | None = None,
    allow_huge: bool = False,
) -> int:
    """Stylize files, folders and globs with one loaded model; returns the exit status.

    output: a file for one picture, else a folder that mirrors the folders of the input; by default
    stylized/NAME-MODEL.ENDING, with -STYLE behind MODEL where one is named.
    mask: a picture file, read into how; it applies to each picture of its proportions, and another
    one is a bad picture. A bad picture among several does not stop the others; it is named at the
    end and makes the status 1. Raises UserError for all else.
    """
    folder = find_model_folder(model)
    targets = _targets(inputs, output, name_in_style(folder.name, style))
    most_pixels = sys.maxsize if allow_huge else MAX_PIXELS
    if mask is not None:
        with _naming_allow_huge():
            data = read_picture_file(mask, most_pixels=most_pixels)
            how = replace(how, mask=decode_mask(data, mask, most_pixels=most_pixels))
    stylizer = Stylizer(folder, runtime, precision, style, max_memory)

    @_unless_it_failed
    def read(job: Job) -> Job:
        with _naming_allow_huge():
            picture = read_picture(job.source, most_pixels=most_pixels)
        make_folder(job.target.parent)  # what cannot be made is told before the network's work
        return replace(job, picture=picture)

    @_unless_it_failed
    def stylized(job: Job) -> Job:
        assert job.picture is not None
        started = time.perf_counter()
        try:
            picture = stylizer.stylize(job.picture, how)
        except UserError as error:
            raise UserError(f"{job.source}: {error}") from error
        return replace(job, picture=picture, seconds=time.perf_counter() - started)

    jobs = (Job(*paths) for paths in targets.items())
    failed: list[UserError] = []
    # A picture is read and another one written while the network has a third.
    with side_by_side(map(read, jobs), stylized) as done:
        written = map(_written, done)
        for job in tqdm(written, total=len(targets), unit=" pictures", disable=len(targets) == 1):
            if job.picture is not None:
                height, width = job.picture.rgb.shape[:2]
                target = printable(str(job.target))
                tqdm.write(f"{target}  {width}x{height}  {job.seconds:.2f} s")
            elif job.error is not None:
                failed.append(job.error)
    if failed and len(targets) == 1:
        raise failed[0]
    for error in failed:
        print(f"error: {error}", file=sys.stderr)
    return 1 if failed else 0


@contextlib.contextmanager
def _naming_allow_huge() -> Iterator[None]:
    try:
        yield
    except TooManyPixels as error:
        raise UserError(f"{error}; --allow-huge reads it") from None


def _unless_it_failed(stage: Callable[[Job], Job]) -> Callable[[Job], Job]:
    @functools.wraps(stage)
    def attempted(job: Job) -> Job:
        if job.error is not None:
            return job
        try:
            return stage(job)
        except UserError as error:
            return replace(job, picture=None, error=error)

    return attempted


@_unless_it_failed
def _written(job: Job) -> Job:
    assert job.picture is not None
    write_picture(job.target, job.picture)
    return job


def _targets(inputs: Sequence[str], output: Path | None, model: str) -> dict[Path, Path]:
    """Where the stylized image of each picture goes; UserError where two would go to one place."""
    relative = pictures_and_insides(inputs)
    if output is not None and len(relative) == 1 and not output.is_dir() and output.suffix:
        if output.suffix.lower() not in PICTURE_ENDINGS:
            endings = ", ".join(PICTURE_ENDINGS)
            raise UserError(f"--output {output}: is not a picture's name; endings: {endings}")
        return {next(iter(relative)): output}
    if output is not None and output.is_file():
        raise UserError(f"--output {output}: is a file; {len(relative)} pictures need a folder")
    folder = output or Path("stylized")
    targets = {
        picture: folder / stylized_name(str(inside), model) for picture, inside in relative.items()
    }
    refuse_shared_targets("--image", targets.items())
    return targets
