"""Where a training computes: on one device, on all those of a machine, or on several machines.

tf.distribute does the work: every replica has the same weights and takes its share of each batch,
and their gradients are added up. What a training writes is written by one worker, the chief.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from fast_style.errors import UserError

TF_CONFIG_LIKE = (
    '{"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, "task": {"type": "worker", "index": 0}}'
)
# How the loss of a worker reaches the others: by whichever operation they wait in.
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


class Replicas:
    """The replicas of a training, and those of them that this worker has."""

    def __init__(self, distribute: str, batch_size: int):
        """distribute: 'none', 'mirrored' or 'multi_worker', as in the conf.

        batch_size: of all replicas together.
        Raises UserError where TF_CONFIG is not right, or the batch cannot be shared out evenly.
        """
        self.strategy = _strategy(distribute)
        self._of_all = tf.function(self._gather)
        self.count = self.strategy.num_replicas_in_sync
        if batch_size % self.count:
            raise UserError(
                f"batch_size: {batch_size} pictures cannot be shared out evenly to {self.count} "
                f"replicas; take a multiple of {self.count}"
            )
        self._each = batch_size // self.count
        ours = self.strategy.experimental_local_results(_numbers(self.strategy))
        self.is_chief = 0 in ours
        self._several_workers = len(ours) < self.count
        self.share = range(min(ours) * self._each, (max(ours) + 1) * self._each)

    def share_out(self, pictures: np.ndarray):
        """This worker's `share` of a batch, as what each of its replicas takes."""

        def of_replica(context):
            start = context.replica_id_in_sync_group * self._each - self.share.start
            return tf.constant(pictures[start : start + self._each])

        return self.strategy.experimental_distribute_values_from_function(of_replica)

    def run(self, on_replica: Callable, *shares) -> dict:
        """on_replica(*shares) on each, and the means over all of the scalars that it names."""
        found = self.strategy.run(on_replica, shares)
        return {
            name: self.strategy.reduce(tf.distribute.ReduceOp.MEAN, value, axis=None)
            for name, value in found.items()
        }

    def check_same_step(self, step: int) -> None:
        """Raise UserError where the workers do not all begin from the same step."""
        steps = sorted(set(self._of_all(tf.constant([step])).numpy().tolist()))
        if len(steps) > 1:
            raise UserError(
                f"the workers have checkpoints of different steps, {steps}; model_path has to be "
                "a folder that all of them see"
            )

    def any_worker(self, flag: object) -> bool:
        """Whether `flag` is true for any of the workers, who all have to ask."""
        if not self._several_workers:
            return bool(flag)
        return bool(self._of_all(tf.constant([int(bool(flag))])).numpy().any())

    def _gather(self, number):
        return self.strategy.gather(self.strategy.run(lambda: number), axis=0)


@contextlib.contextmanager
def report_lost_workers(folder) -> Iterator[None]:
    """Raise UserError where another worker of the training in `folder` is gone."""
    try:
        yield
    except LOST as error:
        if "TF_CONFIG" not in os.environ:
            raise
        raise UserError(
            f"{folder}: another worker of the training is gone ({type(error).__name__}); start all "
            "of them again, and they go on from the newest checkpoint"
        ) from error


def _numbers(strategy):
    """The number of each of this worker's replicas among all of them."""
    return strategy.run(
        tf.function(lambda: tf.distribute.get_replica_context().replica_id_in_sync_group)
    )


def _strategy(distribute: str) -> tf.distribute.Strategy:
    if distribute == "none":
        return tf.distribute.get_strategy()
    if distribute == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    _check_tf_config()
    return tf.distribute.MultiWorkerMirroredStrategy()


def _check_tf_config() -> None:
    text = os.environ.get("TF_CONFIG")
    if text is None:
        raise UserError(
            f"distribute: multi_worker: the variable TF_CONFIG is not set; each worker has its "
            f"own, such as {TF_CONFIG_LIKE}"
        )
    try:
        tf_config = json.loads(text)
        task = tf_config["task"]
        tf_config["cluster"][task["type"]][task["index"]]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise UserError(
            f"TF_CONFIG: {text!r} does not tell the cluster and this task in it "
            f"({type(error).__name__}: {error}); such as {TF_CONFIG_LIKE}"
        ) from None
