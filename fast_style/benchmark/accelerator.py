"""Measure a pass of the network on one GPU or TPU with JAX, next to PyTorch's example.

    python -m fast_style.benchmark.accelerator --sizes 256 1024 4096

It needs JAX for your accelerator; with PyTorch for it, the example is measured too.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"

import copy
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from fast_style.benchmark.in_turns import in_turns
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


def ours(sizes: Sequence[int], rounds: int, both: bool) -> Iterator[dict[str, Any]]:
    """Yields a record for each size and precision. The precisions take turns.

    both: also without compilation, operation by operation.
    """
    import jax
    import jax.numpy as jnp

    from fast_style.benchmark.arithmetic import convolution_operations
    from fast_style.network.architecture import SMOOTH
    from fast_style.network.layers import default_dtype
    from fast_style.network.transformer_network import build_transformer_network

    random = np.random.default_rng(0)

    def run(function: Callable, precision: str, *arrays: object) -> None:
        with jax.default_matmul_precision(PRECISIONS[precision][1]):
            jax.block_until_ready(function(*arrays))

    side = PEAK_SIDE_ON_CPU if jax.default_backend() == "cpu" else PEAK_SIDE
    networks, products = {}, []
    for precision, (policy, _) in PRECISIONS.items():
        with default_dtype(policy):
            networks[precision] = build_transformer_network(SMOOTH)
        dtype = policy.removeprefix("mixed_")
        factor = jnp.asarray(random.standard_normal((side, side)), dtype)
        products.append(partial(run, jnp.matmul, precision, factor, factor))
    peaks = [2 * side**3 / seconds for seconds in in_turns(products, rounds)]
    ways = {"fast-style, JAX": {name: jax.jit(network) for name, network in networks.items()}}
    if both:
        ways["fast-style, JAX, not compiled"] = networks
    for size, (program, of_way) in itertools.product(sizes, ways.items()):
        picture = jnp.asarray(random.uniform(0, 255, (1, size, size, 3)), "float32")
        operations = convolution_operations(networks["float32"], size, size)
        passes = [partial(run, network, name, picture) for name, network in of_way.items()]
        found = in_turns(passes, rounds)
        for precision, seconds, peak in zip(PRECISIONS, found, peaks, strict=True):
            fraction = operations / seconds / peak
            yield _record(program, size, precision, seconds) | {"peak_fraction": fraction}


def example(
    sizes: Sequence[int], batch_size: int, rounds: int, both: bool
) -> Iterator[dict[str, Any]]:
    """Yields the same records of PyTorch's example, and those of its training step.

    both: also passes with torch.compile.
    """
    import torch

    from fast_style.benchmark import pytorch_example

    networks = {
        "bfloat16": pytorch_example.transformer_net().to(torch.bfloat16),
        "float16": pytorch_example.transformer_net().to(torch.float16),
        "tensorfloat32": (plain := pytorch_example.transformer_net()),
        "float32": plain,
    }

    def run(function: Callable, precision: str, *arrays: object) -> None:
        allowed = precision == "tensorfloat32"
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
        function(*arrays)
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    ways: dict[str, Callable] = {"PyTorch's example": lambda network: network}
    if both:  # a program for each size and precision: one for all sizes would be slower
        ways["PyTorch's example, torch.compile"] = lambda network: torch.compile(
            copy.deepcopy(network), dynamic=False
        )
    with torch.no_grad():
        for size, (program, way) in itertools.product(sizes, ways.items()):
            picture = pytorch_example.as_tensor(np.zeros((1, size, size, 3)))
            passes = [
                partial(
                    run,
                    way(network),
                    precision,
                    picture.to(next(network.parameters()).dtype),
                )
                for precision, network in networks.items()
            ]
            for precision, seconds in zip(networks, in_turns(passes, rounds), strict=True):
                yield _record(program, size, precision, seconds)
    step = pytorch_example.Training(np.zeros((batch_size, 256, 256, 3)))
    kinds = ("tensorfloat32", "float32")
    found = in_turns([partial(run, step, precision) for precision in kinds], rounds)
    for precision, seconds in zip(kinds, found, strict=True):
        rate = {"images_per_second": batch_size / seconds}
        yield _record("PyTorch's example, a training step", 256, precision, seconds) | rate


def _record(program: str, size: int, precision: str, seconds: float) -> dict[str, Any]:
    return {"program": program, "size": size, "precision": precision, "seconds": seconds}


def main() -> None:
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=at_least_1, nargs="+", default=list(SIZES))
    parser.add_argument("--batch-size", type=at_least_1, default=4, help="of a training step")
    parser.add_argument("--rounds", type=at_least_1, default=10, help="of which the medians count")
    parser.add_argument(
        "--compare-compilation",
        action="store_true",
        help="measure JAX also without compilation, and the example also with torch.compile",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    args = parser.parse_args()
    check_installed("measuring an accelerator needs", "jax", "jax")
    import jax

    records = []
    print(jax.devices()[0].device_kind)
    found = [ours(args.sizes, args.rounds, args.compare_compilation)]
    if find_spec("torch"):
        found.insert(0, example(args.sizes, args.batch_size, args.rounds, args.compare_compilation))
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
