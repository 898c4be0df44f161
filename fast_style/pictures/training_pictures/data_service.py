"""Content images that the machines of a Ray cluster read, where one's cores cannot feed its GPUs.

tf.data's service is not used: it sends a graph of TensorFlow's operations to its workers, and how
pictures are read here (EXIF, profiles, what takes the place of a broken file) is no such graph. A
picture is a function of its slot alone, so any process may read any of them, in any order.
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
        self.told: set[str] = set()

    def picture(self, slot: int) -> Read:
        """The slot's picture, and the broken files that were met since the last call."""
        rgb = self.images.picture(slot)
        broken = {name: why for name, why in self.images.broken.items() if name not in self.told}
        self.told |= broken.keys()
        return rgb, broken


@contextlib.contextmanager
def readers(
    address: str, open_images: Callable[[], ContentImages]
) -> Iterator[tuple[Callable[[int], Read], int]]:
    """A function of slots that a reader of the cluster computes, and how many they are.

    open_images: makes in each of them what reads, from files that all of its machines see.
    Raises UserError where there is no cluster, and what a reader raises.
    """
    with connected(address, "data_service:"), errors_as_they_were():
        count = sum(int(machine.get("CPU", 0)) for machine in machines())
        # They reserve no cores, as other workers of the training have readers there too. One that
        # is lost with its machine begins anew on another, and what it was asked for is asked again.
        anywhere: Any = ray.remote(
            num_cpus=0, scheduling_strategy="SPREAD", max_restarts=-1, max_task_retries=-1
        )(Reader)
        actors = [anywhere.remote(open_images) for _ in range(count)]
        try:
            yield lambda slot: ray.get(actors[slot % count].picture.remote(slot)), count
        finally:
            for actor in actors:
                ray.kill(actor)
