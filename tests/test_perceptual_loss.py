"""The objective as a conf weighs it, against NumPy on the loss network's features."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fast_style.conf.conf_file import config_from_mapping
from fast_style.conf.config import Config
from fast_style.errors import UserError
from fast_style.loss.losses import (
    QUANTILES,
    TERMS,
    Term,
    detail,
    grid_loss,
    halved,
    patch_directions,
    pyramid,
    quantiles,
)
from fast_style.loss.named_terms import in_one_line, named_terms
from fast_style.loss.perceptual_loss import PerceptualLoss
from fast_style.pictures.style_image import prepare_style_image

Photo = Callable[..., np.ndarray]

Terms = dict[str, float]


@pytest.fixture
def config(conf_values: dict[str, Any]) -> Config:
    return config_from_mapping(conf_values, "conf")


@pytest.fixture(scope="module")
def stylized(photo: Photo) -> np.ndarray:
    return np.stack([photo(32, 32, seed=n) for n in (1, 2)]).astype(np.float32)


@pytest.fixture(scope="module")
def content(photo: Photo) -> np.ndarray:
    return np.stack([photo(32, 32, seed=n) for n in (3, 4)]).astype(np.float32)


def terms_of(
    objective: PerceptualLoss, stylized: np.ndarray, content: np.ndarray, style_ramp: float = 1.0
) -> Terms:
    terms = objective(stylized, objective.content_targets(content), style_ramp=style_ramp)
    return {name: float(value) for name, value in terms.items()}


def mirrored(images: np.ndarray, border: int) -> np.ndarray:
    return np.pad(images, ((0, 0), (border, border), (border, border), (0, 0)), "reflect")


def test_the_border_is_mirrored_and_left_out(config: Config, stylized: np.ndarray) -> None:
    config = dataclasses.replace(
        config, style_border=4, style_layers={"conv1_2": 1.0, "conv3_1": 1.0}
    )
    style_image = prepare_style_image(config)
    objective = PerceptualLoss(config, [[style_image]])
    found = terms_of(objective, stylized, stylized)
    ours = objective.networks[0](mirrored(stylized, 4))
    theirs = objective.networks[0](style_image[None].astype(np.float32))
    for layer, border in (("relu1_2", 4), ("relu3_1", 1)):

        def inside(features: object, border: int = border) -> np.ndarray:
            return np.asarray(features, np.float64)[:, border:-border, border:-border]

        def gram(features: np.ndarray) -> np.ndarray:
            return np.einsum("nhwi,nhwj->nij", features, features) / np.prod(features.shape[1:])

        one, other = inside(ours[layer]), inside(theirs[layer])
        expected = np.sum((gram(one) - gram(other)) ** 2) / one.size
        assert found[f"style/{layer}"] == pytest.approx(expected, rel=1e-3)


def test_a_picture_that_is_all_border_has_its_middle_left(config: Config) -> None:
    config = dataclasses.replace(config, style_border=1000)
    objective = PerceptualLoss(config, [[prepare_style_image(config)]])
    grey = np.full((1, 33, 40, 3), 128, np.float32)
    assert np.isfinite(terms_of(objective, grey, grey)["style"])


def test_every_term_is_numpys_on_the_features(
    config: Config, stylized: np.ndarray, content: np.ndarray
) -> None:
    config = dataclasses.replace(
        config,
        content_weight=3.0,
        content_layers={"conv2_2": 0.5, "conv1_1": 2.0},
        style_layers={"conv1_2": 0.25, "conv3_1": 4.0},
        range_weight=0.125,
        grid_weight=0.5,
    )
    style_image = prepare_style_image(config)
    objective = PerceptualLoss(config, [[style_image]])
    found = terms_of(objective, stylized * 1.5 - 60, content)

    def features(pictures: np.ndarray) -> dict[str, np.ndarray]:
        return {k: np.asarray(v, np.float64) for k, v in objective.networks[0](pictures).items()}

    ours, wanted = features(stylized * 1.5 - 60), features(content)
    style = features(style_image[None].astype(np.float32))

    def gram(f: np.ndarray) -> np.ndarray:
        return np.einsum("nhwi,nhwj->nij", f, f) / np.prod(f.shape[1:])

    expected = {
        "content": 0.5 * np.mean((ours["relu2_2"] - wanted["relu2_2"]) ** 2)
        + 2.0 * np.mean((ours["relu1_1"] - wanted["relu1_1"]) ** 2)
    }
    for layer in ("relu1_2", "relu3_1"):
        distance = np.sum((gram(ours[layer]) - gram(style[layer])) ** 2)
        expected[f"style/{layer}"] = distance / ours[layer].size
    expected["style"] = 0.25 * expected["style/relu1_2"] + 4.0 * expected["style/relu3_1"]
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-3), name
    weights = {"content": 3.0, "style": 50.0, "tv": 0.01, "range": 0.125, "grid": 0.5}
    for name, weight in weights.items():
        assert found[name] > 0
        assert found[f"weighted/{name}"] == pytest.approx(weight * found[name], rel=1e-5)
    assert found["total"] == pytest.approx(
        sum(weight * found[name] for name, weight in weights.items()), rel=1e-5
    )
    images = stylized * 1.5 - 60
    assert found["grid"] == pytest.approx(float(grid_loss(images, 4)))
    medium = PerceptualLoss(dataclasses.replace(config, network="medium"), [[style_image]])
    assert terms_of(medium, images, content)["grid"] == pytest.approx(float(grid_loss(images, 8)))
    assert set(found) == {
        *("content", "style", "tv", "range", "grid", "total", "style/relu1_2", "style/relu3_1"),
        *(f"weighted/{name}" for name in weights),
    }


def test_the_style_is_compared_at_every_scale_with_its_own_weight(
    config: Config, stylized: np.ndarray, content: np.ndarray
) -> None:
    config = dataclasses.replace(
        config,
        style_scales=3,
        style_layers={"conv1_2": [1.0, 0.5, 0.25], "conv3_1": [0.0, 2.0, 0.0]},
        style_border=4,
    )
    style_image = prepare_style_image(config)
    objective = PerceptualLoss(config, [[style_image]])
    found = terms_of(objective, stylized, content)

    def smaller(pictures: np.ndarray, scale: int) -> np.ndarray:
        for _ in range(scale):
            pictures = np.asarray(halved(pictures))
        return pictures

    def gram(network, pictures: np.ndarray, layer: str, border: int) -> np.ndarray:
        f = np.asarray(network(pictures)[layer], np.float64)
        f = f[:, border : f.shape[1] - border, border : f.shape[2] - border]
        return np.einsum("nhwi,nhwj->nij", f, f) / np.prod(f.shape[1:]), f.size

    expected = 0.0
    style = style_image[None].astype(np.float32)
    parts = [
        ("relu1_2", 0, 4, 1.0),
        ("relu1_2", 1, 2, 0.5),
        ("relu1_2", 2, 1, 0.25),
        ("relu3_1", 1, 0, 2.0),
    ]
    for layer, scale, border, weight in parts:
        network = objective.networks[scale]
        ours, size = gram(network, smaller(mirrored(stylized, 4), scale), layer, border)
        theirs, _ = gram(network, smaller(style, scale), layer, border)
        name = f"style/{layer}" + ("", "_half", "_quarter")[scale]
        assert found[name] == pytest.approx(np.sum((ours - theirs) ** 2) / size, rel=1e-3)
        expected += weight * found[name]
    assert found["style"] == pytest.approx(expected, rel=1e-5)
    names = {name for name in found if name.startswith("style/")}
    assert len(names) == len(parts)


def test_a_number_is_the_weight_at_every_scale(
    config: Config, stylized: np.ndarray, content: np.ndarray
) -> None:
    one, each = (
        PerceptualLoss(
            dataclasses.replace(config, style_scales=2, style_layers={"conv1_2": weight}),
            [[prepare_style_image(config)]],
        )
        for weight in (0.5, [0.5, 0.5])
    )
    assert terms_of(one, stylized, content) == terms_of(each, stylized, content)


def test_patch_and_palette_are_numpys_sliced_wasserstein_distances(
    config: Config, stylized: np.ndarray, content: np.ndarray
) -> None:
    config = dataclasses.replace(config, patch_weight=2.0, palette_weight=0.5)
    style_image = prepare_style_image(config)
    objective = PerceptualLoss(config, [[style_image]])
    found = terms_of(objective, stylized, content, 0.1)
    style = style_image[None].astype(np.float32)

    def distance(ours: np.ndarray, theirs: np.ndarray) -> float:
        wanted = np.asarray(quantiles(np.asarray(quantiles(theirs, QUANTILES)), ours.shape[-1]))
        spread = np.var(np.asarray(quantiles(theirs, QUANTILES), np.float64), axis=-1).mean()
        return float(np.mean((ours - wanted) ** 2) / spread)

    def sliced(pictures: np.ndarray, directions: np.ndarray, stride: int) -> np.ndarray:
        size, values = len(directions), []
        for picture in pictures:
            windows = np.lib.stride_tricks.sliding_window_view(picture, (size, size), (0, 1))
            along = np.einsum("yxcij,ijcs->yxs", windows[::stride, ::stride], directions)
            values.append(np.sort(along.reshape(-1, along.shape[-1]), axis=0).T)
        return np.array(values)

    by_size = []
    ours, theirs = pyramid(stylized, 3), pyramid(style, 3)
    for level, stride in enumerate((3, 3, 1)):
        directions = patch_directions(7, level)
        one, other = (
            sliced(np.asarray(detail(images[level])), directions, stride)
            for images in (ours, theirs)
        )
        by_size.append(distance(one, other))
    assert found["patch"] == pytest.approx(np.mean(by_size), rel=1e-3)
    directions = patch_directions(1, 0)
    one, other = (sliced(np.asarray(images[2]), directions, 1) for images in (ours, theirs))
    assert found["palette"] == pytest.approx(distance(one, other), rel=1e-3)
    assert found["weighted/patch"] == pytest.approx(0.2 * found["patch"], rel=1e-5)
    assert found["weighted/palette"] == pytest.approx(0.05 * found["palette"], rel=1e-5)
    itself = terms_of(objective, style, style)
    assert itself["patch"] < 0.01 * found["patch"]
    assert itself["palette"] < 0.01 * found["palette"]


def test_the_temporal_term_is_there_with_another_view(
    config: Config, stylized: np.ndarray, content: np.ndarray
) -> None:
    config = dataclasses.replace(config, temporal_weight=0.25)
    objective = PerceptualLoss(config, [[prepare_style_image(config)]])
    targets = objective.content_targets(content)
    without = objective(stylized, targets)
    assert "temporal" not in without
    moved = content[:, :28, :28], np.array([4, 1], np.int32)
    terms = objective(stylized, targets, moved=moved)
    expected = np.mean((moved[0] - stylized[:, 4:32, 1:29]) ** 2)
    assert float(terms["temporal"]) == pytest.approx(expected, rel=1e-4)
    assert float(terms["weighted/temporal"]) == pytest.approx(0.25 * expected, rel=1e-4)
    added = float(terms["total"]) - float(without["total"])
    assert added == pytest.approx(0.25 * expected, rel=1e-3)


def test_a_row_of_the_table_is_all_that_a_new_term_needs(
    config: Config, stylized: np.ndarray, content: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    brightness = Term("brightness", "tv_weight", lambda of: np.float32(of.stylized.mean()))
    monkeypatch.setattr("fast_style.loss.perceptual_loss.TERMS", (*TERMS, brightness))
    terms = terms_of(PerceptualLoss(config, [[prepare_style_image(config)]]), stylized, content)
    assert terms["weighted/brightness"] == pytest.approx(0.01 * stylized.mean(), rel=1e-4)
    assert terms["total"] == pytest.approx(
        sum(value for name, value in terms.items() if name.startswith("weighted/")), rel=1e-5
    )
    assert list(named_terms(terms)) == ["total", "content", "style", "tv", "brightness"]
    assert f"brightness {stylized.mean():.4g}" in in_one_line(terms)


def test_every_weight_of_a_conf_is_that_of_a_term() -> None:
    weights = {field.name for field in dataclasses.fields(Config) if "_weight" in field.name}
    assert {term.weight for term in TERMS} == weights
    assert len({term.name for term in TERMS}) == len(TERMS)


@pytest.mark.parametrize("statistics", ["gram", "mean_covariance"])
@pytest.mark.parametrize("normalization", ["published", "relative"])
def test_the_style_image_has_its_own_style_and_a_picture_its_own_content(
    config: Config, stylized: np.ndarray, statistics: str, normalization: str
) -> None:
    config = dataclasses.replace(
        config,
        style_statistics=statistics,
        style_normalization=normalization,
        content_normalization=normalization,
    )
    style_image = prepare_style_image(config)
    objective = PerceptualLoss(config, [[style_image]])
    itself = style_image[None].astype(np.float32)
    other = terms_of(objective, stylized[:1], itself)
    same = terms_of(objective, itself, itself)
    assert same["style"] == pytest.approx(0, abs=1e-6 * other["style"])
    assert same["content"] == pytest.approx(0, abs=1e-6 * other["content"])
    assert other["style"] > 0 and other["content"] > 0


def test_the_ramp_is_a_factor_on_the_style_weight_alone(
    config: Config, stylized: np.ndarray, content: np.ndarray
) -> None:
    objective = PerceptualLoss(config, [[prepare_style_image(config)]])
    full, tenth = (
        terms_of(objective, stylized, content),
        terms_of(objective, stylized, content, 0.1),
    )
    assert tenth["weighted/style"] == pytest.approx(0.1 * full["weighted/style"], rel=1e-5)
    for name in ("content", "style", "tv", "weighted/content", "weighted/tv"):
        assert tenth[name] == full[name]
    saved = full["weighted/style"] - tenth["weighted/style"]
    assert full["total"] - tenth["total"] == pytest.approx(saved, rel=1e-4)


def test_the_content_image_passes_no_deeper_than_content_layers_need(config: Config) -> None:
    config = dataclasses.replace(
        config, content_layers=["conv2_1"], style_layers=["conv1_2", "conv4_1"]
    )
    objective = PerceptualLoss(config, [[prepare_style_image(config)]])

    def convolutions(network) -> list[str]:
        return [layer.name for layer in network.layers if "conv" in layer.name]

    assert convolutions(objective.content_network) == [
        "block1_conv1",
        "block1_conv2",
        "block2_conv1",
    ]
    assert convolutions(objective.networks[0])[-1] == "block4_conv1"


def test_the_objective_pulls_a_picture_towards_the_style(config: Config, photo: Photo) -> None:
    import tensorflow as tf

    objective = PerceptualLoss(config, [[prepare_style_image(config)]])
    content = tf.constant(photo(32, 32, seed=5)[None], tf.float32)
    targets = objective.content_targets(content)
    picture = tf.Variable(content)
    with tf.GradientTape() as tape:
        before = objective(picture, targets)
    gradient = tape.gradient(before["total"], picture)
    assert np.isfinite(gradient).all()
    picture.assign_sub(gradient / tf.reduce_max(tf.abs(gradient)))
    assert objective(picture, targets)["total"] < before["total"]


@pytest.mark.parametrize(
    ("changes", "term"),
    [
        ({"style_normalization": "relative", "style_statistics": "mean_covariance"}, "relu1_2"),
        ({"patch_weight": 1.0}, "patch"),
        ({"palette_weight": 1.0}, "palette"),
    ],
)
def test_a_style_image_of_one_colour_is_refused_where_a_term_divides_by_it(
    config: Config, changes: dict[str, Any], term: str
) -> None:
    flat = np.full((48, 48, 3), (200, 40, 90), np.uint8)
    PerceptualLoss(config, [[flat]])
    with pytest.raises(UserError, match=f"style_image: has nothing for {term} to learn"):
        PerceptualLoss(dataclasses.replace(config, style_border=16, **changes), [[flat]])
