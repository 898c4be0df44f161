"""Ray: a cluster's machines, or this one's cores."""

import contextlib
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

# Read when Ray is imported. Nothing is sent to anybody unless it is asked for.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
from ray.exceptions import RayError, RayTaskError

import fast_style
from fast_style.errors import UserError

HERE = "local"  # the address of a Ray of one's own
OBJECT_STORE_BYTES = 1_000_000_000  # of pictures on their way; those of files stay out of it


@contextlib.contextmanager
def connected(address: str, asked_by: str = "--address") -> Iterator[None]:
    """With Ray: with the one that the program has started already, or else one for the block.

    asked_by: the flag or key that says the address. Raises UserError where there is none.
    """
    if ray.is_initialized():
        yield
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == HERE:
        options |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
        options |= {"_node_ip_address": "127.0.0.1"}  # nobody else's business
    else:
        package = str(Path(fast_style.__file__).parent)
        options |= {"runtime_env": {"py_modules": [package]}}
    try:
        with warnings.catch_warnings(action="ignore"):
            ray.init(address, **options)
    except (ConnectionError, RayError, ValueError, RuntimeError) as error:
        raise UserError(f"{asked_by} {address}: {' '.join(str(error).split())[:300]}") from error
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
