"""The interface of an input of pictures, and the input of picture files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

import pyarrow

from fast_style.batch.stores import Store
from fast_style.stylize.output_names import stylized_names

if TYPE_CHECKING:
    from ray.data import Dataset


@dataclass(frozen=True)
class Entry:
    """A picture of the input."""

    source: str  # what the table of broken pictures calls it
    inside: str  # its path inside the input, which the output mirrors
    encoded: Callable[[], bytes]
    refusal: str = ""  # why it cannot be stylized, where that is known already


class Pictures(Protocol):
    """The pictures of an input.

    left_out: further pictures, of kinds that are not read, each with the reason. `blocks` gives the
    pictures as blocks of rows, which are divided among machines, and `entries` turns a block into
    entries on the machine that has it.
    """

    @property
    def left_out(self) -> Mapping[str, str]: ...

    @property
    def count(self) -> int: ...

    def __iter__(self) -> Iterator[Entry]: ...

    def without(self, done: set[str], models: Sequence[str]) -> Pictures:
        """The pictures without all stylized images, as far as that is known before rows are read.

        done: what the output's folder has. models: the suffixes of pictures' names there.
        """
        ...

    def blocks(self, rows: int, readers: int) -> Dataset:
        """In blocks of about so many; readers: how many tasks may read at once, where any do."""
        ...

    def entries(self) -> Callable[[pyarrow.Table], Iterator[Entry]]: ...


@dataclass(frozen=True)
class PictureFiles:
    """Picture files. Only their names are sent from machine to machine."""

    store: Store
    insides: Mapping[str, str]  # each file's path in the store to that inside the input
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return len(self.insides)

    def __iter__(self) -> Iterator[Entry]:
        for path, inside in self.insides.items():
            yield _entry(self.store, path, inside)

    def without(self, done: set[str], models: Sequence[str]) -> PictureFiles:
        left = {
            path: inside
            for path, inside in self.insides.items()
            if any(done.isdisjoint(stylized_names(inside, model)) for model in models)
        }
        return PictureFiles(self.store, left, self.left_out)

    def blocks(self, rows: int, readers: int) -> Dataset:
        import ray.data

        items = [{"path": path, "inside": inside} for path, inside in self.insides.items()]
        return ray.data.from_items(items, override_num_blocks=math.ceil(len(items) / rows))

    def entries(self) -> Callable[[pyarrow.Table], Iterator[Entry]]:
        return partial(entries_of_files, self.store)


def entries_of_files(store: Store, block: pyarrow.Table) -> Iterator[Entry]:
    for row in block.to_pylist():
        yield _entry(store, row["path"], row["inside"])


def _entry(store: Store, path: str, inside: str) -> Entry:
    return Entry(store.label(path), inside, partial(store.read, path))
