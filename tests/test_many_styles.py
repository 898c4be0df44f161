"""One network of several styles: trained, mixed, exported, and begun from."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fast_style.conf.conf_file import config_from_mapping
from fast_style.conf.config import named_images
from fast_style.conf.locations import PROJECT
from fast_style.errors import UserError
from fast_style.export import export
from fast_style.loss.style_statistics import read_style
from fast_style.model_folder.model import (
    copy_model,
    load_initial_weights,
    load_network,
    read_model,
)
from fast_style.model_folder.npz import read_arrays, write_arrays
from fast_style.model_folder.variables import variables_as_arrays
from fast_style.network.style_mix import is_norm, mixed, stacked, style_proportions
from fast_style.network.styled_network import StyledNetwork
from fast_style.network.transformer_network import build_transformer_network
from fast_style.pictures.images import read_picture
from fast_style.stylize.stylizer import Stylizer
from fast_style.training.loop import train
from fast_style.training.step import Trainer
from tests.conftest import NAMES, Photo


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("wave", [0, 1, 0]),
        ("candy=0.6,wave=0.4", [0.6, 0.4, 0]),
        ("candy, scream", [0.5, 0, 0.5]),
        ("candy=3,wave=1", [0.75, 0.25, 0]),
    ],
)
def test_shares_add_up_to_one(text: str, expected: list[float]) -> None:
    np.testing.assert_allclose(style_proportions(text, NAMES), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("waves", "--style waves: there is no 'waves'; "),
        ("candy=much", "--style candy=much: 'much' is not a number, such as 0.6"),
        ("candy=-1", "--style candy=-1: shares must be at least 0, and not all 0"),
        ("candy=nan", "--style candy=nan: shares must be at least 0, and not all 0"),
        ("candy=0", "--style candy=0: shares must be at least 0, and not all 0"),
    ],
)
def test_wrong_shares_are_told(text: str, said: str) -> None:
    with pytest.raises(UserError, match=r"^--style") as told:
        style_proportions(text, NAMES)
    assert str(told.value).startswith(said)


def test_a_style_of_several_is_the_network_with_its_norms(photo: Photo) -> None:
    rng = np.random.default_rng(0)
    network = build_transformer_network()
    styled = StyledNetwork(network, 2)
    for variable in styled.variables:
        if is_norm(variable.path):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    picture = photo(33, 46)[None].astype(np.float32)
    ours = [np.asarray(styled(picture, style)) for style in (0, 1)]
    for style in (0, 1):
        for own, variable in zip(network.weights, styled.variables, strict=True):
            own.assign(variable[style] if is_norm(own.path) else variable)
        np.testing.assert_allclose(ours[style], np.asarray(network(picture)), atol=1e-3)
    assert np.abs(ours[0] - ours[1]).mean() > 1


def test_stacking_and_picking_lead_back(several: Path) -> None:
    model = read_model(several)
    alone = [model.in_style(name).arrays for name in NAMES]
    again = stacked(alone)
    assert again.keys() == model.arrays.keys()
    assert all((again[name] == array).all() for name, array in model.arrays.items())
    half = mixed(model.arrays, np.array([0.5, 0.5, 0], np.float32))
    norm = next(name for name in half if is_norm(name))
    np.testing.assert_allclose(half[norm], (alone[0][norm] + alone[1][norm]) / 2, rtol=1e-6)


def test_every_style_learned_norms_of_its_own(several: Path) -> None:
    arrays = read_model(several).arrays
    shifts = [array for name, array in arrays.items() if name.endswith("/shift")]
    assert all(array.shape[0] == 3 for array in shifts)
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert all((array[first] != array[second]).any() for array in shifts)


def test_held_out_terms_are_kept_of_each_style(several: Path) -> None:
    result = json.loads((several / "result.json").read_text())
    after = result["validation_after"]
    means = np.mean([after[f"{name}/total"] for name in NAMES])
    assert after["total"] == pytest.approx(means)
    assert len({after[f"{name}/style"] for name in NAMES}) == 3
    assert sorted(result["style_image_sha256"]) == sorted(NAMES)


def test_previews_are_of_every_style(several: Path) -> None:
    names = {path.name for path in (several / "previews").iterdir()}
    assert {f"preview-256-{name}-step-000006.jpg" for name in NAMES} <= names


@pytest.mark.usefixtures("eagerly")
def test_an_interrupted_training_of_several_arrives_at_the_same(
    several: Path, tmp_path: Path
) -> None:
    values = read_model(several).conf | {"model_path": str(tmp_path)}
    values |= {"schedule": "constant", "style_ramp": 0.0, "optimizer": "soap"}
    values |= {"validation_images": None, "preview_images": [], "warmup_steps": 1}
    train(config_from_mapping(values | {"steps": 2}, "conf"))
    resumed = train(config_from_mapping(values | {"steps": 4}, "conf"))
    whole = config_from_mapping(values | {"naming": "whole", "steps": 4}, "conf")
    for name, array in read_model(train(whole)).arrays.items():
        assert (array == read_model(resumed).arrays[name]).all(), name


def test_styles_in_another_order_are_not_gone_on_with(several: Path) -> None:
    values = read_model(several).conf
    turned = dict(reversed(named_images(values["style_images"]).items()))
    for images in (turned, list(turned.values())):
        config = config_from_mapping(values | {"style_images": images, "steps": 9}, "conf")
        with pytest.raises(UserError, match=r"style_image_sha256 \(\{'candy'.*\{'scream'"):
            train(config)


def test_a_mix_lies_between(several: Path, photo: Photo) -> None:
    picture = photo(30, 41)
    mix = Stylizer(several, style="candy=0.5,wave=0.5")(picture)
    network = load_network(several, style="candy,wave")
    expected = np.clip(np.asarray(network(picture[None].astype(np.float32)))[0], 0, 255)
    assert np.abs(mix - expected).max() <= 1
    assert (Stylizer(several, style="candy")(picture) != mix).any()


@pytest.mark.usefixtures("eagerly")
def test_the_styles_of_a_medium_network_mix_in_every_runtime(
    several: Path, tmp_path: Path, photo: Photo
) -> None:
    pytest.importorskip("openvino")
    values = read_model(several).conf | {"network": "medium", "model_path": str(tmp_path)}
    values |= {"steps": 1, "warmup_steps": 0, "validation_images": None, "preview_images": []}
    folder = train(config_from_mapping(values, "conf"))
    mix, picture = "candy=0.5,wave=0.5", photo(33, 47)
    network = load_network(folder, style=mix)
    expected = np.clip(np.asarray(network(picture[None].astype(np.float32)))[0], 0, 255)
    for runtime in ("tensorflow", "openvino"):
        found = Stylizer(folder, runtime, "float32", mix)(picture)
        assert np.abs(found - expected).max() <= 1


def test_an_exported_style_is_a_model_of_its_own(several: Path, tmp_path: Path, photo) -> None:
    export(several, tmp_path / "wave", style="wave")
    assert read_model(tmp_path / "wave").conf["style_image"].endswith("wave.png")
    picture = photo(31, 44)
    theirs = Stylizer(several, "tensorflow", "float32", style="wave")(picture)
    ours = Stylizer(tmp_path / "wave", precision="float32")(picture)
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_an_exported_mix_is_a_model_of_its_own(several: Path, tmp_path: Path) -> None:
    export(several, tmp_path / "mix", style="candy=0.6,wave=0.4")
    mix, wanted = read_model(tmp_path / "mix"), read_model(several).in_style("candy=3,wave=2")
    assert mix.name == "several-candy_0.6_wave_0.4"
    for name, array in wanted.arrays.items():
        np.testing.assert_allclose(mix.arrays[name], array, atol=1e-6)


def test_one_style_by_name_has_its_style_image(
    trained_model: Path, conf_values: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "named"
    folder.mkdir()
    model = read_model(trained_model)
    named = {"style_image": None, "style_images": {"candy": conf_values["style_image"]}}
    copy_model(dataclasses.replace(model, conf=model.conf | named), folder)
    for style in (None, "candy"):
        config = config_from_mapping(read_model(folder).in_style(style).conf, "conf")
        assert config.named_style_images == {"candy": conf_values["style_image"]}


def test_one_style_begins_from_its_own_of_several(
    several: Path, conf_values: dict[str, Any]
) -> None:
    for naming, style in (("wave", "wave"), ("unknown", "candy,wave,scream")):
        network = begun_from(several, conf_values | {"naming": naming})
        expected = read_model(several).in_style(style).arrays
        for name, array in variables_as_arrays("network", network.variables).items():
            np.testing.assert_array_equal(array, expected[name])


def test_several_styles_begin_from_one(several: Path, trained_model: Path) -> None:
    network = begun_from(trained_model, read_model(several).conf)
    begun = read_model(trained_model).arrays
    arrays = mixed(variables_as_arrays("network", network.variables), np.array([0, 0, 1]))
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, begun[name])


def begun_from(folder: Path, values: dict[str, Any]) -> StyledNetwork:
    """The network of a training of `values` that begins from `folder`, before its first step."""
    config = config_from_mapping(values, "conf")
    styles = {name: read_style(config.of_style(name)) for name in config.named_style_images}
    network = Trainer(config, list(styles.values()), 1, "float32").network
    load_initial_weights(network, config.network, {name: {} for name in styles}, folder)
    return network


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "has several styles; --style takes one of candy, wave, scream, or a mix: "),
        (["--style", "candi"], "--style candi: there is no 'candi'; "),
    ],
)
def test_the_styles_there_are_are_told(
    several: Path, photos: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    command = [sys.executable, str(PROJECT / "eval.py"), "--model", str(several), "--image"]
    command += [str(photos / "0.png"), "--output", str(tmp_path / "out.png"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert said in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out.png").exists()


def test_eval_names_the_style_in_the_file(several: Path, photos: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(PROJECT / "eval.py"), "--model", str(several), "--image"]
    command += [str(photos / "0.png"), "--style", "candy=0.6,wave=0.4"]
    assert subprocess.run(command, cwd=tmp_path).returncode == 0
    [written] = (tmp_path / "stylized").iterdir()
    assert written.name == "0-several-candy=0.6,wave=0.4.png"
    assert read_picture(written).rgb.shape == read_picture(photos / "0.png").rgb.shape


def test_a_model_of_one_style_knows_no_other(trained_model: Path) -> None:
    with pytest.raises(UserError, match="--style wave: there is no 'wave'"):
        Stylizer(trained_model, style="wave")
    Stylizer(trained_model, style="tiny")


def test_weights_may_be_kept_in_half_precision(several: Path, tmp_path: Path, photo) -> None:
    copy = tmp_path / "half"
    copy.mkdir()
    (copy / "conf.yml").write_bytes((several / "conf.yml").read_bytes())
    arrays = read_arrays(several / "weights.npz")
    write_arrays(copy / "weights.npz", {n: a.astype(np.float16) for n, a in arrays.items()})
    picture = photo(30, 41)
    whole = Stylizer(several, "tensorflow", style="wave")(picture).astype(int)
    assert np.abs(Stylizer(copy, "tensorflow", style="wave")(picture) - whole).max() <= 2
