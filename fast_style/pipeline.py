"""A pipeline of stages, each in a thread of its own."""

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")


@contextlib.contextmanager
def pipeline(items: Iterable[Any], *stages: Callable[[Any], Any]) -> Iterator[Iterator[Any]]:
    """Pass the items, in order, through all stages; yields an iterator of the results.

    While the caller has one item, the last stage works on the next, the stage before it on the one
    after that, and so on to the iterator of the items. No more than these are in memory. After the
    block no thread is running.
    """
    with contextlib.ExitStack() as stack:
        results = stack.enter_context(contextlib.closing(_ahead(items)))
        for stage in stages:
            results = stack.enter_context(contextlib.closing(_ahead(map(stage, results))))
        yield results


def _ahead(items: Iterable[Item]) -> Generator[Item]:
    """The items; a thread fetches the next one while the caller has this one."""
    coming, end = iter(items), object()
    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(next, coming, end)
        while (item := future.result()) is not end:
            future = thread.submit(next, coming, end)
            yield item  # type: ignore[misc]
