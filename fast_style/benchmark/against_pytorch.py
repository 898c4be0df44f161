"""PyTorch's example in turns with ours: whole programs, passes and training steps."""

import shlex
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from fast_style import hardware
from fast_style.benchmark import networks, programs, pytorch_example
from fast_style.benchmark.in_turns import in_turns, sample_picture
from fast_style.stylize.stylizer import Stylizer
from fast_style.training.step import Batch

PROGRAM = f"{shlex.quote(sys.executable)} -m {pytorch_example.__name__} {{input}} {{output}}"


def stylize(
    folder: Path, style: str, sizes: list[int], rounds: int, precision: str = "auto"
) -> list[dict[str, Any]]:
    """Measures eval.py and a pass of a Stylizer next to those of the example."""
    records = programs.against(PROGRAM, folder, style, sizes, rounds, precision)
    stylizer = Stylizer(folder, precision=precision, style=style)
    example = pytorch_example.transformer_net()
    for record in records:
        picture = sample_picture(record["size"])
        theirs = partial(pytorch_example.stylize, example, pytorch_example.as_tensor(picture[None]))
        seconds, other = in_turns([partial(stylizer, picture), theirs], rounds)
        record |= _compared(seconds, other, "pass_")
    return records


def train(network: str, image_size: int, batch_size: int, rounds: int) -> list[dict[str, Any]]:
    """Measures a step by loss network next to one of the example, which has VGG16.

    Both compare the same layers of the loss network. network: a key of ARCHITECTURES.
    """
    precision = hardware.fastest_precision()
    with tempfile.TemporaryDirectory() as scratch:
        steps = []
        for loss_model in networks.LOSS_MODELS:
            trainer, batches = networks.trainer_of(
                *(network, loss_model, precision, image_size, batch_size, rounds, Path(scratch)),
                content_layers=["relu2_2"],
                style_layers=["relu1_2", "relu2_2", "relu3_3", "relu4_3"],
            )
            pictures = next(batches)
            steps.append(partial(trainer.train_step, Batch(pictures, style=0)))
        *ours, theirs = in_turns([*steps, pytorch_example.Training(pictures)], rounds)
    return [
        {"loss_model": loss_model, "precision": precision, **_compared(seconds, theirs)}
        for loss_model, seconds in zip(networks.LOSS_MODELS, ours, strict=True)
    ]


def _compared(ours: float, theirs: float, prefix: str = "") -> dict[str, float]:
    found = {"seconds": ours, "other_seconds": theirs, "times_faster": theirs / ours}
    return {f"{prefix}{key}": value for key, value in found.items()}
