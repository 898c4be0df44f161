"""Learning a person's own style: train.py in a process of its own, one at a time."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from absl import logging

from fast_style.conf.locations import PROJECT
from fast_style.errors import UserError
from fast_style.files import read_bytes, write_atomically
from fast_style.model_folder.checkpoint import checkpoint_files
from fast_style.model_folder.layout import CHECKPOINTS, LOGS, PREVIEWS, RESULT, WEIGHTS
from fast_style.model_folder.model import copy_model, read_model
from fast_style.serve.own_styles import Conflict, OwnStyle, OwnStyles

RECIPE = "conf/built_in.yml"
STEPS_BETWEEN_CHECKPOINTS = 20  # each is a better picture to look at
LOWER_PRIORITY = 10  # in steps of `nice`, so that requests hardly wait for the training
SECONDS_TO_STOP = 60  # for the step that is being done, and its checkpoint

# train.py prints how many steps there are, and tqdm how many of its images are done.
_STEPS = re.compile(r"^(\d+) steps of |^continuing from step \d+ of (\d+)")
_DONE = re.compile(r"(\d+)/(\d+) \[")


@dataclass
class Training:
    """A training that is running, and what it has printed."""

    style: OwnStyle
    minutes: float
    process: subprocess.Popen[str]
    reader: threading.Thread = field(init=False)
    steps: int | None = None  # None: the training is still preparing
    step: int = 0
    error: str = ""
    is_ended: bool = False  # on request, and not by a failure
    first: tuple[float, int] | None = None  # the time of the first report, and its step
    _ending: threading.Lock = field(default_factory=threading.Lock)

    def read(self) -> None:
        """Reads what the process prints, until it ends."""
        assert self.process.stdout is not None
        images = None
        for line in self.process.stdout:
            if line.startswith("error: "):
                self.error = line.removeprefix("error: ").strip()
            if found := _STEPS.search(line):
                images = int(found[1] or found[2])
            if found := _DONE.search(line):
                done, total = int(found[1]), int(found[2])
                self.steps = images or total
                self.step = done * self.steps // max(total, 1)
                self.first = self.first or (time.monotonic(), self.step)

    @property
    def seconds_left(self) -> float | None:
        """How long the remaining steps take, or None while that is not known."""
        if self.first is None or self.steps is None or self.step == self.first[1]:
            return None
        seconds, steps = time.monotonic() - self.first[0], self.step - self.first[1]
        return round(seconds / steps * (self.steps - self.step), 1)

    def end(self, at_once: bool = False) -> None:
        """Ends the process, with a checkpoint of the steps that it has done.

        at_once: without a checkpoint.
        """
        with self._ending:  # a second Ctrl-C would end it without a checkpoint
            self.is_ended = True
            # Before its first step it has nothing to keep.
            if not at_once and self.first is not None and self.process.poll() is None:
                self.process.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(SECONDS_TO_STOP)
            self.process.kill()
            self.process.wait()


class Learning:
    """Learns own styles, one at a time.

    The file learning.json in a style's folder says that it shall be learned. It is removed at the
    end, so that a server that is started again continues a training that was killed.
    """

    WANTED = "learning.json"

    def __init__(
        self, own: OwnStyles, network: Path, recipe: str = RECIPE, most_minutes: float = 10.0
    ):
        """network: the model folder that the training begins from. recipe: a conf file."""
        self.own = own
        self.network = network
        self.recipe = recipe
        self.most_minutes = most_minutes
        self.is_closed = False
        self._training: Training | None = None
        self._failures: dict[str, str] = {}
        self._lock = threading.RLock()

    def start(self, style: OwnStyle, minutes: float) -> None:
        """Starts to learn a style, or continues from its newest checkpoint.

        Raises Conflict if it is learned already or another one is being learned, DiskFull, and
        UserError if the minutes are too many.
        """
        if minutes > self.most_minutes:
            raise UserError(f"minutes: {minutes:g} is more than {self.most_minutes:g}")
        with self._lock:
            if self.is_closed:
                raise Conflict("the server is about to end")
            if self._training is not None:
                name, left = self._training.style.name, self._training.seconds_left
                when = "" if left is None else f", for {left:.0f} s more"
                raise Conflict(f"{name!r} is being learned{when}; stop it or wait for its end")
            if (style.folder / RESULT).exists():
                raise Conflict(f"{style.name!r} is learned already; delete it to learn it anew")
            self.own.check_disk()
            write_atomically(style.folder / self.WANTED, json.dumps({"minutes": minutes}).encode())
            self._failures.pop(style.name, None)
            # Those of a training that was stopped; its checkpoint has the same weights.
            if checkpoint_files(style.folder):
                (style.folder / WEIGHTS).unlink(missing_ok=True)
            self._training = Training(style, minutes, self._process(style, minutes))
            self._training.reader = threading.Thread(
                target=self._follow, args=(self._training,), name="learning", daemon=True
            )
            self._training.reader.start()

    def resume(self) -> None:
        """Continues the training that was running when the server ended."""
        for style in self.own.all().values():
            if self._training is None and self._wanted(style) is not None:
                try:
                    self.start(style, min(self._wanted(style) or 2.0, self.most_minutes))
                except UserError as error:
                    self._failures[style.name] = str(error)

    def stop(self, style: OwnStyle) -> None:
        """Ends the training of a style; its newest checkpoint becomes the style's network.

        Raises Conflict if the style is not being learned.
        """
        with self._ended(style), self._lock:
            if checkpoint_files(style.folder) and not (style.folder / RESULT).exists():
                copy_model(read_model(style.folder), style.folder)
            (style.folder / self.WANTED).unlink(missing_ok=True)

    def forget(self, style: OwnStyle) -> None:
        """Ends the training of a style that will be deleted, if there is one."""
        with contextlib.suppress(Conflict), self._ended(style, at_once=True):
            pass
        self._failures.pop(style.name, None)

    def close(self) -> None:
        """Ends the training with a checkpoint, for `resume`."""
        self.is_closed = True
        training = self._training
        if training is not None:
            training.end()
            training.reader.join()

    def status(self, style: OwnStyle) -> dict[str, Any]:
        """Returns the state of a style for an answer in JSON.

        'state' is 'predicted', 'learning', 'learned' or 'failed'. 'version' changes when the style
        looks different.
        """
        status: dict[str, Any] = {"name": style.name, "version": str(style.version)}
        training = self._training
        if training is not None and training.style == style:
            status |= {
                "state": "learning",
                "step": training.step,
                "steps": training.steps,
                "seconds_left": training.seconds_left,
            }
        elif (error := self._failures.get(style.name)) is not None:
            status |= {"state": "failed", "error": error}
        elif self._wanted(style) is not None:
            status |= {"state": "failed", "error": "the learning was interrupted"}
        else:
            status["state"] = "learned" if (style.folder / WEIGHTS).exists() else "predicted"
            status["complete"] = (style.folder / RESULT).exists()
        return status

    def _wanted(self, style: OwnStyle) -> float | None:
        """Returns the minutes of a learning that has not come to its end; None: there is none."""
        path = style.folder / self.WANTED
        if not path.exists():
            return None
        try:
            return float(json.loads(read_bytes(path))["minutes"])
        except (UserError, ValueError, KeyError, TypeError) as error:
            logging.warning("%s is damaged (%s)", path, error)
            return None

    def _process(self, style: OwnStyle, minutes: float) -> subprocess.Popen[str]:
        keys = {
            "naming": style.name,
            "model_path": str(style.folder.parent.resolve()),
            "init_from": str(self.network.resolve()),
            "preview_images": [],
            "checkpoint_every": STEPS_BETWEEN_CHECKPOINTS,
            "keep_checkpoints": 2,
        }
        command = [sys.executable, str(PROJECT / "train.py"), "--conf", self.recipe]
        command += ["--style", str(style.painting.resolve()), "--minutes", f"{minutes:g}"]
        for key, value in keys.items():
            command += ["--set", f"{key}={json.dumps(value, ensure_ascii=False)}"]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            start_new_session=True,  # Ctrl-C in the server's terminal is not for this process
        )
        if hasattr(os, "setpriority"):
            with contextlib.suppress(OSError):
                lower = os.getpriority(os.PRIO_PROCESS, 0) + LOWER_PRIORITY
                os.setpriority(os.PRIO_PROCESS, process.pid, lower)
        return process

    def _follow(self, training: Training) -> None:
        training.read()
        status = training.process.wait()
        folder = training.style.folder
        with self._lock:
            if not training.is_ended:
                self._training = None
            if status == 0:
                # A learned style needs only its network.
                for name in (CHECKPOINTS, LOGS, PREVIEWS):
                    shutil.rmtree(folder / name, ignore_errors=True)
                (folder / self.WANTED).unlink(missing_ok=True)
            elif not training.is_ended:
                self._failures[training.style.name] = _reason(training, status)

    @contextlib.contextmanager
    def _ended(self, style: OwnStyle, at_once: bool = False) -> Iterator[None]:
        """Ends a training. Until the block ends, its style counts as one that is being learned."""
        training = self._training
        if training is None or training.style != style:
            raise Conflict(f"{style.name!r} is not being learned")
        training.end(at_once)
        training.reader.join()
        try:
            yield
        finally:
            if self._training is training:
                self._training = None


def _reason(training: Training, status: int) -> str:
    """Returns why a training has failed, in one sentence."""
    if training.error:
        folder = str(training.style.folder.parent.resolve())
        return training.error.replace(f"{folder}/", "")
    return f"the training was ended by signal {-status}" if status < 0 else "the training failed"
