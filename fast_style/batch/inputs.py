"""What is to be stylized: pictures in files of their own, or in the rows of Parquet files."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow
from pyarrow import compute, parquet
from tqdm import tqdm

from fast_style.batch.stores import Store, open_store
from fast_style.errors import UserError, nearest
from fast_style.output_names import pictures_and_insides, refuse_shared_targets, stylized_name
from fast_style.pictures.images import PICTURE_ENDINGS

if TYPE_CHECKING:
    from ray.data import Dataset

PARQUET_ENDINGS = (".parquet", ".pq")
SURVEYED_AT_ONCE = 16  # Parquet files; the time goes into waiting for a bucket
BYTES_AT_ONCE = 8_000_000  # of a Parquet file, whose row groups may be larger than memory
ROW_SCHEMA = pyarrow.schema(
    [
        ("source", pyarrow.string()),
        ("inside", pyarrow.string()),
        ("encoded", pyarrow.large_binary()),
        ("refusal", pyarrow.string()),
    ]
)


@dataclass(frozen=True)
class Entry:
    """A picture of the input."""

    source: str  # what the table of broken pictures calls it
    inside: str  # its path inside the input, which the output mirrors
    encoded: Callable[[], bytes]
    refusal: str = ""  # why it cannot be stylized, where that is known already


class Pictures(Protocol):
    """The pictures of an input; how many, and as blocks of rows for the machines to share."""

    @property
    def count(self) -> int: ...

    def without(self, done: set[str], models: Sequence[str]) -> Pictures:
        """Those of which a stylized image is missing, as far as that is known before a row is read.

        done: what the output's folder has. models: what stands behind a picture's name there.
        """
        ...

    def blocks(self, rows: int, readers: int) -> Dataset:
        """In blocks of about so many; readers: how many tasks may read at once, where any do."""
        ...

    def entries(self) -> Callable[[pyarrow.Table], Iterator[Entry]]:
        """What makes the pictures of a block, on the machine that has the block."""
        ...


@dataclass(frozen=True)
class PictureFiles:
    """Pictures in files of their own. Only their names go from machine to machine."""

    store: Store
    insides: Mapping[str, str]  # each file's path in the store to that inside the input

    @property
    def count(self) -> int:
        return len(self.insides)

    def without(self, done: set[str], models: Sequence[str]) -> PictureFiles:
        left = {
            path: inside
            for path, inside in self.insides.items()
            if not done.issuperset(stylized_name(inside, model) for model in models)
        }
        return PictureFiles(self.store, left)

    def blocks(self, rows: int, readers: int) -> Dataset:
        import ray.data

        items = [{"path": path, "inside": inside} for path, inside in self.insides.items()]
        return ray.data.from_items(items, override_num_blocks=math.ceil(len(items) / rows))

    def entries(self) -> Callable[[pyarrow.Table], Iterator[Entry]]:
        return partial(entries_of_files, self.store)


@dataclass(frozen=True)
class ParquetRows:
    """Encoded pictures in a column of Parquet files. A file counts as a folder of its pictures.

    image, name: columns; a field of a struct as column.field.
    """

    store: Store
    insides: Mapping[str, str]
    image: str
    name: str
    count: int
    image_bytes: int  # of all pictures

    def without(self, done: set[str], models: Sequence[str]) -> ParquetRows:
        return self  # which rows are done is seen when they have been read

    def blocks(self, rows: int, readers: int) -> Dataset:
        import ray.data

        context = ray.data.DataContext.get_current()
        context.target_max_block_size = max(1, rows * self.image_bytes // max(1, self.count))
        items = [{"path": path, "inside": inside} for path, inside in self.insides.items()]
        return ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            partial(read_rows, self.store, self.image, self.name, rows),
            batch_format="pyarrow",
            num_cpus=0,  # the actors have reserved them all, and a reader waits for its store
            compute=ray.data.TaskPoolStrategy(size=readers),
        )

    def entries(self) -> Callable[[pyarrow.Table], Iterator[Entry]]:
        return entries_of_rows


def find_inputs(specs: Sequence[str], models: Sequence[str], image: str, name: str) -> Pictures:
    """The pictures that files, folders, globs and URLs stand for.

    models: what stands behind a picture's name in the output. image, name: columns of Parquet.
    Raises UserError where there are none, where two would become one file, and where Parquet
    files and pictures are named together.
    """
    with_rows = [spec for spec in specs if spec.rstrip("/").lower().endswith(PARQUET_ENDINGS)]
    if with_rows and len(with_rows) < len(specs):
        raise UserError("--input: takes pictures or Parquet files, not both in one run")
    store, insides = _found(specs, PARQUET_ENDINGS if with_rows else PICTURE_ENDINGS)
    every = ((path, stylized_name(p, model)) for path, p in insides.items() for model in models)
    refuse_shared_targets("--input", every)
    if with_rows:
        return _surveyed(store, insides, image, name, models)
    return PictureFiles(store, insides)


def _found(specs: Sequence[str], endings: tuple[str, ...]) -> tuple[Store, dict[str, str]]:
    opened = [open_store(spec) for spec in specs]
    store = opened[0][0]
    if any(other != store for other, _ in opened):
        raise UserError(f"--input {' '.join(specs)}: do not all lie in one store")
    insides: dict[str, str] = {}
    for spec, (_, path) in zip(specs, opened, strict=True):
        if endings == PICTURE_ENDINGS and "://" not in spec:
            found = pictures_and_insides([spec])
            insides |= {open_store(str(p))[1]: inside.as_posix() for p, inside in found.items()}
        else:
            insides |= store.find(path, endings)
    return store, insides


def _surveyed(
    store: Store, insides: Mapping[str, str], image: str, name: str, models: Sequence[str]
) -> ParquetRows:
    """The rows of Parquet files, of which the names are read now, to know that no two are equal."""

    def survey(path: str) -> tuple[int, int]:
        label = store.label(path)
        try:
            file = parquet.ParquetFile(path, filesystem=store.filesystem)
            _check_columns(file.schema_arrow, image, name, label)
            names = _column(file.read(columns=[name]), name).to_pylist()
        except (OSError, pyarrow.ArrowException) as error:
            raise UserError(f"{label}: cannot be read as Parquet: {error}") from error
        targets = _targets_of_rows(names, _without_ending(insides[path]), models[0])
        refuse_shared_targets(f"--input {label}", targets)
        return file.metadata.num_rows, _bytes_of(file.metadata, image)

    with ThreadPoolExecutor(SURVEYED_AT_ONCE) as pool:
        rounds = tqdm(pool.map(survey, insides), "names", len(insides), disable=len(insides) < 100)
        counts, sizes = zip(*rounds, strict=True)
    return ParquetRows(store, insides, image, name, sum(counts), sum(sizes))


def _targets_of_rows(names: Iterable[Any], folder: str, model: str) -> Iterator[tuple[str, str]]:
    for name in names:
        try:
            yield str(name), stylized_name(_inside(folder, name), model)
        except UserError:
            continue  # it will stand in the table of broken pictures


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
    for field in fields:
        named = field.with_name(prefix + field.name)
        if pyarrow.types.is_struct(field.type):
            yield from _leaves(field.type, f"{named.name}.")
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
            yield _refusal(label, f"cannot be read to its end: {' '.join(str(error).split())}")


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


def _refusal(label: str, reason: str) -> pyarrow.Table:
    return pyarrow.table([[label], [""], [b""], [reason]], ROW_SCHEMA)


def entries_of_files(store: Store, block: pyarrow.Table) -> Iterator[Entry]:
    for row in block.to_pylist():
        path = row["path"]
        yield Entry(store.label(path), row["inside"], partial(store.read, path))


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
    ending = "" if posixpath.splitext(path)[1].lower() in PICTURE_ENDINGS else ".png"
    return f"{folder}/{path}{ending}"
