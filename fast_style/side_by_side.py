"""Stages of work beside each other: each in a thread of its own, with an item of its own."""

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")


@contextlib.contextmanager
def side_by_side(items: Iterable[Any], *stages: Callable[[Any], Any]) -> Iterator[Iterator[Any]]:
    """The items in their order, each after all stages, which may make something else of it.

    While the caller has one, the last stage has the next, the stage before it the one after that,
    and so on to the items' own iterator. No more than these are ever in memory. After the block
    nothing is at work any more.
    """
    with contextlib.ExitStack() as stack:
        results = stack.enter_context(contextlib.closing(_ahead(items)))
        for stage in stages:
            results = stack.enter_context(contextlib.closing(_ahead(map(stage, results))))
        yield results


def _ahead(items: Iterable[Item]) -> Generator[Item]:
    """The items; the next one is made in a thread while the caller has this one."""
    coming, end = iter(items), object()
    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(next, coming, end)
        while (item := future.result()) is not end:
            future = thread.submit(next, coming, end)
            yield item  # type: ignore[misc]
