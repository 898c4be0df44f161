"""How many actors the machines of a run have room for. An actor is a process with the networks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fast_style.errors import UserError

CORES = 4  # of a CPU actor: a pass gains little by more, and an actor's memory is its networks'


@dataclass(frozen=True)
class Actors:
    """How many actors there are, and what each reserves."""

    count: int
    cpus: int
    gpus: float


def actors_for(
    nodes: Sequence[Mapping[str, float]],
    *,
    cpus: int | None = None,
    gpus: float | None = None,
    count: int | None = None,
) -> Actors:
    """As many actors as have room; GPU actors wherever there are GPUs.

    cpus, gpus, count: as a person wants them; None: an actor for a GPU, which shares the cores of
    its machine with those of the others, or else for four cores or so.
    Raises UserError where no machine has room for one.
    """
    if gpus is None:
        gpus = 1.0 if any(node.get("GPU", 0) for node in nodes) else 0.0
    fit = [node for node in nodes if node.get("CPU", 0) >= 1 and node.get("GPU", 0) >= gpus]
    if not fit:
        raise UserError(f"--gpus-per-actor {gpus:g}: no machine has so many")
    if cpus is None:
        cpus = min(_fair_share(node, gpus) for node in fit)
    room = sum(_room(node, cpus, gpus) for node in fit)
    if not room:
        most = max(int(node["CPU"]) for node in fit)
        raise UserError(f"--cpus-per-actor {cpus}: no machine has so many; at most {most}")
    return Actors(count or room, cpus, gpus)


def _fair_share(node: Mapping[str, float], gpus: float) -> int:
    actors = int(node["GPU"] // gpus) if gpus else max(1, int(node["CPU"]) // CORES)
    return max(1, int(node["CPU"]) // actors)


def _room(node: Mapping[str, float], cpus: int, gpus: float) -> int:
    room = int(node["CPU"] // cpus)
    return min(room, int(node["GPU"] // gpus)) if gpus else room
