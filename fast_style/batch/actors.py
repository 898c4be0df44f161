"""How many actors fit on the machines of a run. An actor is a process that has the networks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fast_style.errors import UserError

# Two actors of one core stylize photos of 427x320 in 7% less time than one actor of two cores,
# because cores do not wait for each other. But each actor keeps its own networks and features.
FEW = 4  # actors of a machine before an actor has two cores
CORES = 4  # of an actor before there are more than FEW
MEMORY = 4e9  # bytes of an actor: enough for a whole pass of 12 megapixels


@dataclass(frozen=True)
class Actors:
    """The number of actors, and what each reserves."""

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
    """Returns as many actors as fit on the machines.

    nodes: "CPU", "GPU", and "memory" in bytes of each machine. pictures: their number.
    cpus, gpus, count: the flags; None: one GPU for each actor and an equal share of the machine's
    cores, or one to four cores for each actor if no machine has a GPU.
    Raises UserError if no machine has room for an actor.
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
    return max(1, int(node.get("memory", 1e18) // MEMORY))
