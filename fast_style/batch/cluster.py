"""The pipeline on a cluster: Ray Data gives its machines the pictures, a block at a time."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow
import ray
import ray.data
from ray.data import ActorPoolStrategy

from fast_style.batch.actors import Actors
from fast_style.batch.inputs import Pictures
from fast_style.batch.picture_files import Entry
from fast_style.batch.work import Report, Work
from fast_style.batch.worker import Worker
from fast_style.ray_cluster import errors_as_they_were

FEWEST_ROWS, MOST_ROWS = 8, 256  # of a block, which is lost with a process, and one message
BLOCKS_PER_ACTOR = 32  # of a whole run, so that all actors end together
FEWEST_BLOCKS_PER_ACTOR = 4
MOST_DEATHS = 2  # of a process at one picture, before the picture is given up
SECONDS_BETWEEN_REPORTS = 0.5


def reports(work: Work, pictures: Pictures, actors: Actors) -> Iterator[Report]:
    """Reports of the pictures, one for each part of the run.

    Raises UserError where the actors cannot do their work, and where the cluster is lost.
    """
    # On the head, which is there as long as the cluster is.
    head = {"node:__internal_head__": 0.001}
    pipeline: Any = ray.remote(num_cpus=0, resources=head)(Pipeline)
    running = pipeline.remote(work, pictures, actors)
    with errors_as_they_were():
        while (report := ray.get(running.report.remote())) is not None:
            yield report


class Pipeline:
    """Has to live in the cluster, in an actor: Ray Data does not work through Ray's client.

    There its log, and that of the workers, goes into Ray's files.
    """

    def __init__(self, work: Work, pictures: Pictures, actors: Actors):
        self.run = work, pictures, actors
        self.blocks: Iterator[dict[str, Any]] | None = None

    def report(self) -> Report | None:
        """A report of the time since the last call, after a while; None at the end."""
        with errors_as_they_were():
            if self.blocks is None:
                self.blocks = _blocks(*self.run)
            block = next(self.blocks, None)
            if block is None:
                return None
            report, until = Report(), time.monotonic() + SECONDS_BETWEEN_REPORTS
            while block is not None:
                for each in block["report"]:
                    report.add(each)
                block = next(self.blocks, None) if time.monotonic() < until else None
        return report


class Attempts:
    """An actor that counts attempts: a process died at whatever was begun and not ended."""

    def __init__(self) -> None:
        self.begun: Counter[str] = Counter()

    def begin(self, name: str) -> int:
        """The number of attempts so far, including this one."""
        self.begun[name] += 1
        return self.begun[name]

    def end(self, name: str) -> None:
        self.begun.pop(name, None)


class Actor:
    """A worker with the interface of Ray Data, for blocks of rows.

    Ray starts a block again when the process that had it died. Its pictures then go one by one, and
    none costs more processes than MOST_DEATHS.
    """

    def __init__(
        self,
        work: Work,
        entries: Callable[[pyarrow.Table], Iterator[Entry]],
        actors: Actors,
        attempts: Any,
    ):
        """attempts: the handle of the run's Attempts."""
        self.worker = Worker(work, actors.cpus, actors.gpus)
        self.entries = entries
        self.attempts = attempts

    def __call__(self, block: pyarrow.Table) -> dict[str, list[Report]]:
        """The reports as a column. Raises UserError where the networks cannot be loaded."""
        self.worker.load()
        entries = list(self.entries(block))
        named = f"block of {entries[0].source}"
        if self._begin(named) > 1:
            reports = [self._one_by_one(entry) for entry in entries]
        else:
            begun = [self.worker.submit(entry) for entry in entries]
            reports = [each.result() for each in begun]
        self._end(named)
        return {"report": reports}

    def _one_by_one(self, entry: Entry) -> Report:
        """The report of one picture of a block in which a process has died before."""
        deaths = self._begin(entry.source) - 1
        if deaths >= MOST_DEATHS:
            report = Report(1, broken=[(entry.source, f"{deaths} processes died at this picture")])
        else:
            report = self.worker.submit(entry).result()
        self._end(entry.source)
        return report

    def _begin(self, name: str) -> int:
        return ray.get(self.attempts.begin.remote(name))

    def _end(self, name: str) -> None:
        self.attempts.end.remote(name)


def _blocks(work: Work, pictures: Pictures, actors: Actors) -> Iterator[dict[str, Any]]:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.raise_original_map_exception = True
    rows = rows_of_a_block(pictures.count, actors.count)
    attempts = ray.remote(num_cpus=0)(Attempts).remote()
    dataset = pictures.blocks(rows, actors.count).map_batches(
        Actor,
        fn_constructor_args=(work, pictures.entries(), actors, attempts),
        batch_size=rows,
        batch_format="pyarrow",
        num_cpus=actors.cpus,
        num_gpus=actors.gpus or None,
        compute=ActorPoolStrategy(size=min(actors.count, math.ceil(pictures.count / rows))),
    )
    return iter(dataset.iter_batches(batch_size=None, batch_format="numpy"))


def rows_of_a_block(pictures: int, actors: int) -> int:
    """The number of pictures that an actor gets at once."""
    rows = min(max(pictures // (actors * BLOCKS_PER_ACTOR), FEWEST_ROWS), MOST_ROWS)
    return min(rows, math.ceil(pictures / (actors * FEWEST_BLOCKS_PER_ACTOR)))
