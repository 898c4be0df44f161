"""Pictures, loss network weights and one small trained model that the tests share."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from fast_style.conf.conf_file import config_from_mapping
from fast_style.conf.vgg_layers import convolutions
from fast_style.loss.vgg_weights import save_weights
from fast_style.pictures.images import Picture, write_picture

Photo = Callable[..., np.ndarray]
NAMES = ["candy", "wave", "scream"]  # of the model of several styles


def _photo(height: int = 40, width: int = 56, seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8: two colour waves and some grain, so neither flat nor noise alone."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[0:height, 0:width] / 8.0
    angle, colours = rng.uniform(0, np.pi), rng.uniform(-60, 60, (2, 3))
    waves = np.stack(
        [np.sin(across * np.cos(angle) + down * np.sin(angle)), np.cos(down - across)], axis=-1
    )
    grain = rng.normal(0, 8, (height, width, 3))
    return np.clip(128 + waves @ colours + grain, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def photo() -> Photo:
    """photo(height, width, seed): a picture, the same for the same arguments."""
    return _photo


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six pictures, of which broken.png is cut short."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(5):
        write_picture(folder / f"{number}.png", Picture(_photo(40 + number, 50, seed=number)))
    (folder / "broken.png").write_bytes((folder / "0.png").read_bytes()[:60])
    return folder


@pytest.fixture(scope="session")
def conf_values(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> dict[str, Any]:
    """A conf for a training of seconds, against a loss network of random weights."""
    folder = tmp_path_factory.mktemp("training")
    rng = np.random.default_rng(0)
    # Small, because ReLU networks of random weights let features grow from layer to layer.
    weights = {
        name: (rng.normal(0, (9 * inputs) ** -0.5, (3, 3, inputs, width)), np.zeros(width))
        for name, (inputs, width) in convolutions("vgg_16_half").items()
    }
    save_weights(folder / "vgg_16_half.npz", weights)
    write_picture(folder / "style.png", Picture(_photo(48, 40, seed=100)))
    write_picture(folder / "preview.png", Picture(_photo(16, 600, seed=101)))
    write_picture(folder / "held_out.png", Picture(_photo(seed=102)))
    return {
        "style_image": str(folder / "style.png"),
        "naming": "tiny",
        "model_path": str(folder / "models"),
        "style_weight": 50.0,
        "tv_weight": 0.01,
        "image_size": 32,
        "batch_size": 2,
        "optimizer": "adam",
        "loss_model": "vgg_16_half",
        "loss_model_file": str(folder / "vgg_16_half.npz"),
        "content_layers": ["conv2_2"],
        "style_layers": ["conv1_2", "conv3_1"],
        "dataset": str(photos),
        "crop": "random",
        "flip": True,
        "steps": 6,
        "schedule": "cosine",
        "warmup_steps": 2,
        "style_ramp": 0.5,
        "precision": "float32",
        "preview_images": [str(folder / "preview.png")],
        "validation_images": str(folder / "held_out.png"),
        "log_every": 1,
        "preview_every": 6,
        "checkpoint_every": 2,
        "keep_checkpoints": 2,
    }


@contextlib.contextmanager
def without_graphs() -> Iterator[None]:
    """TensorFlow runs functions as they are, for trainings so short that compiling takes longer."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


@pytest.fixture
def eagerly() -> Iterator[None]:
    """A test without_graphs()."""
    with without_graphs():
        yield


@pytest.fixture(scope="session")
def trained_model(conf_values: dict[str, Any]) -> Path:
    """The model folder of that training, finished; tests leave it as it is."""
    from fast_style.training.loop import train

    return train(config_from_mapping(conf_values, "conf"))


@pytest.fixture(scope="session")
def medium_model(conf_values: dict[str, Any]) -> Path:
    """A model folder of the medium network, trained for two steps; tests leave it as it is."""
    from fast_style.training.loop import train

    values = conf_values | {"network": "medium", "naming": "medium", "steps": 2, "warmup_steps": 0}
    with without_graphs():
        return train(config_from_mapping(values | {"grid_weight": 1.0}, "conf"))


