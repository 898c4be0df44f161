"""ONNX, run in ONNX Runtime."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from fast_style.any_style.chosen_style import statistics_config
from fast_style.export.formats import ExportOptions, Run
from fast_style.model_folder.model import Model, build_network


def write(model: Model, network, path: Path, options: ExportOptions) -> None:
    from fast_style.export.onnx_network import onnx_network

    made = onnx_network(model.arrays, model.architecture, options.pixels, options.half)
    _save(made, path, options)


def write_for_any_style(model: Model, path: Path, options: ExportOptions) -> list[tuple[Run, Any]]:
    """Writes a model that takes the style image as an input.

    Returns pairs to compare: the file with a style image, and the Keras network of that style.
    Raises UserError as read_weights does.
    """
    from fast_style.export.onnx_network import onnx_network_for_any_style
    from fast_style.loss.perceptual_loss import PerceptualLoss

    config = statistics_config(model)
    _save(
        onnx_network_for_any_style(
            model.arrays, model.architecture, config, options.pixels, options.half
        ),
        path,
        options,
    )
    pairs = []
    for style_image in _style_images(config.style_image_size or config.image_size):
        statistics = PerceptualLoss(config, [[style_image]]).statistics(0).arrays
        arrays = model.arrays_of_style([(statistics, 1.0)])
        network = build_network(dataclasses.replace(model, arrays=arrays))
        pairs.append((_load_with(path, style_image), network))
    return pairs


def _style_images(side: int) -> list[np.ndarray]:
    """Returns (S, S, 3) uint8 images: noise, and large spots of few colours."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (side, side, 3), np.uint8)
    places = np.arange(side) // max(side // 5, 1)
    spots = random.integers(0, 256, (8, 8, 3), np.uint8)[places][:, places]
    return [noise, spots]


def _save(made: Any, path: Path, options: ExportOptions) -> None:
    import onnx

    onnx.helper.set_model_props(made, options.metadata)
    onnx.save(made, path)


def load(path: Path, pixels: str) -> Run:
    return _load_with(path)


def _load_with(path: Path, style_image: np.ndarray | None = None) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    style = {} if style_image is None else {"style_image": style_image[None]}
    return lambda pictures: session.run(["stylized"], {"pictures": pictures} | style)[0]
