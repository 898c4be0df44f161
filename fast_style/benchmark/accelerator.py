"""Measure a pass of the network on one GPU or TPU with JAX, next to PyTorch's example.

    python -m fast_style.benchmark.accelerator --sizes 256 1024 4096

It needs JAX for your accelerator; with PyTorch for it, the example is measured too.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from fast_style.command_line import OneLineParser, at_least_1, exit_on_user_error
from fast_style.errors import check_installed
from fast_style.files import write_atomically

SIZES = (1024, 256, 4096)
# Keras's policy, and the precision in which JAX and the GPU multiply float32.
PRECISIONS = {
    "bfloat16": ("mixed_bfloat16", "highest"),
    "float16": ("mixed_float16", "highest"),
    "tensorfloat32": ("float32", "tensorfloat32"),
    "float32": ("float32", "highest"),
}
PEAK_SIDE, PEAK_SIDE_ON_CPU = 8192, 1024  # of the matrices whose product is the peak
SECONDS = 0.5  # that a task is repeated


def median_seconds(task: Callable[[], object], wait: Callable[[object], object]) -> float:
    """Returns the median time of a task, after a first call. wait: waits for its result."""
    wait(task())
    seconds: list[float] = []
    while sum(seconds) < SECONDS or len(seconds) < 5:
        started = time.perf_counter()
        wait(task())
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))


def ours(sizes: list[int], eager: bool) -> Iterator[dict[str, Any]]:
    """Yields a record for each size and precision."""
    import jax
    import jax.numpy as jnp

    from fast_style.benchmark.arithmetic import convolution_operations
    from fast_style.network.architecture import SMOOTH
    from fast_style.network.layers import default_dtype
    from fast_style.network.transformer_network import build_transformer_network

    side = PEAK_SIDE_ON_CPU if jax.default_backend() == "cpu" else PEAK_SIDE
    networks, peaks = {}, {}
    for precision, (policy, multiplied) in PRECISIONS.items():
        with default_dtype(policy):
            networks[precision] = build_transformer_network(SMOOTH)
        dtype = policy.removeprefix("mixed_")
        with jax.default_matmul_precision(multiplied):
            factor = jnp.asarray(np.random.default_rng(0).standard_normal((side, side)), dtype)
            seconds = median_seconds(partial(jnp.matmul, factor, factor), jax.block_until_ready)
        peaks[precision] = 2 * side**3 / seconds
    for size in sizes:
        picture = jnp.asarray(
            np.random.default_rng(0).uniform(0, 255, (1, size, size, 3)), "float32"
        )
        operations = convolution_operations(networks["float32"], size, size)
        for precision, network in networks.items():
            for compiled in (True, False) if eager else (True,):
                task = jax.jit(network) if compiled else network
                with jax.default_matmul_precision(PRECISIONS[precision][1]):
                    seconds = median_seconds(partial(task, picture), jax.block_until_ready)
                yield {
                    "program": "fast-style, JAX",
                    "size": size,
                    "precision": precision,
                    "compiled": compiled,
                    "seconds": seconds,
                    "peak_fraction": operations / seconds / peaks[precision],
                }


def example(sizes: list[int], batch_size: int, compiles: bool) -> Iterator[dict[str, Any]]:
    """Yields the same records of PyTorch's example, and one of its training step."""
    import torch

    from fast_style.benchmark import pytorch_example

    def wait(_: object) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    types = {"bfloat16": torch.bfloat16, "float16": torch.float16}
    for precision, (_, multiplied) in PRECISIONS.items():
        allowed = multiplied == "tensorfloat32"
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
        network = pytorch_example.transformer_net().to(types.get(precision, torch.float32))
        for compiled in (False, True) if compiles else (False,):
            task = torch.compile(network) if compiled else network
            for size in sizes:
                picture = pytorch_example.as_tensor(np.zeros((1, size, size, 3)))
                picture = picture.to(types.get(precision, torch.float32))
                with torch.no_grad():
                    seconds = median_seconds(partial(task, picture), wait)
                yield {
                    "program": "PyTorch's example",
                    "size": size,
                    "precision": precision,
                    "compiled": compiled,
                    "seconds": seconds,
                }
    for allowed in (True, False):
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
        step = pytorch_example.Training(np.zeros((batch_size, 256, 256, 3)))
        seconds = median_seconds(step, wait)
        yield {
            "program": "PyTorch's example, a training step",
            "size": 256,
            "precision": "tensorfloat32" if allowed else "float32",
            "compiled": False,
            "seconds": seconds,
            "images_per_second": batch_size / seconds,
        }


def main() -> None:
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=at_least_1, nargs="+", default=list(SIZES))
    parser.add_argument("--batch-size", type=at_least_1, default=4, help="of a training step")
    parser.add_argument("--eager", action="store_true", help="ours without compilation too")
    parser.add_argument("--compile", action="store_true", help="torch.compile for the example too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    args = parser.parse_args()
    check_installed("measuring an accelerator needs", "jax", "jax")
    import jax

    records = []
    print(jax.devices()[0].device_kind)
    found = [ours(args.sizes, args.eager)]
    if find_spec("torch"):
        found.insert(0, example(args.sizes, args.batch_size, args.compile))
    for of_program in found:
        for record in of_program:
            print(
                " ".join(
                    f"{value:.4g}" if isinstance(value, float) else str(value)
                    for value in record.values()
                ),
                flush=True,
            )
            records.append(record)
            if args.json is not None:
                report = {"machine": jax.devices()[0].device_kind, "records": records}
                write_atomically(args.json, json.dumps(report, indent=2).encode())


if __name__ == "__main__":
    exit_on_user_error(main)
