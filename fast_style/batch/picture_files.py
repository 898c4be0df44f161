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

    source: str  # its name in messages
    inside: str  # its path inside the input, and so inside the output
    encoded: Callable[[], bytes]  # reads it
    refusal: str = ""  # why it cannot be stylized, if that is already known


@dataclass(frozen=True)
class PictureFiles:
    """Picture files. Only their names travel between machines."""

    store: Store
    insides: Mapping[str, str]  # from a file's path in the store to its path inside the input
    # Pictures in formats that are not read, with the reasons.
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return len(self.insides)

    def __iter__(self) -> Iterator[Entry]:
        for path, inside in self.insides.items():
            yield _entry(self.store, path, inside)

    def without(self, done: set[str], models: Sequence[str]) -> PictureFiles:
        """Returns the pictures of which a stylized image is missing.

        done: the files in the output. models: the suffixes of stylized images' names.
        """
        left = {
            path: inside
            for path, inside in self.insides.items()
            if any(done.isdisjoint(stylized_names(inside, model)) for model in models)
        }
        return PictureFiles(self.store, left, self.left_out)

    def blocks(self, rows: int, readers: int) -> Dataset:
        """Returns the pictures as a data set in blocks of about `rows`."""
        import ray.data

        items = [{"path": path, "inside": inside} for path, inside in self.insides.items()]
        return ray.data.from_items(items, override_num_blocks=math.ceil(len(items) / rows))

    def entries(self) -> Callable[[pyarrow.Table], Iterator[Entry]]:
        """Returns the function that makes entries of a block, on any machine."""
        return partial(entries_of_files, self.store)


def entries_of_files(store: Store, block: pyarrow.Table) -> Iterator[Entry]:
    for row in block.to_pylist():
        yield _entry(store, row["path"], row["inside"])


def _entry(store: Store, path: str, inside: str) -> Entry:
    return Entry(store.label(path), inside, partial(store.read, path))
