"""A style's statistics in a file stand for its image."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fast_style.conf.conf_file import config_from_mapping
from fast_style.conf.config import Config
from fast_style.errors import UserError
from fast_style.loss.perceptual_loss import PerceptualLoss
from fast_style.loss.style_statistics import (
    StyleStatistics,
    read_style,
    read_style_statistics,
    write_style_statistics,
)
from fast_style.pictures.style_image import prepare_style_image


@pytest.fixture
def config(conf_values: dict[str, Any]) -> Config:
    return config_from_mapping(
        conf_values
        | {"style_scales": 2, "style_layers": {"conv1_2": 1, "conv3_1": [0, 1]}}
        | {"patch_weight": 1.0, "palette_weight": 1.0, "style_statistics": "mean_covariance"},
        "conf",
    )


@pytest.fixture
def statistics_file(config: Config, tmp_path: Path) -> Path:
    objective = PerceptualLoss(config, [[prepare_style_image(config)]])
    path = tmp_path / "style.npz"
    write_style_statistics(path, objective.statistics(0, style_image_sha256="abc"))
    return path


def test_a_file_of_statistics_gives_the_terms_of_the_image(
    config: Config, statistics_file: Path, photo
) -> None:
    by_file = dataclasses.replace(config, style_image=str(statistics_file))
    style = read_style(by_file)
    assert isinstance(style, StyleStatistics) and style.made_with["style_image_sha256"] == "abc"
    pictures = np.stack([photo(32, 32, seed=n) for n in (1, 2)]).astype(np.float32)

    def terms(config: Config) -> dict[str, float]:
        objective = PerceptualLoss(config, [read_style(config)])
        found = objective(pictures, objective.content_targets(pictures))
        return {name: float(value) for name, value in found.items()}

    assert terms(by_file) == pytest.approx(terms(config), rel=5e-3, abs=1e-6)


def test_symmetric_matrices_come_back_whole(tmp_path: Path) -> None:
    half = np.random.default_rng(0).normal(0, 1e-6, (1, 5, 5)).astype(np.float32)
    matrix = half + half.transpose(0, 2, 1)
    mean = np.full((1, 5), 3e5, np.float32)
    write_style_statistics(
        tmp_path / "style.npz", StyleStatistics({"relu1_2": (mean, matrix)}, {"pooling": "avg"})
    )
    found = read_style_statistics(tmp_path / "style.npz")
    assert found.made_with == {"pooling": "avg"}
    np.testing.assert_allclose(found.arrays["relu1_2"][0], mean, rtol=1e-3)
    np.testing.assert_allclose(found.arrays["relu1_2"][1], matrix, atol=1e-3 * matrix.max())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pooling": "avg"}, "was made with pooling 'max', and 'avg' is needed"),
        ({"style_statistics": "gram"}, "was made with style_statistics 'mean_covariance'"),
        ({"style_layers": {"conv2_1": 1}}, "has no statistics of relu2_1, relu2_1_half"),
        ({"style_scales": 1, "style_layers": ["conv3_1"]}, "has no statistics of relu3_1;"),
    ],
)
def test_statistics_of_another_objective_are_refused(
    config: Config, statistics_file: Path, changes: dict[str, Any], message: str
) -> None:
    config = dataclasses.replace(config, style_image=str(statistics_file), **changes)
    with pytest.raises(UserError) as error:
        PerceptualLoss(config, [read_style(config)])
    assert message in str(error.value) and str(statistics_file) in str(error.value)


def test_statistics_of_other_patches_are_refused(config: Config, statistics_file: Path) -> None:
    style = read_style_statistics(statistics_file)
    del style.made_with["patch_directions"]  # as before they were recorded
    with pytest.raises(UserError, match="patch_directions None, and 'waves' is needed"):
        PerceptualLoss(config, [style])


def test_other_arrays_are_no_statistics(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    np.savez(path, scale=np.ones(3))
    with pytest.raises(UserError, match="does not contain style statistics"):
        read_style(dataclasses.replace(config, style_image=str(path)))


def test_a_training_leaves_the_statistics_that_another_begins_from(
    trained_model: Path, conf_values: dict[str, Any], tmp_path: Path
) -> None:
    from fast_style.training.loop import train

    values = conf_values | {"style_image": str(trained_model / "style.npz"), "steps": 3}
    folder = train(config_from_mapping(values | {"model_path": str(tmp_path)}, "conf"))
    first, second = (read_style_statistics(one / "style.npz") for one in (trained_model, folder))
    assert first.arrays.keys() == second.arrays.keys()
    for name, several in first.arrays.items():
        for one, other in zip(several, second.arrays[name], strict=True):
            np.testing.assert_allclose(one, other, atol=1e-3 * np.abs(one).max())
    assert first.made_with["style_image_sha256"] == second.made_with["style_image_sha256"]


def test_the_statistics_of_several_paintings_are_averaged(config: Config, photo) -> None:
    first, second = (photo(32, 32, seed=seed) for seed in (7, 8))
    one, other, both = (
        PerceptualLoss(config, [list(images)]).statistics(0)
        for images in ((first,), (second,), (first, second))
    )
    for name, several in both.arrays.items():
        for found, a, b in zip(several, one.arrays[name], other.arrays[name], strict=True):
            np.testing.assert_allclose(found, (a + b) / 2, rtol=1e-4, atol=1e-4 * np.abs(a).max())
