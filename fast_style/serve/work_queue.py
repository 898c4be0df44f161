"""The queue in which requests wait for the network."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


class QueueFull(Exception):
    """The queue already holds as many requests as its capacity allows."""


class WorkQueue:
    """Runs work in one thread, in order of arrival: a network uses all cores of the machine."""

    def __init__(self, capacity: int):
        """capacity: the most requests that wait or are worked on."""
        self.capacity = capacity
        self.length = 0
        self._thread = ThreadPoolExecutor(1, "network")

    async def run(self, work: Callable[[], Result]) -> Result:
        """Return what `work` returns. Raises QueueFull at once, and whatever `work` raises.

        Work that is cancelled before its turn is not run.
        """
        if self.length >= self.capacity:
            raise QueueFull
        self.length += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self.length -= 1

    def close(self) -> None:
        """Wait for the work that has begun."""
        self._thread.shutdown()
