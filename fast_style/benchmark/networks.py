"""Figures of this process: a pass of the network and a training step."""

import itertools
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fast_style import hardware
from fast_style.benchmark.arithmetic import MatmulPeak, convolution_operations, step_operations
from fast_style.benchmark.in_turns import SAMPLE, in_turns, runtimes, sample_picture
from fast_style.conf.conf_file import config_from_mapping
from fast_style.conf.vgg_layers import convolutions
from fast_style.loss.style_statistics import read_style
from fast_style.loss.vgg_weights import save_weights
from fast_style.model_folder.model import read_model
from fast_style.network.transformer_network import build_transformer_network
from fast_style.pictures.training_pictures.content_images import ContentImages
from fast_style.stylize.stylizer import Stylizer
from fast_style.training.step import Batch, Trainer

LOSS_MODELS = ("vgg_16", "vgg_16_half")


def precisions() -> list[str]:
    """Returns float32, and bfloat16 if this machine is faster with it."""
    return list(dict.fromkeys(["float32", hardware.fastest_precision()]))


def stylize(
    folder: Path, style: str, sizes: list[int], rounds: int, precision: str = "auto"
) -> list[dict[str, Any]]:
    """Measures a pass over square pictures; a record for each size, runtime and precision.

    precision: as in Stylizer, to measure only that one; 'auto' measures all.
    """
    network = build_transformer_network(read_model(folder).architecture)
    chosen = [*precisions(), "int8"] if precision == "auto" else [precision]
    kinds = [
        (runtime, each)
        for runtime, each in itertools.product(runtimes(), chosen)
        if each != "int8" or runtime == "openvino"
    ]
    stylizers = [Stylizer(folder, *kind, style) for kind in kinds]
    peaks = {each: MatmulPeak(each) for each in chosen if each != "int8"}
    records = []
    for size in sizes:
        picture = sample_picture(size)
        passes = [partial(stylizer, picture) for stylizer in stylizers]
        found = in_turns([*passes, *(peak.measure for peak in peaks.values())], rounds)
        operations = convolution_operations(network, size, size)
        records += [
            {
                "size": size,
                "runtime": runtime,
                "precision": precision,
                "seconds": seconds,
                "peak_fraction": (
                    operations / seconds / peaks[precision].best if precision in peaks else None
                ),
            }
            for (runtime, precision), seconds in zip(kinds, found, strict=False)
        ]
    return records


def train(network: str, image_size: int, batch_size: int, rounds: int) -> list[dict[str, Any]]:
    """Measures a step by loss network and precision, with and without reading pictures.

    network: a key of ARCHITECTURES.
    """
    kinds = list(itertools.product(LOSS_MODELS, precisions()))
    peaks = {precision: MatmulPeak(precision) for precision in precisions()}
    with tempfile.TemporaryDirectory() as scratch:
        trainers: list[Trainer] = []
        tasks: list[Callable[[], object]] = []
        for loss_model, precision in kinds:
            trainer, batches = trainer_of(
                network, loss_model, precision, image_size, batch_size, rounds, Path(scratch)
            )
            at_hand = Batch(next(batches), style=0)
            trainers.append(trainer)
            tasks.append(partial(trainer.train_step, at_hand))
            tasks.append(partial(_read_and_train, trainer, batches))
        found = in_turns([*tasks, *(peak.measure for peak in peaks.values())], rounds)
    records = []
    for number, (loss_model, precision) in enumerate(kinds):
        trainer, (ready, reading) = trainers[number], found[2 * number : 2 * number + 2]
        operations = batch_size * step_operations(
            trainer.network.network,
            trainer.objective.networks[0],
            trainer.objective.content_network,
            image_size,
        )
        records.append(
            {
                "loss_model": loss_model,
                "precision": precision,
                "seconds_per_step": ready,
                "seconds_per_step_with_reading": reading,
                "images_per_second": batch_size / reading,
                "peak_fraction": operations / ready / peaks[precision].best,
            }
        )
    return records


def trainer_of(
    network: str,
    loss_model: str,
    precision: str,
    image_size: int,
    batch_size: int,
    steps: int,
    scratch: Path,
    **objective: Any,
) -> tuple[Trainer, Iterator[np.ndarray]]:
    """Returns a trainer whose loss network has random weights, and batches of pictures for it.

    scratch: a folder for the weights. objective: keys of the conf.
    """
    config = config_from_mapping(
        {
            "style_image": str(SAMPLE),
            "naming": "benchmark",
            "network": network,
            "loss_model": loss_model,
            "loss_model_file": _random_weights(loss_model, scratch),
            "dataset": str(SAMPLE),
            "image_size": image_size,
            "batch_size": batch_size,
            "crop": "random",
            **objective,
        },
        "benchmark",
    )
    trainer = Trainer(config, [read_style(config)], steps, precision)
    return trainer, ContentImages(config).batches(0)


def _read_and_train(trainer: Trainer, batches: Iterator[np.ndarray]) -> None:
    trainer.train_step(Batch(next(batches), style=0))


def _random_weights(loss_model: str, folder: Path) -> str:
    # ImageNet's weights would be a download. Without biases, TensorFlow would leave out the
    # addition, and then not fuse a convolution with its ReLU.
    rng = np.random.default_rng(0)
    path = folder / f"{loss_model}.npz"
    weights = {
        name: (rng.normal(0, (4.5 * c) ** -0.5, (3, 3, c, filters)), rng.normal(0, 0.1, filters))
        for name, (c, filters) in convolutions(loss_model).items()
    }
    save_weights(path, weights)
    return str(path)
