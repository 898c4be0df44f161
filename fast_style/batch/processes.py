"""The pipeline on the cores of one machine, in processes of its own.

Ray takes seconds to start, and then a share of the cores that a machine of few feels.
"""

import contextlib
import itertools
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from multiprocessing.connection import Connection

from fast_style.batch.actors import Actors
from fast_style.batch.picture_files import Entry, Pictures
from fast_style.batch.work import Outcome, Report, Work, rows_of_a_block
from fast_style.batch.worker import Worker
from fast_style.errors import UserError

BLOCKS_AHEAD = 2  # of each process: while it has one, its next one is there

NewPool = Callable[[], ProcessPoolExecutor]
Block = list[Entry]


def reports(work: Work, pictures: Pictures, actors: Actors) -> Generator[Report]:
    """What becomes of the pictures, a part at a time.

    Raises UserError where the processes cannot load the networks.
    """
    rows = rows_of_a_block(pictures.count, actors.count)
    entries = iter(pictures)
    blocks = iter(lambda: list(itertools.islice(entries, rows)), [])
    with _pools(work, actors) as new_pool:
        while suspects := (yield from _together(new_pool(), blocks, BLOCKS_AHEAD * actors.count)):
            yield from _one_by_one(new_pool, suspects)


def _together(
    pool: ProcessPoolExecutor, blocks: Iterator[Block], at_once: int
) -> Generator[Report, None, Block]:
    """To the end, or to a process's death; returns the pictures that were at work then."""
    at_work: dict[Future, Block] = {}
    try:
        while True:
            for block in itertools.islice(blocks, at_once - len(at_work)):
                at_work[_submitted(pool, block)] = block
            if not at_work:
                return []
            for future in wait(at_work, return_when=FIRST_COMPLETED).done:
                yield Report.of(future.result())
                del at_work[future]
    except BrokenProcessPool:  # one process takes those beside it along
        return [entry for block in at_work.values() for entry in block]


def _one_by_one(new_pool: NewPool, suspects: Block) -> Iterator[Report]:
    """Now a death tells at which picture; those that were stylized before it are there."""
    pool = _loaded(new_pool())
    for entry in suspects:
        try:
            yield Report.of(pool.submit(_stylized, [entry]).result())
        except BrokenProcessPool:
            yield Report.of([Outcome(entry.source, reason="processes died at this picture")])
            pool = _loaded(new_pool())


def _submitted(pool: ProcessPoolExecutor, block: Block) -> Future:
    try:
        return pool.submit(_stylized, block)
    except BrokenProcessPool as error:  # and the block is not lost
        future: Future = Future()
        future.set_exception(error)
        return future


def _loaded(pool: ProcessPoolExecutor) -> ProcessPoolExecutor:
    try:
        pool.submit(_load).result()
    except BrokenProcessPool as error:
        raise UserError("processes die while they load the networks; is memory short?") from error
    return pool


@contextlib.contextmanager
def _pools(work: Work, actors: Actors) -> Iterator[NewPool]:
    """What starts processes that end with the block, and with this process however it ends."""
    context = get_context("spawn")  # TensorFlow and OpenVINO do not survive a fork
    lifeline, held_here = context.Pipe(duplex=False)
    pools: list[ProcessPoolExecutor] = []

    def new_pool() -> ProcessPoolExecutor:
        arguments = (work, actors.cpus, lifeline)
        pools.append(ProcessPoolExecutor(actors.count, context, _begin, arguments))
        return pools[-1]

    try:
        yield new_pool
    finally:
        held_here.close()
        for pool in pools:
            pool.shutdown(cancel_futures=True)


# In the processes

_worker: Worker


def _begin(work: Work, cpus: int, lifeline: Connection) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the program tells of it
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    _worker = Worker(work, cpus)


def _end_with(lifeline: Connection) -> None:
    lifeline.poll(None)  # nothing is ever sent; it breaks
    os._exit(1)


def _load() -> None:
    _worker.load()


def _stylized(block: Block) -> list[Outcome]:
    return _worker(block)
