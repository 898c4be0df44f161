"""The training of the student, which makes its features those of the teacher's chosen channels."""

import contextlib
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from fast_style.command_line import interruption
from fast_style.conf.config import Config
from fast_style.conf.vgg_layers import PIXEL_MEAN
from fast_style.errors import UserError
from fast_style.loss.vgg_weights import Weights
from fast_style.model_folder.npz import LARGEST_WEIGHT, read_arrays, write_arrays
from fast_style.pictures.training_pictures.content_images import ContentImages
from fast_style.train_loss_network.pruning import ChosenChannels, pool
from fast_style.training.schedule import learning_rate

CHECKPOINT_EVERY = 100


def features(weights: Mapping, images: tf.Tensor, dtype: str = "float32") -> dict[str, tf.Tensor]:
    """Returns {"block1_conv1": (N, h, w, C), ...}: each layer after the ReLU, with average pooling.

    weights: as read_weights returns them. images: (N, H, W, 3) RGB, 0..255. dtype: of the result.
    """
    x = tf.cast(tf.cast(images, tf.float32) - PIXEL_MEAN, dtype)
    found: dict[str, tf.Tensor] = {}
    for name, (kernel, bias) in weights.items():
        if found and name.endswith("conv1"):
            x = pool(x)
        x = tf.nn.conv2d(x, tf.cast(kernel, dtype), 1, "SAME") + tf.cast(bias, dtype)
        x = found[name] = tf.nn.relu(x)
    return found


