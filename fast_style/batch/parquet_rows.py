"""Pictures in the rows of Parquet files. A file counts as a folder of its pictures."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pyarrow
from pyarrow import compute, parquet
from tqdm import tqdm

from fast_style.batch.picture_files import Entry
from fast_style.batch.stores import Store
from fast_style.errors import UserError, nearest
from fast_style.pictures.formats import READ_ENDINGS
from fast_style.stylize.output_names import refuse_shared_targets, stylized_names

if TYPE_CHECKING:
    from ray.data import Dataset

SURVEYED_AT_ONCE = 16  # Parquet files; most of the time is spent waiting for a bucket
BYTES_AT_ONCE = 8_000_000  # of a Parquet file, whose row groups may be larger than memory
ROWS_AT_ONCE = 16  # of a Parquet file that is read on this machine
ROW_SCHEMA = pyarrow.schema(
    {
        "source": pyarrow.string(),
        "inside": pyarrow.string(),
        "encoded": pyarrow.large_binary(),
        "refusal": pyarrow.string(),
    }
)


@dataclass(frozen=True)
class ParquetRows:
    """Encoded pictures in a column of Parquet files.

    image, name: the columns; a field of a struct is column.field.
    """

    store: Store
    insides: Mapping[str, str]
    image: str
    name: str
    count: int
    image_bytes: int  # of all pictures
    left_out: Mapping[str, str] = field(default_factory=dict)  # see PictureFiles; always empty

    def __iter__(self) -> Iterator[Entry]:
        files = pyarrow.Table.from_pylist(self._files())
        for table in read_rows(self.store, self.image, self.name, ROWS_AT_ONCE, files):
            yield from entries_of_rows(table)

    def without(self, done: set[str], models: Sequence[str]) -> ParquetRows:
        return self  # the names of the rows are not kept; `Worker` skips those that are done

    def blocks(self, rows: int, readers: int) -> Dataset:
        """See PictureFiles. readers: how many tasks may read at once."""
        import ray.data

        context = ray.data.DataContext.get_current()
        context.target_max_block_size = max(1, rows * self.image_bytes // max(1, self.count))
        files = self._files()
        return ray.data.from_items(files, override_num_blocks=len(files)).map_batches(
            partial(read_rows, self.store, self.image, self.name, rows),
            batch_format="pyarrow",
            num_cpus=0,  # the actors have reserved all CPUs, and a reader waits for its store
            compute=ray.data.TaskPoolStrategy(size=readers),
        )

    def entries(self) -> Callable[[pyarrow.Table], Iterator[Entry]]:
        return entries_of_rows

    def _files(self) -> list[dict[str, str]]:
        return [{"path": path, "inside": inside} for path, inside in self.insides.items()]


def survey_rows(
    store: Store, insides: Mapping[str, str], image: str, name: str, model: str
) -> ParquetRows:
    """Returns the rows of Parquet files, after reading the pictures' names.

    insides: see PictureFiles. model: the suffix of a stylized image's name. Raises UserError for
    wrong files and columns, and if two pictures would become the same file.
    """
    _refuse_shared_folders(insides)

    def survey(path: str) -> tuple[int, int]:
        label, folder = store.label(path), _without_ending(insides[path])
        try:
            file = parquet.ParquetFile(path, filesystem=store.filesystem)
            _check_columns(file.schema_arrow, image, name, label)
            names = _flattened(file.read(columns=[name])).column(name).to_pylist()
        except (OSError, pyarrow.ArrowException) as error:
            if len(insides) > 1:
                return 1, 0  # it will be listed among the broken pictures
            raise UserError(f"{label}: cannot be read as Parquet: {error}") from error
        places = ((name, _inside(folder, name)[0]) for name in names)
        targets = ((str(name), stylized_names(inside, model)) for name, inside in places if inside)
        refuse_shared_targets(f"--input {label}", targets)
        return file.metadata.num_rows, _bytes_of(file.metadata, image)

    with ThreadPoolExecutor(SURVEYED_AT_ONCE) as pool:
        rounds = tqdm(pool.map(survey, insides), "names", len(insides), disable=len(insides) < 100)
        counts, sizes = zip(*rounds, strict=True)
    return ParquetRows(store, insides, image, name, sum(counts), sum(sizes))


def _refuse_shared_folders(insides: Mapping[str, str]) -> None:
    folders = {path: _without_ending(inside) for path, inside in insides.items()}
    refuse_shared_targets("--input", ((path, (f, f)) for path, f in folders.items()))
    every = set(folders.values())
    for folder in every:
        for around in every.intersection(map(str, PurePosixPath(folder).parents)):
            raise UserError(f"--input: pictures of {around} and {folder} would mix in {folder}")


def _check_columns(schema: pyarrow.Schema, image: str, name: str, label: str) -> None:
    columns = _flattened(schema.empty_table()).schema
    for flag, column in (("--image-column", image), ("--name-column", name)):
        if column not in columns.names:
            found = nearest(column, columns.names)
            raise UserError(f"{flag} {column}: is not in {label}; {found}")
        if columns.names.count(column) > 1:
            raise UserError(f"{flag} {column}: is in {label} several times; rename all but one")
    kind, types = columns.field(image).type, pyarrow.types
    if not (types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)):
        raise UserError(
            f"--image-column {image}: has {kind} in {label}; it must have the bytes of pictures"
        )


def _flattened(table: pyarrow.Table) -> pyarrow.Table:
    """Returns the table with the fields of structs as columns, which are called column.field."""
    while any(map(pyarrow.types.is_struct, table.schema.types)):
        table = table.flatten()
    return table


def _bytes_of(metadata: parquet.FileMetaData, column: str) -> int:
    chunks = (
        metadata.row_group(group).column(at)
        for group in range(metadata.num_row_groups)
        for at in range(metadata.num_columns)
    )
    return sum(c.total_uncompressed_size for c in chunks if c.path_in_schema == column)


def read_rows(
    store: Store, image: str, name: str, at_once: int, files: pyarrow.Table
) -> Iterator[pyarrow.Table]:
    """Yields the rows of Parquet files in the form of ROW_SCHEMA.

    The rows of a file that cannot be read end with a row that has the reason.
    """
    for file in files.to_pylist():
        label, folder = store.label(file["path"]), _without_ending(file["inside"])
        try:
            opened = parquet.ParquetFile(
                file["path"], filesystem=store.filesystem, buffer_size=BYTES_AT_ONCE
            )
            for batch in opened.iter_batches(at_once, columns=[image, name]):
                table = _flattened(pyarrow.Table.from_batches([batch]))
                names = table.column(name).to_pylist()
                insides, refusals = zip(*(_inside(folder, each) for each in names), strict=True)
                sources = [f"{label}: {each}" for each in names]
                encoded = compute.fill_null(table.column(image).cast(pyarrow.large_binary()), b"")
                yield pyarrow.table([sources, insides, encoded, refusals], ROW_SCHEMA)
        except (OSError, pyarrow.ArrowException) as error:
            refusal = f"cannot be read to its end: {' '.join(str(error).split())}"
            yield pyarrow.table([[label], [""], [b""], [refusal]], ROW_SCHEMA)


def entries_of_rows(block: pyarrow.Table) -> Iterator[Entry]:
    texts = block.drop_columns("encoded").to_pylist()
    for row, encoded in zip(texts, block.column("encoded"), strict=True):
        yield Entry(row["source"], row["inside"], encoded.as_py, row["refusal"])


def _without_ending(path: str) -> str:
    return posixpath.splitext(path)[0]


def _inside(folder: str, name: Any) -> tuple[str, str]:
    """Returns the path inside the input of the picture `name`, or "" and why it cannot be used.

    folder: that of its Parquet file. A name without a picture's ending gets .png, which keeps all
    that a picture can have.
    """
    text = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
    if name is None or not posixpath.basename(text) or "\0" in text:
        return "", f"{name!r} is not a file name"
    path = posixpath.normpath(text)
    if path.startswith(("/", "../")) or path == "..":
        return "", f"{name!r} leads out of the output folder"
    ending = "" if posixpath.splitext(path)[1].lower() in READ_ENDINGS else ".png"
    return f"{folder}/{path}{ending}", ""
