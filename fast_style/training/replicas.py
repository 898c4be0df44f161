"""The devices of a training: one, all of a machine, or those of several machines.

With tf.distribute every replica has the same weights and takes its share of each batch, and the
gradients are added up. One worker, the chief, writes all files.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from fast_style.errors import UserError

# What the operation that waits for a lost worker raises.
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


class Replicas:
    """The replicas of a training, and this worker's part of them."""

    def __init__(self, distribute: str, batch_size: int):
        """distribute: 'none', 'mirrored' or 'multi_worker', as in the conf.

        batch_size: of all replicas together.
        Raises UserError if TF_CONFIG is wrong, or the batch cannot be divided evenly.
        """
        self.strategy = _strategy(distribute)
        self._of_all = tf.function(self._gather)
        self.count = self.strategy.num_replicas_in_sync
        if batch_size % self.count:
            raise UserError(
                f"batch_size: {batch_size} pictures cannot be divided between {self.count} "
                f"replicas; take a multiple of {self.count}"
            )
        self._each = batch_size // self.count
        numbers = self.strategy.run(
            tf.function(lambda: tf.distribute.get_replica_context().replica_id_in_sync_group)
        )
        ours = self.strategy.experimental_local_results(numbers)
        self.is_chief = 0 in ours
        self.several_workers = len(ours) < self.count
        self.share = range(min(ours) * self._each, (max(ours) + 1) * self._each)

    def share_out(self, pictures: np.ndarray):
        """Returns this worker's `share` of a batch as a value for each of its replicas."""

        def of_replica(context):
            start = context.replica_id_in_sync_group * self._each - self.share.start
            return tf.constant(pictures[start : start + self._each])

        return self.strategy.experimental_distribute_values_from_function(of_replica)

    def run(self, on_replica: Callable, *shares) -> dict:
        """Calls on_replica(*shares) on each replica; returns the mean of each named scalar."""
        found = self.strategy.run(on_replica, shares)
        return {
            name: self.strategy.reduce(tf.distribute.ReduceOp.MEAN, value, axis=None)
            for name, value in found.items()
        }

    def check_same_step(self, step: int) -> None:
        """Raises UserError if the workers do not all begin at the same step."""
        steps = sorted(set(self._of_all(tf.constant([step])).numpy().tolist()))
        if len(steps) > 1:
            raise UserError(
                f"the workers have checkpoints of different steps, {steps}; model_path must be a "
                "folder that all of them can read"
            )

    def any_worker(self, flag: object) -> bool:
        """Returns whether `flag` is true for any worker. All workers must call it."""
        if not self.several_workers:
            return bool(flag)
        return bool(self._of_all(tf.constant([int(bool(flag))])).numpy().any())

    def _gather(self, number):
        return self.strategy.gather(self.strategy.run(lambda: number), axis=0)


@contextlib.contextmanager
def report_lost_workers(folder) -> Iterator[None]:
    """Raises UserError if another worker of the training in `folder` is lost."""
    try:
        yield
    except LOST as error:
        if "TF_CONFIG" not in os.environ:
            raise
        raise UserError(
            f"{folder}: another worker of the training is lost ({type(error).__name__}); start all "
            "of them again, and they continue from the newest checkpoint"
        ) from error


def _strategy(distribute: str) -> tf.distribute.Strategy:
    if distribute == "none":
        return tf.distribute.get_strategy()
    if distribute == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    _check_tf_config()
    return tf.distribute.MultiWorkerMirroredStrategy()


def _check_tf_config() -> None:
    text = os.environ.get("TF_CONFIG", "")
    try:
        tf_config = json.loads(text)
        task = tf_config["task"]
        tf_config["cluster"][task["type"]][task["index"]]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise UserError(
            f"distribute: multi_worker: the variable TF_CONFIG {text!r} does not contain the "
            f"cluster and this worker's task ({type(error).__name__}: {error}); it must be like "
            '{"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, '
            '"task": {"type": "worker", "index": 0}}'
        ) from None
