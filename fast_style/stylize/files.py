"""Stylizes files, folders and globs: what eval.py does."""

import contextlib
import functools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from fast_style.errors import UserError, naming, printable
from fast_style.files import make_folder
from fast_style.model_folder.layout import find_model_folder, names_of_models
from fast_style.network.style_mix import name_in_style
from fast_style.pictures.formats import WRITTEN
from fast_style.pictures.images import (
    MAX_PIXELS,
    Picture,
    TooManyPixels,
    check_picture_target,
    read_picture,
    read_picture_file,
    write_picture,
)
from fast_style.pictures.masks import decode_mask
from fast_style.pipeline import pipeline
from fast_style.stylize.output_names import (
    Inputs,
    gather_inputs,
    refuse_own_inputs,
    refuse_shared_targets,
    stylized_names,
)
from fast_style.stylize.stylization import Stylization
from fast_style.stylize.stylizer import Stylizer

DEFAULT_OUTPUT = Path("stylized")
SHOWN = 5  # files that are no pictures


@dataclass(frozen=True)
class Job:
    """One picture on its way from a file to another.

    targets: the file for a picture without alpha, and for one with it.
    """

    source: Path
    targets: tuple[Path, Path]
    picture: Picture | None = None
    seconds: float = 0.0  # of the network
    error: UserError | None = None

    @property
    def target(self) -> Path:
        has_alpha = self.picture is not None and self.picture.alpha is not None
        return self.targets[has_alpha]


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
    overwrite: bool = False,
) -> int:
    """Stylize files, folders and globs with one loaded model; returns the exit status.

    output: a file for one picture, else a folder that mirrors the folders of the input; by default
    stylized/NAME-MODEL.ENDING, with -STYLE behind MODEL where one is named. Pictures of formats
    that are not written become .jpg, or .png where they have alpha. overwrite: whether a result may
    replace one of the pictures. mask: a picture file, read into how; it applies to each picture of
    its proportions, and another one is a bad picture. A bad picture among several, and one of a
    kind that is not read, does not stop the others; it is named at the end and makes the status 1.
    Raises UserError for all else.
    """
    folder = find_model_folder(model)
    found = gather_inputs(inputs, output or DEFAULT_OUTPUT, names_of_models([folder]))
    targets = _targets(found, output, name_in_style(folder.name, style))
    if not overwrite:
        refuse_own_inputs(targets)
    most_pixels = sys.maxsize if allow_huge else MAX_PIXELS
    if mask is not None:
        with naming_allow_huge():
            data = read_picture_file(mask, most_pixels=most_pixels)
            how = replace(how, mask=decode_mask(data, mask, most_pixels=most_pixels))
    stylizer = Stylizer(folder, runtime, precision, style, max_memory)

    @_unless_it_failed
    def read(job: Job) -> Job:
        with naming_allow_huge():
            picture = read_picture(job.source, most_pixels=most_pixels)
        job = replace(job, picture=picture)
        # Before the network runs: a target that cannot be written costs no work then.
        make_folder(job.target.parent)
        check_picture_target(job.target)
        return job

    @_unless_it_failed
    def stylized(job: Job) -> Job:
        assert job.picture is not None
        started = time.perf_counter()
        with naming(job.source):
            picture = stylizer.stylize(job.picture, how)
        return replace(job, picture=picture, seconds=time.perf_counter() - started)

    jobs = (Job(*paths) for paths in targets.items())
    failed: list[UserError] = []
    # A picture is read and another one written while the network has a third.
    with pipeline(map(read, jobs), stylized) as done:
        written = map(_written, done)
        for job in tqdm(written, total=len(targets), unit=" pictures", disable=len(targets) == 1):
            if job.picture is not None:
                height, width = job.picture.rgb.shape[:2]
                target = printable(str(job.target))
                tqdm.write(f"{target}  {width}x{height}  {job.seconds:.2f} s")
            elif job.error is not None:
                failed.append(job.error)
    if failed and len(targets) == 1 and not found.left_out:
        raise failed[0]
    for error in failed:
        print(f"error: {error}", file=sys.stderr)
    _report(found, len(failed))
    return 1 if failed or found.left_out else 0


def _report(found: Inputs, failed: int) -> None:
    """Print which files were left out or passed over, and how many pictures failed."""
    for path, reason in found.left_out.items():
        print(printable(f"left out: {path}: {reason}"), file=sys.stderr)
    kinds = {"no pictures": found.others, "results of an earlier run": found.results}
    for kind, paths in kinds.items():
        if paths:
            named = ", ".join(map(str, paths[:SHOWN]))
            more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
            print(printable(f"passed over as {kind}: {named}{more}"), file=sys.stderr)
    if failed or found.left_out:
        done, left_out = len(found.insides) - failed, len(found.left_out)
        print(f"{done} stylized, {failed} failed, {left_out} left out", file=sys.stderr)


@contextlib.contextmanager
def naming_allow_huge() -> Iterator[None]:
    """Name the flag that reads it in the message of a picture that is refused for its size."""
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


def _targets(found: Inputs, output: Path | None, model: str) -> dict[Path, tuple[Path, Path]]:
    """Where the stylized image of each picture goes; UserError where two would go to one place."""
    pictures = found.insides
    if output is not None and len(pictures) == 1 and not output.is_dir() and output.suffix:
        if output.suffix.lower() not in WRITTEN:
            endings = ", ".join(WRITTEN)
            raise UserError(f"--output {output}: is not a picture's name; endings: {endings}")
        return {next(iter(pictures)): (output, output)}
    if output is not None and output.is_file():
        raise UserError(f"--output {output}: is a file; {len(pictures)} pictures need a folder")
    folder = output or DEFAULT_OUTPUT
    targets = {}
    for picture, inside in pictures.items():
        without_alpha, with_alpha = stylized_names(str(inside), model)
        targets[picture] = (folder / without_alpha, folder / with_alpha)
    refuse_shared_targets("--image", targets.items())
    return targets
