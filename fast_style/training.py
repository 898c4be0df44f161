"""train(config): one style's transformer network, from a conf to a model folder."""

import contextlib
import dataclasses
import math
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from absl import logging
from tqdm import tqdm

from fast_style import hardware
from fast_style.checkpoints import (
    RESULT,
    Checkpoint,
    assign_variables,
    begin_anew,
    check_same_training,
    check_still_newest,
    find_model_folder,
    load_network,
    newest_checkpoint,
    read_model,
    remove_unfinished,
    variables_as_arrays,
    write_model,
    write_result,
)
from fast_style.command_line import interruption
from fast_style.config import Config
from fast_style.errors import UserError
from fast_style.export import tensorflow_finds
from fast_style.export.saved_model import write_saved_model
from fast_style.files import make_folder
from fast_style.held_out import HeldOut
from fast_style.loss.perceptual_loss import PerceptualLoss
from fast_style.loss.style_statistics import (
    STYLE,
    SUFFIX,
    StyleStatistics,
    read_style,
    write_style_statistics,
)
from fast_style.monitor import Monitor
from fast_style.named_terms import in_one_line
from fast_style.network.architecture import architecture_of
from fast_style.network.layers import default_dtype
from fast_style.network.styled_network import StyledNetwork
from fast_style.network.transformer_network import build_transformer_network
from fast_style.npz import LARGEST_WEIGHT
from fast_style.pictures.content_images import ContentImages
from fast_style.provenance import hashes, provenance
from fast_style.replicas import Replicas, told_of_lost_workers
from fast_style.schedule import learning_rate, style_ramp
from fast_style.soap import Soap
from fast_style.sole_training import sole_training
from fast_style.style_mix import name_in_style, stacked

OPTIMIZERS = {"adam": keras.optimizers.Adam, "soap": Soap}


def train(config: Config, *, restart: bool = False, download: bool = False) -> Path:
    """Train until `steps`, resuming from the newest checkpoint, and return the model folder.

    On one machine the weights are bit-equal however often the training was interrupted: batches
    are a function of seed and step, and a checkpoint holds network, optimizer and step.
    Raises UserError for what a person can put right, a non-finite loss among it.
    """
    folder = config.model_folder
    if not tensorflow_finds(folder):
        logging.warning(
            "model_path: %s: TensorFlow finds no SavedModel where a path has a [; all else works",
            config.model_path,
        )
    checkpoint = None if restart else newest_checkpoint(folder)
    if checkpoint:
        check_same_training(checkpoint, config, hashes(config), folder)
    replicas = Replicas(config.distribute, config.batch_size)
    content_images = ContentImages(
        config.dataset,
        image_size=config.image_size,
        batch_size=config.batch_size,
        seed=config.seed,
        crop=config.crop,
        flip=config.flip,
        data_dir=config.data_dir,
        data_service=config.data_service,
        download=download,
        share=replicas.share,
    )
    steps = number_of_steps(config, content_images)
    if checkpoint and checkpoint.step > steps:
        raise UserError(
            f"{folder}: was trained for {checkpoint.step} steps already, the conf asks for {steps}"
        )
    if checkpoint:
        _tell_of_other_pictures(checkpoint, content_images, folder)
    if checkpoint and checkpoint.step == steps and (folder / RESULT).exists():
        print(f"{folder} is complete: {steps} steps. More steps go on, --restart begins anew.")
        return folder
    if checkpoint and config.precision == "auto":
        precision = checkpoint.precision
    else:
        precision = _resolve_precision(config)
    training = Training(config, content_images, steps, precision, replicas)
    if config.init_from is not None and not checkpoint:
        training.begin_from(find_model_folder(config.init_from))
    with sole_training(folder) if replicas.is_chief else contextlib.nullcontext():
        if replicas.is_chief:
            begin_anew(folder) if restart else check_still_newest(checkpoint, folder)
            remove_unfinished(folder)
        if checkpoint:
            training.restore(checkpoint)
            print(f"going on from step {checkpoint.step} of {steps} in {folder}")
        with told_of_lost_workers(folder):
            replicas.check_same_step(training.step)
            training.run()
    return folder


