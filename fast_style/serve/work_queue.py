"""The queue in which requests wait for the network."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from starlette.exceptions import HTTPException

Result = TypeVar("Result")


class WorkQueue:
    """Runs work in one thread, in order of arrival: a network uses all cores of the machine."""

    def __init__(self, capacity: int):
        """capacity: the most requests that wait or are worked on."""
        self.capacity = capacity
        self.length = 0
        self._thread = ThreadPoolExecutor(1, "network")

    async def run(self, work: Callable[[], Result]) -> Result:
        """Returns what `work` returns. Work that is cancelled before its turn is not run.

        Raises HTTPException (429) at once if the queue is full, and whatever `work` raises.
        """
        if self.length >= self.capacity:
            reason = "too many requests are waiting; try again"
            raise HTTPException(429, reason, {"retry-after": "1"})
        self.length += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self.length -= 1
