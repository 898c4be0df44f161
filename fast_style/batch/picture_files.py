"""An input of picture files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

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


@dataclass(frozen=True)
class PictureFiles:
    """Picture files. Only their names are sent from machine to machine."""

    store: Store
    insides: Mapping[str, str]  # each file's path in the store to that inside the input
    # Further pictures, of kinds that are not read, each with the reason.
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return len(self.insides)

    def __iter__(self) -> Iterator[Entry]:
        for path, inside in self.insides.items():
            yield _entry(self.store, path, inside)

    def without(self, done: set[str], models: Sequence[str]) -> PictureFiles:
        """The pictures without those that have all of their stylized images.

        done: what the output's folder has. models: the suffixes of pictures' names there.
        """
        left = {
            path: inside
            for path, inside in self.insides.items()
            if any(done.isdisjoint(stylized_names(inside, model)) for model in models)
        }
        return PictureFiles(self.store, left, self.left_out)

    def blocks(self, rows: int, readers: int) -> Dataset:
        """In blocks of about so many, which are divided among machines."""
        import ray.data

        items = [{"path": path, "inside": inside} for path, inside in self.insides.items()]
        return ray.data.from_items(items, override_num_blocks=math.ceil(len(items) / rows))

    def entries(self) -> Callable[[pyarrow.Table], Iterator[Entry]]:
        """What turns a block into entries on the machine that has it."""
        return partial(entries_of_files, self.store)


def entries_of_files(store: Store, block: pyarrow.Table) -> Iterator[Entry]:
    for row in block.to_pylist():
        yield _entry(store, row["path"], row["inside"])


def _entry(store: Store, path: str, inside: str) -> Entry:
    return Entry(store.label(path), inside, partial(store.read, path))
