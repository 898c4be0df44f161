"""Content images that the machines of a Ray cluster read, if your cores cannot feed your GPUs.

tf.data's service is not used: it runs graphs of TensorFlow operations, and pictures are read
here with Pillow. A picture is a function of its slot alone, so any process can read any of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import ray

from fast_style.ray_cluster import connected, errors_as_they_were, machines

if TYPE_CHECKING:
    from fast_style.pictures.training_pictures.content_images import ContentImages

Read = tuple[np.ndarray, dict[str, str]]  # a picture, and broken files with reasons


class Reader:
    """An actor that reads pictures."""

    def __init__(self, open_images: Callable[[], ContentImages]):
        self.images = open_images()
        self.reported: set[str] = set()

    def picture(self, slot: int) -> Read:
        """Returns the slot's picture, and the broken files found since the last call."""
        rgb, found = self.images.picture(slot), self.images.broken
        broken = {name: why for name, why in found.items() if name not in self.reported}
        self.reported |= broken.keys()
        return rgb, broken


@contextlib.contextmanager
def readers(
    address: str, open_images: Callable[[], ContentImages]
) -> Iterator[tuple[Callable[[int], Read], int]]:
    """Yields a function that reads the picture of a slot in the cluster, and the number of readers.

    open_images: called in each reader; all machines must see the files. Raises UserError if there
    is no cluster, and what a reader raises.
    """
    with connected(address, "data_service:"), errors_as_they_were():
        count = sum(int(machine.get("CPU", 0)) for machine in machines())
        # They reserve no cores, as other workers of the training have readers there too. A reader
        # whose machine is lost starts again on another one, and Ray repeats its task.
        anywhere: Any = ray.remote(
            num_cpus=0, scheduling_strategy="SPREAD", max_restarts=-1, max_task_retries=-1
        )(Reader)
        actors = [anywhere.remote(open_images) for _ in range(count)]
        try:
            yield lambda slot: ray.get(actors[slot % count].picture.remote(slot)), count
        finally:
            for actor in actors:
                ray.kill(actor)
