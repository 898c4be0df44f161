"""A pipeline of stages that run in threads."""

import contextlib
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
_stage = threading.local()  # .is_left: of the stage whose thread this is


@contextlib.contextmanager
def pipeline(items: Iterable[Any], *stages: Callable[[Any], Any]) -> Iterator[Iterator[Any]]:
    """Yields an iterator of the results of passing each item, in order, through all stages.

    Each stage has its own thread. While the caller uses one result, the last stage works on the
    next item, the stage before it on the item after that, and so on. No further items are in
    memory. All threads have ended when the block ends. If the block is left early, pipelines inside
    of a stage stop after their current item, so that Ctrl-C need not wait for a large picture.
    """
    with contextlib.ExitStack() as stack:
        results = stack.enter_context(contextlib.closing(_ahead(items)))
        for stage in stages:
            results = stack.enter_context(contextlib.closing(_ahead(map(stage, results))))
        yield results


def _ahead(items: Iterable[Item]) -> Generator[Item]:
    """Yields the items. A thread fetches the next item while the caller uses the current one.

    Raises CancelledError in a stage of another pipeline that is being left.
    """
    coming, end = iter(items), object()
    outer: threading.Event | None = getattr(_stage, "is_left", None)
    is_left = threading.Event()

    def begin() -> None:
        _stage.is_left = is_left

    with ThreadPoolExecutor(1, initializer=begin) as thread:
        try:
            future = thread.submit(next, coming, end)
            while (item := future.result()) is not end:
                if outer and outer.is_set():
                    raise CancelledError
                future = thread.submit(next, coming, end)
                yield item  # type: ignore[misc]
        finally:
            is_left.set()
