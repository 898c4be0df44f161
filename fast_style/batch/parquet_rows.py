"""Pictures in the rows of Parquet files. A file counts as a folder of its pictures."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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

SURVEYED_AT_ONCE = 16  # Parquet files; the time goes into waiting for a bucket
BYTES_AT_ONCE = 8_000_000  # of a Parquet file, whose row groups may be larger than memory
ROWS_AT_ONCE = 16  # of a Parquet file that this process reads
ROW_SCHEMA = pyarrow.schema(
    [
        ("source", pyarrow.string()),
        ("inside", pyarrow.string()),
        ("encoded", pyarrow.large_binary()),
        ("refusal", pyarrow.string()),
    ]
)


@dataclass(frozen=True)
class ParquetRows:
    """Encoded pictures in a column of Parquet files.

    image, name: columns; a field of a struct as column.field.
    """

    store: Store
    insides: Mapping[str, str]
    image: str
    name: str
    count: int
    image_bytes: int  # of all pictures
    left_out: Mapping[str, str] = field(default_factory=dict)  # as in PictureFiles; there is none

    def __iter__(self) -> Iterator[Entry]:
        files = pyarrow.Table.from_pylist(self._files())
        for table in read_rows(self.store, self.image, self.name, ROWS_AT_ONCE, files):
            yield from entries_of_rows(table)

    def without(self, done: set[str], models: Sequence[str]) -> ParquetRows:
        return self  # which rows are done is seen when they have been read

    def blocks(self, rows: int, readers: int) -> Dataset:
        """As those of PictureFiles; readers: how many tasks may read at once."""
        import ray.data

        context = ray.data.DataContext.get_current()
        context.target_max_block_size = max(1, rows * self.image_bytes // max(1, self.count))
        files = self._files()
        return ray.data.from_items(files, override_num_blocks=len(files)).map_batches(
            partial(read_rows, self.store, self.image, self.name, rows),
            batch_format="pyarrow",
            num_cpus=0,  # the actors have reserved them all, and a reader waits for its store
            compute=ray.data.TaskPoolStrategy(size=readers),
        )

    def entries(self) -> Callable[[pyarrow.Table], Iterator[Entry]]:
        return entries_of_rows

    def _files(self) -> list[dict[str, str]]:
        return [{"path": path, "inside": inside} for path, inside in self.insides.items()]


def survey_rows(
    store: Store, insides: Mapping[str, str], image: str, name: str, model: str
) -> ParquetRows:
    """The rows of Parquet files, of which the names are read now.

    insides: as PictureFiles has them. model: the suffix of a picture's name in the output. Raises
    UserError where two pictures would become one file, and for wrong files and columns.
    """
    _refuse_shared_folders(insides)

    def survey(path: str) -> tuple[int, int]:
        label = store.label(path)
        try:
            file = parquet.ParquetFile(path, filesystem=store.filesystem)
            _check_columns(file.schema_arrow, image, name, label)
            names = _column(file.read(columns=[name]), name).to_pylist()
        except (OSError, pyarrow.ArrowException) as error:
            if len(insides) > 1:
                return 1, 0  # it will be listed among the broken pictures
            raise UserError(f"{label}: cannot be read as Parquet: {error}") from error
        targets = _targets_of_rows(names, _without_ending(insides[path]), model)
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
        for around in map(str, PurePosixPath(folder).parents):
            if around in every:
                raise UserError(f"--input: pictures of {around} and {folder} would mix in {folder}")


def _targets_of_rows(
    names: Iterable[Any], folder: str, model: str
) -> Iterator[tuple[str, tuple[str, str]]]:
    for name in names:
        try:
            targets = stylized_names(_inside(folder, name), model)
        except UserError:
            continue  # it will be listed among the broken pictures
        yield str(name), targets


def _check_columns(schema: pyarrow.Schema, image: str, name: str, label: str) -> None:
    for flag, column in (("--image-column", image), ("--name-column", name)):
        leaves = {leaf.name: leaf.type for leaf in _leaves(schema)}
        if column not in leaves:
            raise UserError(f"{flag} {column}: is not in {label}; {nearest(column, leaves)}")
        kind = leaves[column]
        if flag == "--image-column" and not _holds_bytes(kind):
            raise UserError(f"{flag} {column}: holds {kind} in {label}, not the bytes of pictures")


def _holds_bytes(kind: pyarrow.DataType) -> bool:
    types = pyarrow.types
    return types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)


def _leaves(fields: Iterable[pyarrow.Field], prefix: str = "") -> Iterator[pyarrow.Field]:
    """The columns of a schema, and for structs their fields as column.field."""
    for column in fields:
        named = column.with_name(prefix + column.name)
        if pyarrow.types.is_struct(column.type):
            yield from _leaves(column.type, f"{named.name}.")
        else:
            yield named


def _column(table: pyarrow.Table, name: str) -> pyarrow.ChunkedArray:
    top, *fields = name.split(".")
    column = table.column(top)
    return compute.struct_field(column, fields) if fields else column


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
    """The pictures of Parquet files, or why there are none, as entries_of_rows takes them."""
    for file in files.to_pylist():
        label, folder = store.label(file["path"]), _without_ending(file["inside"])
        try:
            opened = parquet.ParquetFile(
                file["path"], filesystem=store.filesystem, buffer_size=BYTES_AT_ONCE
            )
            for batch in opened.iter_batches(at_once, columns=[image, name]):
                table = pyarrow.Table.from_batches([batch])
                names = _column(table, name).to_pylist()
                encoded = _column(table, image).cast(pyarrow.large_binary())
                yield _table(label, folder, names, encoded)
        except (OSError, pyarrow.ArrowException) as error:
            refusal = f"cannot be read to its end: {' '.join(str(error).split())}"
            yield pyarrow.table([[label], [""], [b""], [refusal]], ROW_SCHEMA)


def _table(label: str, folder: str, names: list[Any], encoded: Any) -> pyarrow.Table:
    insides, refusals = [], []
    for name in names:
        try:
            insides.append(_inside(folder, name))
            refusals.append("")
        except UserError as error:
            insides.append("")
            refusals.append(str(error))
    sources = [f"{label}: {name}" for name in names]
    return pyarrow.table([sources, insides, encoded, refusals], ROW_SCHEMA)


def entries_of_rows(block: pyarrow.Table) -> Iterator[Entry]:
    texts = block.drop_columns("encoded").to_pylist()
    for row, encoded in zip(texts, block.column("encoded"), strict=True):
        yield Entry(row["source"], row["inside"], partial(_bytes, encoded), row["refusal"])


def _bytes(scalar: pyarrow.Scalar) -> bytes:
    return scalar.as_py() or b""


def _without_ending(path: str) -> str:
    return posixpath.splitext(path)[0]


def _inside(folder: str, name: Any) -> str:
    """The path inside the input of the picture `name` in a Parquet file that counts as `folder`.

    A name without a picture's ending gets .png, which holds all that a picture can have. Raises
    UserError for a name that is none, or would lead out of the folder.
    """
    text = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
    if name is None or not posixpath.basename(text) or "\0" in text:
        raise UserError(f"{name!r} is not a file name")
    path = posixpath.normpath(text)
    if path.startswith(("/", "../")) or path == "..":
        raise UserError(f"{name!r} leads out of the output's folder")
    ending = "" if posixpath.splitext(path)[1].lower() in READ_ENDINGS else ".png"
    return f"{folder}/{path}{ending}"
