"""Finds the pictures of files, folders, globs, Parquet files, and URLs of all these."""

from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath

from fast_style.batch.parquet_rows import ParquetRows, survey_rows
from fast_style.batch.picture_files import PictureFiles
from fast_style.batch.stores import Store, open_store
from fast_style.errors import UserError
from fast_style.pictures.formats import READ_ENDINGS, UNREAD_ENDINGS, why_unread
from fast_style.stylize.output_names import (
    folder_of_glob,
    gather_inputs,
    refuse_shared_targets,
    results_among,
    stylized_names,
)

PARQUET_ENDINGS = (".parquet", ".pq")
Pictures = PictureFiles | ParquetRows


def find_inputs(
    specs: Sequence[str],
    models: Sequence[str],
    image: str,
    name: str,
    output: tuple[Store, str] | None = None,
    known: Collection[str] = (),
) -> Pictures:
    """Returns the pictures of files, folders, globs and URLs, without the results of earlier runs.

    models: the suffixes of stylized images' names. image, name: the columns of Parquet files.
    output: its store and folder. known: names of models whose results are left out.
    Raises UserError if there are no pictures, if two would become the same file, and for Parquet
    files together with pictures.
    """
    opened = [open_store(spec) for spec in specs]
    store = opened[0][0]
    if any(other != store for other, _ in opened):
        raise UserError(f"--input {' '.join(specs)}: are not all in the same store")
    paths = [path for _, path in opened]
    in_rows = [path for path in paths if path.lower().endswith(PARQUET_ENDINGS)]
    if in_rows and len(in_rows) < len(paths):
        raise UserError("--input: takes pictures or Parquet files, but not both in one run")
    if in_rows:
        found: dict[str, str] = {}
        for path in paths:
            found |= store.find(path, PARQUET_ENDINGS)
        return survey_rows(store, found, image, name, models[0])
    written_to = output[1] if output is not None and output[0] == store else None
    if store.is_disk:
        inputs = gather_inputs(paths, None if written_to is None else Path(written_to), known)
        found = {str(picture): inside.as_posix() for picture, inside in inputs.insides.items()}
        left_out = {str(picture): reason for picture, reason in inputs.left_out.items()}
    else:
        found, left_out = _in_bucket(store, paths, written_to, known)
    every = ((path, stylized_names(p, model)) for path, p in found.items() for model in models)
    refuse_shared_targets("--input", every)
    return PictureFiles(store, found, left_out)


def _in_bucket(
    store: Store, paths: Sequence[str], written_to: str | None, known: Collection[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """gather_inputs for a bucket: by the files' endings, because to read each is a request."""
    pictures: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for path in paths:
        found = store.find(path, (*READ_ENDINGS, *UNREAD_ENDINGS))
        looked_in, results = folder_of_glob(PurePosixPath(path)), set[PurePosixPath]()
        if written_to is not None and path not in found:
            output = PurePosixPath(written_to)
            results = results_among(map(PurePosixPath, found), looked_in, output, known)
        for each, inside in found.items():
            reason = why_unread(PurePosixPath(each).suffix)
            if reason is not None:
                left_out[store.label(each)] = reason
            elif PurePosixPath(each) not in results:
                pictures[each] = inside
    if not pictures:
        raise UserError(
            f"{store.label(paths[0])}: no pictures that can be read, apart from results"
        )
    return pictures, left_out