class Distillation:
    """Trains a student on a teacher's features (FitNets, Romero et al. 2015).

    step: the number of completed steps.
    """

    def __init__(
        self, config: Config, teacher: Weights, student: Weights, chosen: ChosenChannels, dtype: str
    ):
        """student and chosen: as prune returns them. dtype: of the features."""
        self.config, self.dtype, self.chosen = config, dtype, chosen
        self.step = 0
        self.teacher = {
            name: tuple(tf.constant(array, dtype) for array in pair)
            for name, pair in teacher.items()
        }
        # Variables are relative to the first size of their array, so that all layers can have one
        # learning rate: the first kernel takes pixels, and is far smaller than the others.
        self.sizes = {
            name: tuple(float(np.sqrt(np.mean(array**2))) or 1.0 for array in pair)
            for name, pair in student.items()
        }
        self.variables = [
            tf.Variable(array / size)
            for name, pair in student.items()
            for array, size in zip(pair, self.sizes[name], strict=True)
        ]
        self.optimizer = keras.optimizers.Adam(beta_2=0.99)
        self.optimizer.build(self.variables)
        self._update = tf.function(self._update_student)
        self._compare = tf.function(self.distances)

    def distances(self, images) -> dict[str, tf.Tensor]:
        """Returns each layer's squared distance to the teacher over the teacher's square.

        images: (N, H, W, 3) RGB, 0..255.
        """
        wanted = features(self.teacher, images, self.dtype)
        found = features(self.student(), images, self.dtype)
        distances = {}
        for name, channels in self.chosen.items():
            target = tf.cast(tf.gather(wanted[name], channels, axis=-1), tf.float32)
            error = tf.cast(found[name], tf.float32) - target
            distances[name] = tf.reduce_sum(error**2) / tf.reduce_sum(target**2)
        return distances

    def _update_student(self, images) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            distances = self.distances(images)
            loss = tf.add_n(list(distances.values()))
        self.optimizer.apply(tape.gradient(loss, self.variables), self.variables)
        return distances

    def train_step(self, images: np.ndarray) -> float:
        """Takes one step on (N, S, S, 3) uint8 RGB; returns the mean of `distances` before it."""
        steps: int = self.config.steps  # type: ignore[assignment]
        self.optimizer.learning_rate.assign(learning_rate(self.config, self.step, steps))
        distances = self._update(tf.constant(images))
        self.step += 1
        return float(np.mean([float(each) for each in distances.values()]))

    def measure(self, images: np.ndarray) -> dict[str, float]:
        """Returns the means over (N, S, S, 3) uint8 RGB pictures of the `distances` of each."""
        of_each = [self._compare(tf.constant(image[None])) for image in images]
        return {name: float(np.mean([one[name] for one in of_each])) for name in self.chosen}

    def student(self) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        """Returns the student's kernels and biases as tensors."""
        pairs = zip(self.variables[::2], self.variables[1::2], strict=True)
        return {
            name: (kernel * kernel_size, bias * bias_size)
            for (name, (kernel_size, bias_size)), (kernel, bias) in zip(
                self.sizes.items(), pairs, strict=True
            )
        }

    def weights(self) -> Weights:
        """Returns the student's kernels and biases, as for save_weights.

        Raises UserError if one is not finite, or larger than LARGEST_WEIGHT.
        """
        found = {name: (k.numpy(), b.numpy()) for name, (k, b) in self.student().items()}
        for name, pair in found.items():
            if not all(np.abs(array).max() <= LARGEST_WEIGHT for array in pair):  # NaN too
                raise self.diverged(f"{name} is not finite, or larger than {LARGEST_WEIGHT:g}")
        return found

    def diverged(self, problem: str) -> UserError:
        """Returns the error of a training that cannot continue."""
        rate = self.config.learning_rate
        return UserError(
            f"the training diverged at step {self.step} ({problem}); use a --learning-rate below "
            f"{rate:g}, and another --folder"
        )

    def save(self, file: Path) -> None:
        """Writes a checkpoint, completely or not at all. Raises UserError as `weights` does."""
        self.weights()
        state = {f"state/{i}": variable.numpy() for i, variable in enumerate(self._state())}
        write_arrays(file, {"step": np.array(self.step), **state, **self._begun_with()})

    def restore(self, file: Path) -> None:
        """Continues from a checkpoint. Raises UserError if its settings or channels are others."""
        arrays = read_arrays(file)
        for name, value in self._begun_with().items():
            if name not in arrays or not np.array_equal(arrays[name], value):
                raise UserError(
                    f"{file}: was begun with other pictures, another teacher or other flags "
                    f"({name}); use those, or another --folder"
                )
        for index, variable in enumerate(self._state()):
            variable.assign(arrays[f"state/{index}"])
        self.step = int(arrays["step"])

    def _state(self) -> list:
        return [*self.variables, *self.optimizer.variables]

    def _begun_with(self) -> dict[str, np.ndarray]:
        keys = ("dataset", "steps", "batch_size", "image_size", "learning_rate", "seed")
        settings = {key: np.array(getattr(self.config, key)) for key in keys}
        return settings | {f"chosen/{name}": channels for name, channels in self.chosen.items()}


def train(distillation: Distillation, images: ContentImages, checkpoint: Path) -> None:
    """Trains until the config's `steps`, or until Ctrl-C, and writes a checkpoint.

    Raises KeyboardInterrupt after Ctrl-C, and UserError if the training diverges, without writing
    a checkpoint.
    """
    steps: int = distillation.config.steps  # type: ignore[assignment]
    with (
        contextlib.closing(images.batches(distillation.step)) as batches,
        interruption() as interrupted,
        tqdm(total=steps, initial=distillation.step, unit=" steps", dynamic_ncols=True) as progress,
    ):
        while distillation.step < steps and not interrupted:
            distance = distillation.train_step(next(batches))
            if not np.isfinite(distance):
                raise distillation.diverged("the distance to the teacher is not finite")
            progress.update()
            progress.set_postfix(distance=f"{distance:.3f}")
            if distillation.step % CHECKPOINT_EVERY == 0:
                distillation.save(checkpoint)
    distillation.save(checkpoint)
    if distillation.step < steps:
        print(f"stopped at step {distillation.step} of {steps}; the same command continues")
        raise KeyboardInterrupt
