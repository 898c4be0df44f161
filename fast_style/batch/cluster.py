"""Ray: a cluster's machines or this one's cores, and how many actors they have room for."""

import contextlib
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Read when Ray is imported. Nothing is sent to anybody unless it is asked for.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
from ray.exceptions import RayError, RayTaskError

import fast_style
from fast_style.errors import UserError

HERE = "local"  # the address of a Ray of one's own
CORES = 4  # of a CPU actor: a pass gains little by more, and an actor's memory is its networks'
OBJECT_STORE_BYTES = 1_000_000_000  # of the encoded pictures of Parquet files; others stay out


@dataclass(frozen=True)
class Actors:
    """How many actors there are, and what each reserves."""

    count: int
    cpus: int
    gpus: float


@contextlib.contextmanager
def connected(address: str) -> Iterator[None]:
    """With Ray: with the one that the program has started already, or else one for the block.

    Raises UserError for an address where there is none.
    """
    if ray.is_initialized():
        yield
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == HERE:
        options |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    else:
        package = str(Path(fast_style.__file__).parent)
        options |= {"runtime_env": {"py_modules": [package]}}
    try:
        with warnings.catch_warnings(action="ignore"):
            ray.init(address, **options)
    except (ConnectionError, RayError, ValueError, RuntimeError) as error:
        raise UserError(f"--address {address}: {' '.join(str(error).split())[:300]}") from error
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def errors_as_they_were() -> Iterator[None]:
    """A UserError that was raised in the cluster, out of what Ray wraps it in.

    One is raised as well where the cluster is lost.
    """
    try:
        yield
    except RayTaskError as error:
        if not isinstance(error.cause, UserError):
            raise
        # Ray Data adds lines of its own.
        raise UserError(str(error.cause).partition("\n")[0]) from None
    except RayError as error:
        said = str(error).partition("\n")[0]
        raise UserError(f"Ray: {said}; the same command goes on with what is left") from error


def machines() -> list[Mapping[str, float]]:
    """What each machine of the cluster has: "CPU", "GPU"."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


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
