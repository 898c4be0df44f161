"""The training loop: train(config) trains a network and writes a model folder."""

import contextlib
import dataclasses
import itertools
import math
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from tqdm import tqdm

from fast_style import hardware
from fast_style.command_line import interruption
from fast_style.conf.config import Config
from fast_style.errors import UserError
from fast_style.export.saved_model import tensorflow_finds, write_saved_model
from fast_style.files import make_folder
from fast_style.loss.named_terms import in_one_line
from fast_style.loss.style_statistics import (
    Style,
    image_sha256,
    read_style,
    statistics_file,
    write_style_statistics,
)
from fast_style.model_folder.checkpoint import (
    Checkpoint,
    check_same_training,
    check_still_newest,
    newest_checkpoint,
)
from fast_style.model_folder.layout import RESULT, begin_anew, find_model_folder, remove_unfinished
from fast_style.model_folder.model import (
    load_initial_weights,
    load_network,
    write_model,
    write_result,
)
from fast_style.model_folder.npz import LARGEST_WEIGHT
from fast_style.model_folder.variables import assign_variables, variables_as_arrays
from fast_style.pictures.training_pictures.content_images import ContentImages
from fast_style.pictures.training_pictures.style_images import StyleImages
from fast_style.training.held_out import HeldOut
from fast_style.training.lock import training_lock
from fast_style.training.monitor import Monitor
from fast_style.training.provenance import hashes, provenance
from fast_style.training.replicas import Replicas, report_lost_workers
from fast_style.training.step import Batch, Trainer
from fast_style.training.teacher_colours import PICTURES, match_colours

SEEN = 64  # style images that centre and scale the input of a predictor
FINISHING = 12.0  # seconds that the last previews and the SavedModel take


def train(
    config: Config, *, restart: bool = False, download: bool = False, minutes: float | None = None
) -> Path:
    """Trains until `steps`, resuming from the newest checkpoint, and returns the model folder.

    On one machine an interrupted training arrives at the same weights, bit for bit: batches depend
    on seed and step alone, and a checkpoint contains network, optimizer and step.
    minutes: instead of `steps`, as many as fit into this time on this machine. Their number
    is decided at the start and kept by a resumed training.
    Raises UserError for wrong input, and if the loss is not finite.
    """
    started = time.perf_counter()
    folder = config.model_folder
    if not tensorflow_finds(folder):
        logging.warning(
            "model_path: %s: TensorFlow cannot load a SavedModel from a path with a [",
            config.model_path,
        )
    checkpoint = None if restart else newest_checkpoint(folder)
    if minutes is not None:
        decided: dict[str, Any] = {"steps": 1}
        if checkpoint:
            decided = {key: checkpoint.config[key] for key in ("steps", "warmup_steps")}
        config = dataclasses.replace(config, **decided)
    if checkpoint:
        check_same_training(checkpoint, config, hashes(config), folder)
    replicas = Replicas(config.distribute, config.batch_size)
    if minutes is not None and replicas.several_workers:
        raise UserError("--minutes: is for one machine; give --steps, which are those of all")
    content_images = ContentImages(config, download=download, share=replicas.share)
    style_images = StyleImages(config, download=download) if config.style_dataset else None
    steps = number_of_steps(config, content_images)
    if checkpoint:
        if checkpoint.step > steps:
            done = checkpoint.step
            raise UserError(
                f"{folder}: is already trained for {done} steps; the conf asks for {steps}"
            )
        now = pictures_of(content_images, style_images)
        _warn_of_other_pictures(checkpoint, now, folder)
        if checkpoint.step == steps and (folder / RESULT).exists():
            print(
                f"{folder} is complete: {steps} steps. Raise steps to continue, or use --restart."
            )
            return folder
    precision: str = config.precision
    if precision == "auto":
        precision = checkpoint.precision if checkpoint else hardware.fastest_precision()
    styles = {name: read_style(config.of_style(name)) for name in config.named_style_images}
    seen = [] if style_images is None else style_images.first(SEEN)
    trainer = Trainer(config, list(styles.values()), steps, precision, replicas, seen)
    loop = TrainingLoop(config, content_images, styles, trainer, style_images)
    if minutes is not None and not checkpoint:
        loop.fit_into(60 * minutes - (time.perf_counter() - started))
    if config.init_from is not None and not checkpoint:
        folder_before = find_model_folder(config.init_from)
        statistics = {name: trainer.objective.statistics(n).arrays for n, name in enumerate(styles)}
        load_initial_weights(trainer.network, config.network, statistics, folder_before)
    with training_lock(folder) if replicas.is_chief else contextlib.nullcontext():
        if replicas.is_chief:
            begin_anew(folder) if restart else check_still_newest(checkpoint, folder)
            remove_unfinished(folder)
        if checkpoint:
            loop.restore_checkpoint(checkpoint)
            print(f"continuing from step {checkpoint.step} of {trainer.steps} in {folder}")
        with report_lost_workers(folder):
            replicas.check_same_step(trainer.step)
            loop.run()
    return folder


