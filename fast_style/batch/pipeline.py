"""The pipeline on Ray Data, and what it reports."""

import math
import time
from collections.abc import Iterator
from typing import Any

import ray
import ray.data
from ray.data import ActorPoolStrategy

from fast_style.batch.actors import Actors
from fast_style.batch.picture_files import Pictures
from fast_style.batch.work import Report, Work
from fast_style.batch.worker import Attempts, Worker
from fast_style.ray_cluster import errors_as_they_were

MOST_ROWS = 256  # of a block: what is lost with a process, and one message to the pipeline
BLOCKS_PER_THREAD = 32  # of a whole run, so that all end together
SECONDS_BETWEEN_REPORTS = 0.5


def reports(work: Work, pictures: Pictures, actors: Actors) -> Iterator[Report]:
    """What becomes of the pictures, a part at a time.

    Raises UserError where the workers cannot do their work, and where the cluster is lost.
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
        """What was done since the last call, after a while; None when all is done."""
        with errors_as_they_were():
            if self.blocks is None:
                self.blocks = _blocks(*self.run)
            block = next(self.blocks, None)
            if block is None:
                return None
            report, until = Report(), time.monotonic() + SECONDS_BETWEEN_REPORTS
            while block is not None:
                report.add(_report_of(block))
                block = next(self.blocks, None) if time.monotonic() < until else None
        return report


def _blocks(work: Work, pictures: Pictures, actors: Actors) -> Iterator[dict[str, Any]]:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.raise_original_map_exception = True
    threads = actors.cpus + 1  # while the cores compute, one waits for a store
    rows = pictures.count // (actors.count * threads * BLOCKS_PER_THREAD)
    rows = min(max(rows, 1), MOST_ROWS)
    attempts = ray.remote(num_cpus=0)(Attempts).remote()
    dataset = pictures.blocks(rows, actors.count).map_batches(
        Worker,
        fn_constructor_args=(work, pictures.entries(), actors.cpus, actors.gpus, attempts),
        batch_size=rows,
        batch_format="pyarrow",
        num_cpus=actors.cpus,
        num_gpus=actors.gpus or None,
        compute=ActorPoolStrategy(
            size=min(actors.count, math.ceil(pictures.count / rows)),
            max_concurrent_calls_per_actor=threads,
            max_tasks_in_flight_per_actor=threads + 1,
            enable_true_multi_threading=True,
        ),
    )
    return iter(dataset.iter_batches(batch_size=None, batch_format="numpy"))


def _report_of(block: dict[str, Any]) -> Report:
    refused = [
        (str(source), str(reason))
        for source, reason in zip(block["source"], block["reason"], strict=True)
        if reason
    ]
    made, there = int(sum(block["made"])), int(sum(block["there"]))
    return Report(len(block["source"]), made, there, refused)
