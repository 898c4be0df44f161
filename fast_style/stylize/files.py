"""Stylizes files, folders and globs, for eval.py."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
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
SHOWN = 5  # skipped files that are named


@dataclass
class Job:
    """A picture that is read, stylized and written.

    targets: the file for a picture without alpha, and the one for a picture with alpha.
    """

    source: Path
    targets: tuple[Path, Path]
    picture: Picture = field(init=False)
    seconds: float = 0.0  # of the network
    error: UserError | None = None

    @property
    def target(self) -> Path:
        return self.targets[self.picture.alpha is not None]


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
    """Stylizes files, folders and globs with one model. Returns the exit status.

    output: a file for one picture, or else a folder that mirrors the folders of the input; by
    default stylized/NAME-MODEL.ENDING, or NAME-MODEL-STYLE.ENDING. Pictures of formats that are
    not written become .jpg, or .png if they have alpha.
    mask: a picture file, for pictures with its proportions; other pictures are bad ones.
    overwrite: allows a result to replace one of the pictures.
    Other parameters: see Stylizer and Stylization.

    A bad picture among several, and one of a format that is not read, does not stop the others. It
    is listed at the end, and the status is 1. Raises UserError for all other errors.
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
    def read(job: Job) -> None:
        with naming_allow_huge():
            job.picture = read_picture(job.source, most_pixels=most_pixels)
        # Before the network runs, as it would run for nothing.
        make_folder(job.target.parent)
        check_picture_target(job.target)

    @_unless_it_failed
    def stylize(job: Job) -> None:
        started = time.perf_counter()
        with naming(job.source):
            job.picture = stylizer.stylize(job.picture, how)
        job.seconds = time.perf_counter() - started

    @_unless_it_failed
    def write(job: Job) -> None:
        write_picture(job.target, job.picture)

    jobs = (Job(*paths) for paths in targets.items())
    failed: list[UserError] = []
    # While the network has a picture, the next one is read and the one before it is written.
    with pipeline(map(read, jobs), stylize) as done:
        written = map(write, done)
        for job in tqdm(written, total=len(targets), unit=" pictures", disable=len(targets) == 1):
            if job.error is None:
                height, width = job.picture.rgb.shape[:2]
                target = printable(str(job.target))
                tqdm.write(f"{target}  {width}x{height}  {job.seconds:.2f} s")
            else:
                failed.append(job.error)
    if failed and len(targets) == 1 and not found.left_out:
        raise failed[0]
    for error in failed:
        print(f"error: {error}", file=sys.stderr)
    _report(found, len(failed))
    return 1 if failed or found.left_out else 0


def _report(found: Inputs, failed: int) -> None:
    """Prints which files were left out or skipped, and how many pictures failed."""
    for path, reason in found.left_out.items():
        print(printable(f"left out: {path}: {reason}"), file=sys.stderr)
    kinds = {"files that are no pictures": found.others, "earlier results": found.results}
    for kind, paths in kinds.items():
        if paths:
            named = ", ".join(map(str, paths[:SHOWN]))
            more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
            print(printable(f"skipped {kind}: {named}{more}"), file=sys.stderr)
    if failed or found.left_out:
        done, left_out = len(found.insides) - failed, len(found.left_out)
        print(f"{done} stylized, {failed} failed, {left_out} left out", file=sys.stderr)


@contextlib.contextmanager
def naming_allow_huge() -> Iterator[None]:
    """Names --allow-huge in the message of a picture that has too many pixels."""
    try:
        yield
    except TooManyPixels as error:
        raise UserError(f"{error}; --allow-huge reads it") from None


def _unless_it_failed(stage: Callable[[Job], None]) -> Callable[[Job], Job]:
    """Makes a stage of the pipeline that keeps a UserError in the job, and then skips the job."""

    def attempted(job: Job) -> Job:
        if job.error is None:
            try:
                stage(job)
            except UserError as error:
                job.error = error
        return job

    return attempted


def _targets(found: Inputs, output: Path | None, model: str) -> dict[Path, tuple[Path, Path]]:
    """Returns the files for each picture's stylized image. Raises UserError if two are the same."""
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
