"""Where requests wait for the network."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


class Full(Exception):
    """As many requests wait as may."""


class Desk:
    """Work in a thread, one after another: a network takes all the cores that there are."""

    def __init__(self, places: int):
        self.places = places
        self.taken = 0
        self._thread = ThreadPoolExecutor(1, "network")

    async def do(self, work: Callable[[], Result]) -> Result:
        """What `work` returns or raises. Raises Full, at once, where no place is left.

        Work whose request is given up before its turn is not done.
        """
        if self.taken >= self.places:
            raise Full
        self.taken += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self.taken -= 1

    def close(self) -> None:
        """Wait for what was begun."""
        self._thread.shutdown()
