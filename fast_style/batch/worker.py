"""What an actor does: the networks, loaded once, and pictures through them from store to store."""

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow
import ray
from absl import logging

from fast_style.batch.picture_files import Entry
from fast_style.batch.work import Work
from fast_style.errors import UserError
from fast_style.hardware import free_memory, usable_cores
from fast_style.output_names import stylized_name
from fast_style.pictures.images import TooManyPixels, decode_picture, encode_picture
from fast_style.runtimes.threads import compute_on
from fast_style.stylize import Stylizer

MOST_DEATHS = 2  # of a process at one picture, before the picture is given up


class Attempts:
    """An actor that knows what was begun before: at what was not ended, a process died."""

    def __init__(self) -> None:
        self.begun: Counter[str] = Counter()

    def begin(self, name: str) -> int:
        """How often it was begun, this time included."""
        self.begun[name] += 1
        return self.begun[name]

    def end(self, name: str) -> None:
        self.begun.pop(name, None)


class Worker:
    """An actor's work on blocks of pictures, of which each of its threads has one.

    One picture has the network while others are read, decoded, encoded and written beside it, and
    none of them leaves the process.
    """

    def __init__(
        self,
        work: Work,
        entries: Callable[[pyarrow.Table], Iterator[Entry]],
        cpus: int,
        gpus: float,
        attempts: Any,
    ):
        """cpus, gpus: what the actor has reserved; attempts: the handle of the run's Attempts."""
        if not gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        elif gpus < 1:  # TensorFlow would take all of its memory
            os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
        compute_on(cpus)
        self.share = min(1.0, cpus / usable_cores())  # of the machine
        self.work = work
        self.entries = entries
        self.attempts = attempts
        self.stylizers: dict[str, Stylizer] = {}
        self.loading = threading.Lock()
        # A pass takes all the cores. A GPU would idle while the pixels of one pass are copied.
        self.passes = threading.Semaphore(2 if gpus else 1)

    def __call__(self, block: pyarrow.Table) -> dict[str, list]:
        """A row for each picture: its source, how many stylized images were made and how many were
        there already, and the reason why there are no more of them, or "".

        Raises UserError where the networks cannot be loaded.
        """
        self._load()
        entries = list(self.entries(block))
        named = f"block of {entries[0].source}"
        begun_before = self._begin(named) > 1
        stylize = self._warily_stylized if begun_before else self._stylized
        rows = [(entry.source, *stylize(entry)) for entry in entries]
        self._end(named)
        sources, made, there, reasons = map(list, zip(*rows, strict=True))
        return {"source": sources, "made": made, "there": there, "reason": reasons}

    def _load(self) -> None:
        with self.loading:
            if not self.stylizers:
                # Two actors that both find so much memory free would both take it.
                most = int(free_memory() * self.share) if self.share < 1 else None
                self.stylizers = {
                    name: Stylizer(model, self.work.runtime, self.work.precision, max_memory=most)
                    for name, model in self.work.models.items()
                }

    def _warily_stylized(self, entry: Entry) -> tuple[int, int, str]:
        """As _stylized, but not at the cost of one more process where it has cost several."""
        deaths = self._begin(entry.source) - 1
        if deaths >= MOST_DEATHS:
            row = 0, 0, f"a process died at this picture, or at one beside it, {deaths} times"
        else:
            row = self._stylized(entry)
        self._end(entry.source)
        return row

    def _stylized(self, entry: Entry) -> tuple[int, int, str]:
        made = there = 0
        reason = ""
        if entry.refusal:
            return 0, 0, entry.refusal
        try:
            missing = self._missing(entry.inside)
            there = len(self.stylizers) - len(missing)
            if missing:
                most = self.work.most_pixels
                picture = decode_picture(entry.encoded(), entry.source, most_pixels=most)
            for name, target in missing.items():
                with self.passes:
                    stylized = self.stylizers[name].stylize(picture, **self.work.how)
                ending = os.path.splitext(target)[1]
                self.work.output.write(target, encode_picture(stylized, ending))
                made += 1
        except TooManyPixels as error:
            reason = f"{error}; --allow-huge reads it"
        except UserError as error:
            reason = str(error)
        except Exception as error:  # a run of days does not end for one picture
            logging.exception("%s", entry.source)
            reason = f"{type(error).__name__}: {error}"
        return made, there, reason.removeprefix(f"{entry.source}: ")

    def _missing(self, inside: str) -> dict[str, str]:
        """Where the stylized images go that are not there, by the names of their models."""
        targets = {
            name: f"{self.work.folder}/{stylized_name(inside, name)}" for name in self.stylizers
        }
        return {name: path for name, path in targets.items() if not self.work.output.has(path)}

    def _begin(self, name: str) -> int:
        return ray.get(self.attempts.begin.remote(name))

    def _end(self, name: str) -> None:
        self.attempts.end.remote(name)
