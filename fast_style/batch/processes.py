"""The pipeline on the cores of one machine, in processes of its own.

Ray takes seconds to start, and then a share of the cores that a machine of few feels.
"""

import contextlib
import itertools
import os
import signal
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import Future
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

from fast_style.batch.actors import Actors
from fast_style.batch.inputs import Pictures
from fast_style.batch.picture_files import Entry
from fast_style.batch.work import Report, Work
from fast_style.batch.worker import Worker
from fast_style.errors import UserError

AHEAD = 2  # pictures more than cores: one is read or written, and one waits for a free core


def reports(work: Work, pictures: Pictures, actors: Actors) -> Generator[Report]:
    """A report of each picture as soon as it is done.

    Raises UserError where the processes cannot load the networks.
    """
    entries = iter(pictures)
    with contextlib.ExitStack() as stack:
        processes: list[Process] = []
        for _ in range(min(actors.count, pictures.count)):
            processes.append(Process(work, actors.cpus))
            stack.callback(processes[-1].end)
        while True:
            for process in processes:
                process.take(entries)
            at_work: dict[Any, Process] = {p.connection: p for p in processes if p.has}
            if not at_work:
                return
            for connection in wait(list(at_work)):
                report = at_work[connection].news()
                if report is not None:
                    yield report


class Process:
    """An actor process, and the pictures that it is working on.

    Where it dies, another takes its place and has those pictures one by one: that at which it dies
    again is given up.
    """

    def __init__(self, work: Work, cpus: int):
        self.work = work
        self.cpus = cpus
        self.numbers = itertools.count()
        self.has: dict[int, Entry] = {}
        self.suspects: list[Entry] = []  # the first of them it has
        self._begin()

    def _begin(self) -> None:
        context = get_context("spawn")  # TensorFlow and OpenVINO do not survive a fork
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_stylize, args=(self.work, self.cpus, theirs))
        with _ignore_sigint():
            self.process.start()
        theirs.close()
        self.has_loaded = False

    def take(self, entries: Iterator[Entry]) -> None:
        """Send it as many entries as it should have, or one suspect alone."""
        while len(self.has) < (1 if self.suspects else self.cpus + AHEAD):
            entry = self.suspects[0] if self.suspects else next(entries, None)
            if entry is None:
                return
            number = next(self.numbers)
            self.has[number] = entry
            with contextlib.suppress(OSError):  # it died, as its news will be
                self.connection.send((number, entry))

    def news(self) -> Report | None:
        """Its next message, if that is a report. Raises UserError where it cannot load."""
        try:
            said = self.connection.recv()
        except (EOFError, OSError):
            return self._restart()
        if isinstance(said, UserError):
            raise said
        if said is None:
            self.has_loaded = True
            return None
        number, report = said
        del self.has[number]
        del self.suspects[:1]
        return report

    def end(self) -> None:
        self.connection.close()
        self.process.join()

    def _restart(self) -> Report | None:
        self.end()
        if not self.has_loaded:
            raise UserError("a process dies while it loads the networks; is memory short?")
        self._begin()
        lost = list(self.has.values())
        self.has.clear()
        if self.suspects:
            failing = self.suspects.pop(0)
            return Report(1, broken=[(failing.source, "2 processes died at this picture")])
        self.suspects = lost
        return None


@contextlib.contextmanager
def _ignore_sigint() -> Iterator[None]:
    """Ignore Ctrl-C in the block, and in processes started there: the main process handles it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _stylize(work: Work, cpus: int, connection: Connection) -> None:
    """The process: stylizes what it receives until the connection closes."""
    worker = Worker(work, cpus)
    try:
        worker.load()
    except UserError as error:
        connection.send(error)
        return
    connection.send(None)
    one_at_a_time = threading.Lock()

    def tell(number: int, report: Future[Report]) -> None:
        with one_at_a_time, contextlib.suppress(OSError):
            connection.send((number, report.result()))

    while True:
        try:
            number, entry = connection.recv()
        except (EOFError, OSError):
            os._exit(0)
        worker.submit(entry).add_done_callback(partial(tell, number))
