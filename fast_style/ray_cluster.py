"""Connects to Ray, on a cluster or on this machine alone."""

import contextlib
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

# Ray reads it when it is imported. Usage statistics are sent only if you ask for it.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
from ray.exceptions import RayError, RayTaskError

import fast_style
from fast_style.errors import UserError

HERE = "local"  # the address that starts Ray on this machine
OBJECT_STORE_BYTES = 1_000_000_000  # for pictures from tables; those from files are not stored


@contextlib.contextmanager
def connected(address: str, asked_by: str = "--address") -> Iterator[None]:
    """Connects to Ray for the block, unless the program is connected already.

    asked_by: the flag or key that gave the address, for the message. Raises UserError if there is
    no Ray at the address.
    """
    if ray.is_initialized():
        yield
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == HERE:
        options |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
        options |= {"_node_ip_address": "127.0.0.1"}  # not reachable from outside
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
    """Raises a UserError of the cluster as it was, without Ray's wrapper.

    Also raises UserError if the connection to the cluster is lost.
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
        raise UserError(f"Ray: {said}; the same command continues with the rest") from error


def machines() -> list[Mapping[str, float]]:
    """Returns the resources of each machine of the cluster, by names such as "CPU" and "GPU"."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
