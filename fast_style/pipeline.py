"""A pipeline of stages that run in threads."""

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")


@contextlib.contextmanager
def pipeline(items: Iterable[Any], *stages: Callable[[Any], Any]) -> Iterator[Iterator[Any]]:
    """Yields an iterator of the results of passing each item, in order, through all stages.

    Each stage has its own thread. While the caller uses one result, the last stage works on the
    next item, the stage before it on the item after that, and so on. No further items are in
    memory. All threads have ended when the block ends.
    """
    with contextlib.ExitStack() as stack:
        results = stack.enter_context(contextlib.closing(_ahead(items)))
        for stage in stages:
            results = stack.enter_context(contextlib.closing(_ahead(map(stage, results))))
        yield results


def _ahead(items: Iterable[Item]) -> Generator[Item]:
    """Yields the items. A thread fetches the next item while the caller uses the current one."""
    coming, end = iter(items), object()
    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(next, coming, end)
        while (item := future.result()) is not end:
            future = thread.submit(next, coming, end)
            yield item  # type: ignore[misc]
