"""A training on several logical CPUs, in a process of its own, as they are divided only once.

    python -m tests.train_in_replicas REPLICAS CONF.yml [key=value ...]

prints the total of every step, its number and when it ended, a line each.
"""

import sys
import time

import tensorflow as tf

from fast_style.command_line import exit_on_user_error
from fast_style.conf.conf_file import load_config


def main() -> None:
    replicas, conf, *overrides = sys.argv[1:]
    [cpu] = tf.config.list_physical_devices("CPU")
    logical = [tf.config.LogicalDeviceConfiguration()] * int(replicas)
    tf.config.set_logical_device_configuration(cpu, logical)

    from fast_style.training.loop import train
    from fast_style.training.step import Batch, Trainer

    step = Trainer.train_step

    def told(self: Trainer, batch: Batch) -> dict[str, float]:
        terms = step(self, batch)
        print(f"total {terms['total']!r} {self.step} {time.monotonic()}", flush=True)
        return terms

    Trainer.train_step = told  # type: ignore[method-assign]
    train(load_config(conf, overrides))


if __name__ == "__main__":
    exit_on_user_error(main)
