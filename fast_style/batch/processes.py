"""Stylizes a collection on one machine, in several processes.

Ray is not used here: it takes seconds to start, and part of the cores.
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
    """Yields a report of each picture as soon as it is done.

    Raises UserError if a process cannot load the networks.
    """
    entries = iter(pictures)
    with contextlib.ExitStack() as stack:
        processes: list[Process] = []
        for _ in range(min(actors.count, pictures.count)):
            processes.append(Process(work, actors.cpus))
            stack.callback(processes[-1].end)
        while True:
            for process in processes:
                process.send(entries)
            busy: dict[Any, Process] = {p.connection: p for p in processes if p.entries}
            if not busy:
                return
            for connection in wait(list(busy)):
                report = busy[connection].receive()
                if report is not None:
                    yield report


class Process:
    """An actor process, and the pictures that it works on.

    If the process dies, a new one takes those pictures one by one. The picture at which that one
    dies as well is given up.
    """

    def __init__(self, work: Work, cpus: int):
        self.work = work
        self.cpus = cpus
        self.numbers = itertools.count()
        self.entries: dict[int, Entry] = {}  # that it works on, by number
        self.suspects: list[Entry] = []  # it works on the first of them
        self._start()

    def _start(self) -> None:
        context = get_context("spawn")  # TensorFlow and OpenVINO do not survive a fork
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_stylize, args=(self.work, self.cpus, theirs))
        with _ignore_sigint():
            self.process.start()
        theirs.close()
        self.has_loaded = False

    def send(self, entries: Iterator[Entry]) -> None:
        """Sends entries until the process has enough of them, or a single suspect."""
        while len(self.entries) < (1 if self.suspects else self.cpus + AHEAD):
            entry = self.suspects[0] if self.suspects else next(entries, None)
            if entry is None:
                return
            number = next(self.numbers)
            self.entries[number] = entry
            with contextlib.suppress(OSError):  # it died; receive() finds that out
                self.connection.send((number, entry))

    def receive(self) -> Report | None:
        """Returns the next message if it is a report. Raises UserError if loading failed."""
        try:
            message = self.connection.recv()
        except (EOFError, OSError):
            return self._restart()
        if isinstance(message, UserError):
            raise message
        if message is None:
            self.has_loaded = True
            return None
        number, report = message
        del self.entries[number]
        del self.suspects[:1]
        return report

    def end(self) -> None:
        self.connection.close()
        self.process.join()

    def _restart(self) -> Report | None:
        self.end()
        if not self.has_loaded:
            raise UserError("a process dies while it loads the networks; is memory short?")
        self._start()
        lost = list(self.entries.values())
        self.entries.clear()
        if self.suspects:
            failing = self.suspects.pop(0)
            return Report(1, broken=[(failing.source, "2 processes died at this picture")])
        self.suspects = lost
        return None


@contextlib.contextmanager
def _ignore_sigint() -> Iterator[None]:
    """Ignores Ctrl-C in the block and in processes started there; the main process handles it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _stylize(work: Work, cpus: int, connection: Connection) -> None:
    """Runs in the process: stylizes what it receives until the connection closes."""
    worker = Worker(work, cpus)
    try:
        worker.load()
    except UserError as error:
        connection.send(error)
        return
    connection.send(None)
    sending = threading.Lock()

    def send(number: int, report: Future[Report]) -> None:
        with sending, contextlib.suppress(OSError):
            connection.send((number, report.result()))

    while True:
        try:
            number, entry = connection.recv()
        except (EOFError, OSError):
            os._exit(0)
        worker.submit(entry).add_done_callback(partial(send, number))
