"""How many actors the machines of a run have room for. An actor is a process with the networks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fast_style.errors import UserError

# Cores with pictures of their own wait for nobody: two actors of one core pass photos of 427x320 in
# 7% less time than one actor of two. But each has networks and features of its own.
FEW = 4  # actors of a machine, before any of them has two cores
CORES = 4  # of each, before there are more than FEW
MEMORY = 4e9  # bytes for each, in which photos of 12 megapixels pass whole


@dataclass(frozen=True)
class Actors:
    """How many actors there are, and what each reserves."""

    count: int
    cpus: int
    gpus: float


def actors_for(
    nodes: Sequence[Mapping[str, float]],
    pictures: int,
    *,
    cpus: int | None = None,
    gpus: float | None = None,
    count: int | None = None,
) -> Actors:
    """As many actors as have room; GPU actors wherever there are GPUs.

    nodes: what each machine has: "CPU", "GPU", "memory" in bytes. pictures: how many there are.
    cpus, gpus, count: as a person wants them; None: an actor for a GPU, which shares the cores of
    its machine with those of the others, or else for one to four cores.
    Raises UserError where no machine has room for one.
    """
    if gpus is None:
        gpus = 1.0 if any(node.get("GPU", 0) for node in nodes) else 0.0
    fit = [node for node in nodes if node.get("CPU", 0) >= 1 and node.get("GPU", 0) >= gpus]
    if not fit:
        raise UserError(f"--gpus-per-actor {gpus:g}: no machine has so many")
    if cpus is None:
        most = max(1, min(pictures, count or pictures))
        cpus = min(_fair_share(node, gpus, most) for node in fit)
        if not gpus:
            fit = [{"CPU": min(node["CPU"], cpus * _room_in_memory(node))} for node in fit]
    room = sum(_room(node, cpus, gpus) for node in fit)
    if not room:
        most = max(int(node["CPU"]) for node in fit)
        raise UserError(f"--cpus-per-actor {cpus}: no machine has so many; at most {most}")
    return Actors(count or room, cpus, gpus)


def _fair_share(node: Mapping[str, float], gpus: float, most: int) -> int:
    cores = int(node["CPU"])
    if gpus:
        actors = int(node["GPU"] // gpus)
    else:
        actors = min(max(cores // CORES, FEW), cores, _room_in_memory(node), most)
    return max(1, cores // actors)


def _room(node: Mapping[str, float], cpus: int, gpus: float) -> int:
    room = int(node["CPU"] // cpus)
    return min(room, int(node["GPU"] // gpus)) if gpus else room


def _room_in_memory(node: Mapping[str, float]) -> int:
    return max(1, int(min(node.get("memory", math.inf) / MEMORY, 1e9)))
