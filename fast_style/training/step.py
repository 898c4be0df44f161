"""One step of a training: a batch, its loss, the gradient, and the optimizer's update."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from fast_style import hardware
from fast_style.conf.config import Config
from fast_style.loss.perceptual_loss import PerceptualLoss
from fast_style.loss.style_statistics import Style
from fast_style.model_folder.model import load_teacher
from fast_style.network.any_style_network import AnyStyleNetwork
from fast_style.network.architecture import architecture_of
from fast_style.network.layers import default_dtype
from fast_style.network.styled_network import StyledNetwork
from fast_style.network.transformer_network import build_transformer_network
from fast_style.training.replicas import Replicas
from fast_style.training.schedule import learning_rate, style_ramp
from fast_style.training.soap import Soap

UNTIMED, TIMED = 4, 4  # steps; the first ones compile, and compute the bases of Soap anew

OPTIMIZERS = {"adam": keras.optimizers.Adam, "soap": Soap}


class Batch(NamedTuple):
    """The input of one step.

    content: (N, H, W, 3) uint8 RGB. style: the number of the style, from 0, or a style image,
    (1, S, S, 3) uint8 RGB. moved_view and shift: as ContentImages.moved_view returns them, or None
    if the temporal term has no weight.
    """

    content: np.ndarray
    style: int | np.ndarray
    moved_view: np.ndarray | None = None
    shift: np.ndarray | None = None


class Trainer:
    """The transformer network, the objective and the optimizer of a training.

    step: the number of completed steps.
    """

    def __init__(
        self,
        config: Config,
        styles: Sequence[Style],
        steps: int,
        precision: str,
        replicas: Replicas | None = None,
        style_images: Sequence[np.ndarray] = (),
    ):
        """styles: as for PerceptualLoss. steps: of the whole training, for the schedules.

        precision: a key of hardware.DTYPE_POLICIES. replicas: one device by default. style_images:
        for a conf with style_dataset, some of the (1, S, S, 3) images that AnyStyleNetwork needs.
        """
        self.config = config
        self.steps = steps
        self.step = 0
        self.precision = precision
        self.replicas = replicas or Replicas("none", config.batch_size)
        keras.utils.set_random_seed(config.seed)
        policy = hardware.DTYPE_POLICIES[precision]
        with self.replicas.strategy.scope():
            self.objective = PerceptualLoss(config, styles, policy)
            with default_dtype(policy):
                architecture = architecture_of(config.network, config.output)
                network = build_transformer_network(architecture)
            self.network: Any
            if config.style_dataset is None:
                self.network = StyledNetwork(network, len(styles))
            else:
                seen = [self.objective.style_targets(image) for image in style_images]
                self.network = AnyStyleNetwork(network, seen, config.seed)
            self.teacher = load_teacher(config, policy)
            # Keras would name the second one of a process adam_1, and checkpoints contain the
            # names of the optimizer's variables.
            kind = OPTIMIZERS[config.optimizer]
            self.optimizer = kind(config.learning_rate, name=config.optimizer)
            self.optimizer.build(self.network.variables)
        self._update = tf.function(self._update_replicas)
        self._evaluate = tf.function(self._terms)

    def seconds_of_a_step(self, batch: Batch) -> float:
        """Measures a step, and leaves the network and the optimizer as they were."""
        variables = [*self.network.variables, *self.optimizer.variables]
        before = [np.array(variable) for variable in variables]
        for timed in range(UNTIMED + TIMED):
            if timed == UNTIMED:
                started = time.perf_counter()
            self.train_step(batch)
        seconds = (time.perf_counter() - started) / TIMED
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
        self.step = 0
        return seconds

    def train_step(self, batch: Batch) -> dict[str, float]:
        """Takes one step on this worker's share of a batch.

        Returns the terms of the objective before the step, and the values of the schedules.
        """
        rate = learning_rate(self.config, self.step, self.steps)
        ramp = style_ramp(self.config, self.step, self.steps)
        self.optimizer.learning_rate.assign(rate)
        shares = _as_tensors(batch, self.replicas.share_out)
        terms = self._update(shares, tf.constant(ramp, tf.float32))
        self.step += 1
        return _as_floats(terms) | {"learning_rate": rate, "style_ramp": ramp}

    def _update_replicas(self, batch: Batch, ramp):
        def on_replica(batch: Batch):
            with tf.GradientTape() as tape:
                terms = self._terms(batch, ramp)
                loss = terms["total"] / self.replicas.count
            gradient = tape.gradient(loss, self.network.variables)
            self.optimizer.apply(gradient, self.network.variables)
            return terms

        return self.replicas.run(on_replica, batch)

    def _terms(self, batch: Batch, ramp):
        content = tf.cast(batch.content, tf.float32)
        targets = self.objective.content_targets(content)
        style_targets = self.objective.style_targets(batch.style)
        style = style_targets if self.config.style_dataset else batch.style
        stylized = self.network(content, style, training=True)
        moved = None
        if batch.moved_view is not None:
            moved = self.network(batch.moved_view, style, training=True), batch.shift
        taught = None if self.teacher is None else self.teacher(content)
        return self.objective(stylized, targets, style_targets, ramp, moved, taught)

    def stylize(self, pictures: np.ndarray, style: int) -> np.ndarray:
        """Returns (N, H, W, 3) RGB 0..255 pictures in the style of that number, not clipped."""
        chosen = self.objective.style_targets(style) if self.config.style_dataset else style
        return np.asarray(self.network(pictures.astype(np.float32), chosen))

    def evaluate(self, batch: Batch) -> dict[str, float]:
        """Returns the terms of the objective with the full style weight, without a step."""
        return _as_floats(self._evaluate(_as_tensors(batch), tf.constant(1.0)))


def _as_tensors(batch: Batch, pictures: Callable = tf.constant) -> Batch:
    """Returns the batch as tensors; `pictures` converts content and moved view."""
    tensors = Batch(pictures(batch.content), tf.constant(batch.style))
    if batch.moved_view is None:
        return tensors
    return tensors._replace(moved_view=pictures(batch.moved_view), shift=tf.constant(batch.shift))


def _as_floats(terms: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in terms.items()}
