"""Stylizes a collection of pictures: from the inputs to the table of broken pictures."""

import contextlib
import csv
import io
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tqdm import tqdm

from fast_style.batch import processes
from fast_style.batch.actors import actors_for
from fast_style.batch.inputs import Pictures, find_inputs
from fast_style.batch.stores import open_store
from fast_style.batch.work import Report, Work, models_by_name
from fast_style.errors import UserError, check_installed, printable
from fast_style.hardware import free_memory, nvidia_gpu, usable_cores
from fast_style.model_folder.layout import names_of_models
from fast_style.pictures.images import MAX_PIXELS
from fast_style.pictures.masks import decode_mask
from fast_style.stylize.files import naming_allow_huge
from fast_style.stylize.stylization import Stylization

BROKEN = "broken.csv"  # in the output folder
SHOWN = 5  # broken pictures that are printed; the table has all of them


def stylize_collection(
    models: Sequence[str],
    inputs: Sequence[str],
    output: str,
    how: Stylization = Stylization(),
    *,
    mask: str | None = None,
    styles: Sequence[str] = (),
    image_column: str = "bytes",
    name_column: str = "name",
    address: str | None = None,
    actors: int | None = None,
    cpus_per_actor: int | None = None,
    gpus_per_actor: float | None = None,
    runtime: str = "auto",
    precision: str = "auto",
    allow_huge: bool = False,
) -> int:
    """Stylizes files, folders, globs, Parquet files and URLs, and returns the exit status.

    output: a folder or its URL. It gets the folders of the input, as with eval.py; a Parquet file
    counts as a folder of its pictures. Several models or styles write one file each, next to each
    other. Stylized images that exist are not made again.
    mask: a picture file or its URL, for pictures of its proportions.
    address: a Ray cluster. None: this machine. Its GPUs are used through Ray, and its cores
    by processes, which import the calling script again.
    Pictures that are broken or in a format that is not read are listed in OUTPUT/broken.csv. They
    do not stop the others; the exit status is then 1. Raises UserError for all other errors.
    """
    named = models_by_name(models, styles, runtime, precision)
    store, folder = open_store(output)
    if store.has(folder):
        raise UserError(f"--output {output}: is a file; name a folder")
    known = {*named, *names_of_models(models)}
    pictures = find_inputs(inputs, list(named), image_column, name_column, (store, folder), known)
    done = {name for name, size in store.sizes_below(folder).items() if size}
    left = pictures.without(done, list(named))
    most_pixels = sys.maxsize if allow_huge else MAX_PIXELS
    if mask is not None:
        mask_store, mask_path = open_store(mask)
        with naming_allow_huge():
            data = mask_store.read(mask_path)
            how = replace(how, mask=decode_mask(data, mask, most_pixels=most_pixels))
    work = Work(named, store, folder, most_pixels, runtime, precision, how)
    left_out = list(pictures.left_out.items())
    total = Report(already_done=(pictures.count - left.count) * len(named), broken=left_out)
    asked = {"cpus": cpus_per_actor, "gpus": gpus_per_actor, "count": actors}
    reports = _reports(work, left, address, asked)
    started = time.monotonic()
    _write_table(work, total)  # before any work, to see that the output can be written
    try:
        if left.count:
            bar = tqdm(total=left.count, unit=" pictures")
            with bar, contextlib.closing(reports):
                for report in reports:
                    total.add(report)
                    bar.set_postfix(broken=len(total.broken), refresh=False)
                    bar.update(report.pictures)
    finally:  # also after Ctrl-C, and when the cluster is lost
        if total.broken:
            _write_table(work, total)
        else:
            store.remove(f"{folder}/{BROKEN}")
    _print_summary(work, total, time.monotonic() - started)
    return 1 if total.broken else 0


def _reports(
    work: Work, pictures: Pictures, address: str | None, asked: Mapping[str, Any]
) -> Generator[Report]:
    wants_gpus = nvidia_gpu() if asked["gpus"] is None else asked["gpus"] > 0
    if address is None and not wants_gpus:
        here = {"CPU": usable_cores(), "memory": free_memory()}
        return processes.reports(work, pictures, actors_for([here], pictures.count, **asked))
    asking = f"--address {address}" if address else "--gpus-per-actor"
    check_installed(f"{asking}: needs", "batch", "ray", "pandas")
    # Not at the top: Ray takes seconds to import.
    from fast_style.batch import cluster

    return cluster.reports(work, pictures, address, asked)


def _write_table(work: Work, report: Report) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([("path", "reason"), *sorted(report.broken)])
    work.output.write(f"{work.folder}/{BROKEN}", text.getvalue().encode(errors="surrogateescape"))


def _print_summary(work: Work, report: Report, seconds: float) -> None:
    output = work.output.label(work.folder)
    parts = [f"{report.made} stylized images in {seconds:.1f} s"]
    if report.made:
        parts.append(f"{report.made / seconds:.2f} images/s")
    if report.already_done:
        parts.append(f"{report.already_done} existed already")
    print(f"{output}: {', '.join(parts)}")
    for path, reason in report.broken[:SHOWN]:
        print(printable(f"error: {path}: {reason}"), file=sys.stderr)
    if report.broken:
        print(f"broken: {len(report.broken)}, see {output}/{BROKEN}", file=sys.stderr)