@pytest.fixture(scope="session")
def small_model(conf_values: dict[str, Any], medium_model: Path) -> Path:
    """A model folder of the small network, which medium_model taught for two steps."""
    from fast_style.training.loop import train

    values = conf_values | {"network": "small", "naming": "small", "steps": 2, "warmup_steps": 0}
    values |= {"teacher": str(medium_model), "teacher_weight": 1e-3}
    with without_graphs():
        return train(config_from_mapping(values, "conf"))


@pytest.fixture(scope="session")
def paintings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four pictures to learn styles from."""
    folder = tmp_path_factory.mktemp("paintings")
    for number in range(4):
        write_picture(folder / f"{number}.png", Picture(_photo(50, 60, seed=300 + number)))
    return folder


@pytest.fixture(scope="session")
def any_values(
    conf_values: dict[str, Any], paintings: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """A conf for a network that takes any style, with two named ones."""
    values = {key: value for key, value in conf_values.items() if key != "style_image"}
    return values | {
        "naming": "any",
        "model_path": str(tmp_path_factory.mktemp("any")),
        "style_images": {name: str(paintings / f"{name}.png") for name in ("0", "1")},
        "style_dataset": str(paintings),
        "style_image_size": 48,
        "style_scales": 2,
        "style_statistics": "mean_covariance",
        "style_normalization": "balanced",
        "content_normalization": "relative",
        "style_weight": 2.0,
        "learning_rate": 1e-2,
        "steps": 4,
        "warmup_steps": 0,
    }


@pytest.fixture(scope="session")
def any_model(any_values: dict[str, Any]) -> Path:
    """The model folder of that training, finished; tests leave it as it is."""
    from fast_style.training.loop import train

    with without_graphs():
        return train(config_from_mapping(any_values, "conf"))


@pytest.fixture(scope="session", params=["trained_model", "medium_model", "small_model"])
def model_of_each_network(request: pytest.FixtureRequest) -> Path:
    """Model folders of three networks, one after the other."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def several(conf_values: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, photo) -> Path:
    """A model folder trained for six steps on three styles; tests leave it as it is."""
    from fast_style.training.loop import train

    folder = tmp_path_factory.mktemp("several")
    for seed, name in enumerate(NAMES):
        write_picture(folder / f"{name}.png", Picture(photo(48, 40, seed=200 + seed)))
    values = {key: value for key, value in conf_values.items() if key != "style_image"}
    images = [str(folder / f"{name}.png") for name in NAMES]
    values |= {"style_images": images, "naming": "several", "model_path": str(folder)}
    return train(config_from_mapping(values, "conf"))


@pytest.fixture(scope="session")
def any_style_model(
    conf_values: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, photo: Photo
) -> Path:
    """A model folder that takes any style, trained for two steps; tests leave it as it is."""
    from fast_style.training.loop import train

    folder = tmp_path_factory.mktemp("any_style")
    (folder / "paintings").mkdir()
    for seed in range(4):
        write_picture(folder / "paintings" / f"{seed}.png", Picture(photo(48, 40, seed=300 + seed)))
    values = {key: value for key, value in conf_values.items() if key != "style_image"}
    values |= {
        "style_dataset": str(folder / "paintings"),
        "style_statistics": "mean_covariance",
        "style_normalization": "balanced",
        "style_weight": 1.0,
        "style_image_size": 32,
        "style_ramp": 0.0,
        "validation_images": None,
        "preview_images": [],
        "naming": "any",
        "model_path": str(folder),
        "steps": 2,
        "warmup_steps": 0,
    }
    with without_graphs():
        return train(config_from_mapping(values, "conf"))


@pytest.fixture(scope="session")
def learning_conf(any_style_model: Path) -> Path:
    """A conf for trainings of seconds that begin from any_style_model."""
    conf = yaml.safe_load((any_style_model / "conf.yml").read_text())
    kept = {key: value for key, value in conf.items() if key not in ("style_dataset", "naming")}
    path = any_style_model.parent / "learning.yml"
    path.write_text(yaml.safe_dump(kept | {"style_normalization": "relative", "log_every": 1}))
    return path