def number_of_steps(config: Config, content_images: ContentImages) -> int:
    """`steps`, or the whole batches in `epoch` times the pictures: a batch may span two epochs."""
    if config.steps is not None:
        return config.steps
    if content_images.pictures_per_epoch is None:
        raise UserError(f"dataset: {config.dataset!r} is endless, so the conf has to say steps")
    return max(config.epoch * content_images.pictures_per_epoch // config.batch_size, 1)


def _tell_of_other_pictures(checkpoint: Checkpoint, now: ContentImages, folder: Path) -> None:
    before = checkpoint.notes.get("pictures", now.pictures_per_epoch)
    if before != now.pictures_per_epoch:
        logging.warning(
            "%s: dataset has %s pictures now and had %s before; steps from here on see these in an "
            "order of their own, and --restart trains on them from the beginning",
            *(folder, now.pictures_per_epoch, before),
        )


class Training:
    """A transformer network on its way from one step to the next."""

    def __init__(
        self,
        config: Config,
        content_images: ContentImages,
        steps: int,
        precision: str,
        replicas: Replicas | None = None,
    ):
        self.config = config
        self.replicas = replicas = replicas or Replicas("none", config.batch_size)
        self.content_images = content_images
        self.steps = steps
        self.precision = precision
        self.step = 0
        self.seconds = 0.0
        self.terms: dict[str, float] = {}
        self.before: dict[str, float] | None = None
        self.held_out = HeldOut(config)
        self.hashes = hashes(config)  # now: the files may be replaced while it trains
        self.styles = {
            name: read_style(config.of_style(name)) for name in config.named_style_images
        }
        keras.utils.set_random_seed(config.seed)
        policy = hardware.DTYPE_POLICIES[precision]
        with replicas.strategy.scope():
            self.objective = PerceptualLoss(config, list(self.styles.values()), policy)
            with default_dtype(policy):
                architecture = architecture_of(config.network, config.output)
                network = build_transformer_network(architecture)
            self.network = StyledNetwork(network, len(self.styles))
            # Named, because Keras would call the second one of a process adam_1, and checkpoints
            # hold the optimizer's variables by their names.
            kind = OPTIMIZERS[config.optimizer]
            self.optimizer = kind(config.learning_rate, name=config.optimizer)
            self.optimizer.build(self.network.variables)
        self._train_on = tf.function(self._train_on_replicas)
        self._evaluate = tf.function(self._terms)

    def begin_from(self, folder: Path) -> None:
        """Take the transformer network of another model folder, and nothing else of it.

        Of several styles there, those are taken that have the names of ours; a name that is not
        there begins from the mean of them all. Raises UserError for a folder of another network.
        """
        model = read_model(folder)
        network, wanted = model.architecture.name, self.config.network
        if network != wanted:
            raise UserError(
                f"init_from: {folder}: has network: {network}, and the conf network: {wanted}; "
                f"name a folder with network: {wanted}, or null"
            )
        plain = [model.in_style_like(name).arrays for name in self.styles]
        arrays = stacked(plain) if len(plain) > 1 else plain[0]
        assign_variables("network", self.network.variables, arrays, folder)

    def restore(self, checkpoint: Checkpoint) -> None:
        self.step, self.seconds = checkpoint.step, checkpoint.seconds
        self.terms = checkpoint.notes["last_step"]
        self.before = checkpoint.notes["validation_before"]
        source = self.config.model_folder
        assign_variables("network", self.network.variables, checkpoint.arrays, source)
        assign_variables("optimizer", self.optimizer.variables, checkpoint.arrays, source)

    def save(self) -> None:
        """Write a checkpoint.

        Raises UserError where a step left weights that are not finite, or that have run away.
        """
        arrays = variables_as_arrays("network", self.network.variables)
        arrays |= variables_as_arrays("optimizer", self.optimizer.variables)
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise self._spoiled(f"{name} is not finite")
            if name.startswith("network/") and np.abs(array).max(initial=0) > LARGEST_WEIGHT:
                raise self._spoiled(f"{name} has grown beyond {LARGEST_WEIGHT:g}")
        Checkpoint(
            step=self.step,
            seconds=self.seconds,
            precision=self.precision,
            config=dataclasses.asdict(self.config),
            notes={
                "last_step": self.terms,
                "validation_before": self.before,
                "pictures": self.content_images.pictures_per_epoch,
                **self.hashes,
            },
            arrays=arrays,
        ).save(self.config.model_folder, self.config.keep_checkpoints)

    def run(self) -> None:
        """Train until `steps`, or until Ctrl-C at any of the workers. The chief alone writes."""
        monitor = self._begin() if self.replicas.is_chief else None
        with interruption() as interrupted, self._progress() as progress:
            batches = self.content_images.batches(self.step)
            started = time.perf_counter()
            while self.step < self.steps and not self.replicas.any_worker(interrupted):
                content = next(batches)
                self.terms = self.train_on(content)
                now = time.perf_counter()
                self.seconds, started = self.seconds + now - started, now
                progress.update(self.config.batch_size)
                if monitor is not None:
                    self._record(monitor, progress, content)
            batches.close()
        if monitor is not None:
            self.save()
        self.content_images.report_broken()
        if self.step < self.steps:
            print(f"stopped after step {self.step} of {self.steps}; the same command goes on")
            raise KeyboardInterrupt
        if monitor is not None:
            self._finish(monitor)

    def _begin(self) -> Monitor:
        folder = self.config.model_folder
        make_folder(folder)
        (folder / RESULT).unlink(missing_ok=True)  # of fewer steps; it would mark these as done
        monitor = Monitor(self.config, self.network, folder, self.styles)
        if self.step == 0:
            self.before = self.validate()
            monitor.validation(self.step, self.before)
        return monitor

    def _record(self, monitor: Monitor, progress: tqdm, content: np.ndarray) -> None:
        last = self.step == self.steps
        if last or self.step % self.config.log_every == 0:
            progress.set_postfix_str(in_one_line(self.terms))
            monitor.scalars(self.step, self.terms)
        if last or self.step % self.config.preview_every == 0:
            monitor.pictures(self.step, content)
        if self.step % self.config.checkpoint_every == 0:
            self.save()

    def _finish(self, monitor: Monitor) -> None:
        folder = self.config.model_folder
        after = self.validate()
        monitor.validation(self.step, after)
        monitor.close()
        write_model(folder, self.config, self.network)
        if len(self.styles) == 1:
            write_saved_model(load_network(folder), folder)
        result = self._result(after)
        self._write_statistics()
        write_result(folder, result)

    def _write_statistics(self) -> None:
        several = len(self.styles) > 1
        for number, (name, style) in enumerate(self.styles.items()):
            if isinstance(style, StyleStatistics):
                sha256 = style.made_with.get("style_image_sha256")
            else:
                sha256 = self.hashes["style_image_sha256"][name]
            statistics = self.objective.statistics(number, style_image_sha256=sha256)
            stem = name_in_style(STYLE, name if several else None)
            write_style_statistics(self.config.model_folder / f"{stem}{SUFFIX}", statistics)

    def train_on(self, content: np.ndarray) -> dict[str, float]:
        """One step on this worker's (N, H, W, 3) uint8 pictures; the named terms before it.

        Raises UserError, without having saved anything, where the objective is not finite.
        """
        rate = learning_rate(self.config, self.step, self.steps)
        ramp = style_ramp(self.config, self.step, self.steps)
        self.optimizer.learning_rate.assign(rate)
        style = tf.constant(self.step % len(self.styles))
        shares = self.replicas.share_out(content)
        view, shift = self._moved_view(content, self.step)
        if view is not None:
            view = self.replicas.share_out(view)
        terms = self._train_on(shares, tf.constant(ramp, tf.float32), style, view, shift)
        terms = {name: float(value) for name, value in terms.items()}
        self.step += 1
        if not math.isfinite(terms["total"]):
            raise self._spoiled(f"the objective ({in_one_line(terms)}) is not finite")
        return terms | {"learning_rate": rate, "style_ramp": ramp}

    def _spoiled(self, what: str) -> UserError:
        folder = self.config.model_folder
        kept = newest_checkpoint(folder)
        if kept is None:
            there = "no checkpoint yet"
        else:
            there = (
                f"the last good checkpoint is of step {kept.step}; to begin from it: "
                f"--set naming=ANOTHER --set init_from={folder}"
            )
        return UserError(
            f"{folder}: {what} at step {self.step}; {there}; "
            "try a lower learning_rate or style_weight"
        )

    def validate(self) -> dict[str, float] | None:
        """Mean terms over the conf's validation_images, or None where it names none."""
        ramp = tf.constant(1.0)

        def terms(content: np.ndarray, style: int):
            return self._evaluate(
                *(tf.constant(content), ramp, tf.constant(style)), *self._moved_view(content, 0)
            )

        return self.held_out.mean_terms(terms)

    def _moved_view(self, content: np.ndarray, step: int):
        """What the temporal term compares with, and its shift; None where it has no weight."""
        if not self.config.temporal_weight:
            return None, None
        view, shift = self.content_images.moved_view(content, step)
        return view, tf.constant(shift)

    def _terms(self, content, ramp, style, view, shift):
        content = tf.cast(content, tf.float32)
        targets = self.objective.content_targets(content)
        stylized = self.network(content, style, training=True)
        moved = None
        if view is not None:
            moved = self.network(view, style, training=True), shift
        return self.objective(stylized, targets, ramp, style, moved)

    def _train_on_replicas(self, content, ramp, style, view, shift):
        def on_replica(content, view):
            with tf.GradientTape() as tape:
                terms = self._terms(content, ramp, style, view, shift)
                loss = terms["total"] / self.replicas.count
            variables = self.network.variables
            self.optimizer.apply(tape.gradient(loss, variables), variables)
            return terms

        return self.replicas.run(on_replica, content, view)

    def _progress(self) -> tqdm:
        return tqdm(
            total=self.steps * self.config.batch_size,
            initial=self.step * self.config.batch_size,
            unit=" images",
            desc=self.config.naming,
            dynamic_ncols=True,
            smoothing=0.05,
            disable=not self.replicas.is_chief,
        )

    def _result(self, after: dict[str, float] | None) -> dict:
        return {
            "steps": self.steps,
            "seconds": round(self.seconds, 1),
            "precision": self.precision,
            **provenance(),
            **self.hashes,
            "broken_pictures": len(self.content_images.broken),
            "last_step": self.terms,
            "validation_before": self.before,
            "validation_after": after,
        }


def _resolve_precision(config: Config) -> str:
    return hardware.fastest_precision() if config.precision == "auto" else config.precision
