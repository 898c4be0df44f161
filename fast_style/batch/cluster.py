"""A run on a Ray cluster: Ray Data gives the pictures to actors, a block at a time."""

import math
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any

import pyarrow
import ray
import ray.data
from ray.data import ActorPoolStrategy

from fast_style.batch.actors import Actors, actors_for
from fast_style.batch.inputs import Pictures
from fast_style.batch.picture_files import Entry
from fast_style.batch.work import Report, Work
from fast_style.batch.worker import Worker
from fast_style.ray_cluster import HERE, connected, errors_as_they_were, machines

FEWEST_ROWS, MOST_ROWS = 8, 256  # of a block: what an actor that dies has to do again
BLOCKS_PER_ACTOR = 32  # of a whole run, so that all actors finish at about the same time
FEWEST_BLOCKS_PER_ACTOR = 4
MOST_DEATHS = 2  # of processes at one picture, before the picture is given up


def reports(
    work: Work, pictures: Pictures, address: str | None, asked: Mapping[str, Any]
) -> Generator[Report]:
    """Yields reports of the pictures.

    address: of the cluster; None: this machine. asked: arguments of actors_for. Raises UserError
    if the cluster cannot be reached or is lost, and if the actors cannot do their work.
    """
    with connected(address or HERE), errors_as_they_were():
        actors = actors_for(machines(), pictures.count, **asked)
        # On the head, which lives as long as the cluster.
        head = {"node:__internal_head__": 0.001}
        pipeline: Any = ray.remote(num_cpus=0, resources=head)(Pipeline)
        running = pipeline.remote(work, pictures, actors)
        while (found := ray.get(running.next_reports.remote())) is not None:
            yield from found


class Pipeline:
    """An actor that runs Ray Data, which does not work through Ray's client.

    Its log and that of the workers are in Ray's files.
    """

    def __init__(self, work: Work, pictures: Pictures, actors: Actors):
        self.blocks = _blocks(work, pictures, actors)

    def next_reports(self) -> list[Report] | None:
        """Returns the reports of one or several blocks; None at the end."""
        with errors_as_they_were():
            block = next(self.blocks, None)
        return None if block is None else list(block["report"])


class Attempts:
    """An actor that counts attempts. If one was begun and did not end, its process has died."""

    def __init__(self) -> None:
        self.begun: Counter[str] = Counter()

    def begin(self, name: str) -> int:
        """Returns the number of attempts, including this one."""
        self.begun[name] += 1
        return self.begun[name]

    def end(self, name: str) -> None:
        self.begun.pop(name, None)


class Actor:
    """A worker in an actor of Ray Data, which calls it with blocks of rows.

    If its process dies, Ray calls another actor with the block. The pictures are then stylized one
    by one, and one at which MOST_DEATHS processes have died is given up.
    """

    def __init__(
        self,
        work: Work,
        entries: Callable[[pyarrow.Table], Iterator[Entry]],
        actors: Actors,
        attempts: Any,
    ):
        """entries: from Pictures.entries(). attempts: the handle of the run's Attempts."""
        self.worker = Worker(work, actors.cpus, actors.gpus)
        self.entries = entries
        self.attempts = attempts

    def __call__(self, block: pyarrow.Table) -> dict[str, list[Report]]:
        """Returns the reports as a column. Raises UserError if the networks cannot be loaded."""
        self.worker.load()
        entries = list(self.entries(block))
        named = f"block of {entries[0].source}"
        if self._begin(named) > 1:
            reports = [self._alone(entry) for entry in entries]
        else:
            begun = [self.worker.submit(entry) for entry in entries]
            reports = [each.result() for each in begun]
        self._end(named)
        return {"report": reports}

    def _alone(self, entry: Entry) -> Report:
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
    yield from dataset.iter_batches(batch_size=None, batch_format="numpy")


def rows_of_a_block(pictures: int, actors: int) -> int:
    """Returns the number of pictures that an actor gets at once."""
    rows = min(max(pictures // (actors * BLOCKS_PER_ACTOR), FEWEST_ROWS), MOST_ROWS)
    return min(rows, math.ceil(pictures / (actors * FEWEST_BLOCKS_PER_ACTOR)))