def number_of_steps(config: Config, content_images: ContentImages) -> int:
    """Returns `steps`, or the whole batches of `epoch` epochs. A batch may span two epochs."""
    if config.steps is not None:
        return config.steps
    if content_images.pictures_per_epoch is None:
        raise UserError(f"dataset: {config.dataset!r} is endless; set steps in the conf")
    return max(config.epoch * content_images.pictures_per_epoch // config.batch_size, 1)


def pictures_of(content_images: ContentImages, style_images: StyleImages | None) -> dict:
    """Returns the numbers of training pictures, as the notes of a checkpoint have them."""
    of_styles = {} if style_images is None else {"style_pictures": style_images.pictures}
    return {"pictures": content_images.pictures_per_epoch} | of_styles


def _warn_of_other_pictures(
    checkpoint: Checkpoint, now: Mapping[str, int | None], folder: Path
) -> None:
    for note, count in now.items():
        before = checkpoint.notes.get(note, count)
        if before != count:
            key = {"pictures": "dataset", "style_pictures": "style_dataset"}[note]
            logging.warning(
                "%s: %s has %s pictures now and had %s before; the next steps use these, in "
                "another order; --restart trains on them from the beginning",
                *(folder, key, count, before),
            )


class TrainingLoop:
    """Runs the steps, and writes checkpoints, logs, previews and results."""

    def __init__(
        self,
        config: Config,
        content_images: ContentImages,
        styles: Mapping[str, Style],
        trainer: Trainer,
        style_images: StyleImages | None = None,
    ):
        self.config = config
        self.folder = config.model_folder
        self.content_images = content_images
        self.styles = styles
        self.style_images = style_images
        self.trainer = trainer
        self._variables = {
            "network": trainer.network.variables,
            "optimizer": trainer.optimizer.variables,
        }
        self.seconds = 0.0
        self.terms: dict[str, float] = {}
        self.validation_before: dict[str, float] | None = None
        self.held_out = HeldOut(config)
        self.hashes = hashes(config)  # computed now, as the files may be replaced meanwhile

    def fit_into(self, seconds: float) -> None:
        """Sets the number of steps to those that this machine takes in `seconds`, at least 1.

        At most a third of them warm up.
        """
        styles = self._styles(0)
        batch = self._batch(self.content_images.batch(0), 0, next(styles))
        styles.close()
        started = time.perf_counter()
        each = self.trainer.seconds_of_a_step(batch)
        left = seconds - (time.perf_counter() - started) - FINISHING
        steps = max(int(left / each), 1)
        if left < each:
            logging.warning("--minutes: not one step of %.2f s fits; taking one", each)
        warmup_steps = min(self.config.warmup_steps, steps // 3)
        self.config = dataclasses.replace(self.config, steps=steps, warmup_steps=warmup_steps)
        self.trainer.config, self.trainer.steps = self.config, steps
        print(f"{steps} steps of {each:.2f} s fit into the time")

    def restore_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Resumes from the checkpoint. Raises UserError if it is of another network."""
        self.trainer.step, self.seconds = checkpoint.step, checkpoint.seconds
        self.terms = checkpoint.notes["last_step"]
        self.validation_before = checkpoint.notes["validation_before"]
        for name, variables in self._variables.items():
            assign_variables(name, variables, checkpoint.arrays, self.folder)

    def save_checkpoint(self) -> None:
        """Writes a checkpoint.

        Raises UserError if weights are not finite, or larger than LARGEST_WEIGHT.
        """
        arrays: dict[str, np.ndarray] = {}
        for name, variables in self._variables.items():
            arrays |= variables_as_arrays(name, variables)
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise self._diverged(f"{name} is not finite")
            if name.startswith("network/") and np.abs(array).max(initial=0) > LARGEST_WEIGHT:
                raise self._diverged(f"{name} has grown beyond {LARGEST_WEIGHT:g}")
        Checkpoint(
            step=self.trainer.step,
            seconds=self.seconds,
            precision=self.trainer.precision,
            config=dataclasses.asdict(self.config),
            notes={
                "last_step": self.terms,
                "validation_before": self.validation_before,
                **pictures_of(self.content_images, self.style_images),
                **self.hashes,
            },
            arrays=arrays,
        ).save(self.folder, self.config.keep_checkpoints)

    def run(self) -> None:
        """Trains until `steps`, or until Ctrl-C at any worker. Only the chief writes files.

        Raises KeyboardInterrupt after Ctrl-C, with a checkpoint, and UserError, without one, if the
        objective is not finite.
        """
        trainer, replicas = self.trainer, self.trainer.replicas
        monitor = self._start_monitor() if replicas.is_chief else None
        with interruption() as interrupted, self._progress_bar() as progress:
            batches = self.content_images.batches(trainer.step)
            styles = self._styles(trainer.step)
            started = time.perf_counter()
            while trainer.step < trainer.steps and not replicas.any_worker(interrupted):
                batch = self._batch(next(batches), trainer.step, next(styles))
                self.terms = trainer.train_step(batch)
                if not math.isfinite(self.terms["total"]):
                    raise self._diverged(f"the objective ({in_one_line(self.terms)}) is not finite")
                now = time.perf_counter()
                self.seconds, started = self.seconds + now - started, now
                progress.update(self.config.batch_size)
                if monitor is not None:
                    self._record(monitor, progress, batch)
            batches.close()
            styles.close()
        if monitor is not None:
            self.save_checkpoint()
        self.content_images.report_broken()
        if self.style_images is not None:
            self.style_images.report_broken()
        if trainer.step < trainer.steps:
            print(f"stopped at step {trainer.step} of {trainer.steps}; the same command continues")
            raise KeyboardInterrupt
        if monitor is not None:
            self._finish(monitor)

    def validate(self) -> dict[str, float] | None:
        """Returns mean terms over the conf's validation_images, or None if it names none."""
        return self.held_out.mean_terms(
            lambda content, style: self.trainer.evaluate(self._batch(content, 0, style))
        )

    def _styles(self, first_step: int) -> Generator[int | np.ndarray]:
        """Yields the style of each step: an image of the style_dataset, or a style's number."""
        if self.style_images is not None:
            yield from self.style_images.batches(first_step)
        for step in itertools.count(first_step):
            yield step % len(self.styles)

    def _batch(self, content: np.ndarray, step: int, style: int | np.ndarray) -> Batch:
        if not self.config.temporal_weight:
            return Batch(content, style)
        return Batch(content, style, *self.content_images.moved_view(content, step))

    def _start_monitor(self) -> Monitor:
        make_folder(self.folder)
        # The result of fewer steps would mark this training as complete.
        (self.folder / RESULT).unlink(missing_ok=True)
        monitor = Monitor(self.config, self.trainer.stylize, self.folder, self.styles)
        if self.trainer.step == 0:
            self.validation_before = self.validate()
            monitor.validation(0, self.validation_before)
        return monitor

    def _progress_bar(self) -> tqdm:
        return tqdm(
            total=self.trainer.steps * self.config.batch_size,
            initial=self.trainer.step * self.config.batch_size,
            unit=" images",
            desc=self.config.naming,
            dynamic_ncols=True,
            smoothing=0.05,
            disable=not self.trainer.replicas.is_chief,
        )

    def _record(self, monitor: Monitor, progress: tqdm, batch: Batch) -> None:
        step = self.trainer.step
        last = step == self.trainer.steps
        if last or step % self.config.log_every == 0:
            progress.set_postfix_str(in_one_line(self.terms))
            monitor.scalars(step, self.terms)
        if last or step % self.config.preview_every == 0:
            monitor.pictures(step, batch.content)
        if step % self.config.checkpoint_every == 0:
            self.save_checkpoint()

    def _finish(self, monitor: Monitor) -> None:
        if self.trainer.teacher is not None:
            self._match_teachers_colours()
        after = self.validate()
        monitor.validation(self.trainer.step, after)
        monitor.close()
        write_model(self.folder, self.config, self.trainer.network)
        if len(self.styles) == 1 and self.style_images is None:
            write_saved_model(load_network(self.folder), self.folder)
        result = {
            "steps": self.trainer.steps,
            "seconds": round(self.seconds, 1),
            "precision": self.trainer.precision,
            **provenance(),
            **self.hashes,
            "broken_pictures": len(self.content_images.broken),
            "last_step": self.terms,
            "validation_before": self.validation_before,
            "validation_after": after,
        }
        self._write_statistics()
        write_result(self.folder, result)

    def _match_teachers_colours(self) -> None:
        """Changes the written network only: a checkpoint of the last step has been saved."""
        first, count = self.trainer.steps, math.ceil(PICTURES / self.config.batch_size)
        batches = (self.content_images.batch(first + number) for number in range(count))
        match_colours(self.trainer.network, self.trainer.teacher, batches, self.config.output)

    def _write_statistics(self) -> None:
        several = len(self.styles) > 1 or self.style_images is not None
        for number, (name, style) in enumerate(self.styles.items()):
            sha256 = image_sha256(style, self.hashes["style_image_sha256"][name])
            statistics = self.trainer.objective.statistics(number, style_image_sha256=sha256)
            file = self.folder / statistics_file(name if several else None)
            write_style_statistics(file, statistics)

    def _diverged(self, problem: str) -> UserError:
        last_good = newest_checkpoint(self.folder)
        if last_good is None:
            hint = "no checkpoint yet"
        else:
            hint = (
                f"the last good checkpoint is of step {last_good.step}; to begin from it: "
                f"--set naming=ANOTHER --set init_from={self.folder}"
            )
        return UserError(
            f"{self.folder}: {problem} at step {self.trainer.step}; {hint}; "
            "try a lower learning_rate or style_weight"
        )
