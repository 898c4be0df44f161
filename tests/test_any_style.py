"""One network for any style: its statistics, its predictor, and the programs that take --style."""

import dataclasses
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from fast_style.any_style.chosen_style import in_style, style_config
from fast_style.any_style.style_reading import read_statistics
from fast_style.conf.conf_file import config_from_mapping
from fast_style.conf.config import Config
from fast_style.conf.locations import PROJECT
from fast_style.errors import UserError
from fast_style.loss.style_statistics import read_style
from fast_style.model_folder.model import Model, copy_model, load_initial_weights, read_model
from fast_style.model_folder.npz import read_arrays, write_arrays
from fast_style.model_folder.variables import variables_as_arrays
from fast_style.network.any_style_network import AnyStyleNetwork
from fast_style.network.architecture import Architecture
from fast_style.network.style_mix import is_norm, name_in_style
from fast_style.network.style_predictor import features, norm_paths, predicted_norms
from fast_style.network.transformer_network import build_transformer_network
from fast_style.pictures.images import Picture, read_picture, write_picture
from fast_style.pictures.training_pictures.content_images import ContentImages
from fast_style.pictures.training_pictures.style_images import (
    StyleImages,
    hue_rotation,
    with_other_colours,
)
from fast_style.stylize.stylizer import Stylizer
from fast_style.training.loop import train
from fast_style.training.step import Batch, Trainer
from tests.conftest import Photo, without_graphs

Statistics = dict[str, tuple[np.ndarray, ...]]


def changed(values: dict[str, Any], **others: Any) -> Config:
    return config_from_mapping(values | others, "conf")


@pytest.fixture(scope="module")
def vivid_model(any_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """any_model with a predictor as after many steps: pictures depend on the style image."""
    model, folder = read_model(any_model), tmp_path_factory.mktemp("vivid")
    last = model.arrays["network/predictor/norms"]
    vivid = np.random.default_rng(0).normal(0, 3, last.shape).astype(np.float32)
    copy_model(
        dataclasses.replace(model, arrays=model.arrays | {"network/predictor/norms": vivid}), folder
    )
    return folder


# --- The statistics of a style image


@pytest.mark.parametrize(
    "others",
    [
        {},
        {"style_image_size": 45, "style_border": 3},  # halves, layers and borders that are odd
        {"style_image_size": 50, "pooling": "max", "style_scales": 3},
        {"style_layers": {"conv1_2": [1, 0], "conv3_1": [0, 2]}},
    ],
    ids=str,
)
def test_openvino_computes_the_statistics_of_the_objective(
    any_values: dict[str, Any], paintings: Path, others: dict[str, Any]
) -> None:
    pytest.importorskip("openvino")
    images = [str(paintings / "2.png"), str(paintings / "3.png")]  # one style of two paintings
    config = changed(
        any_values, style_image=images, style_images=None, style_dataset=None, **others
    )
    expected = read_statistics(config, "tensorflow").arrays
    found = read_statistics(config, "openvino").arrays
    assert found.keys() == expected.keys() == set(config.style_statistics_names)
    for name, pair in expected.items():
        for ours, wanted in zip(found[name], pair, strict=True):
            assert ours.shape == wanted.shape and ours.dtype == np.float32
            np.testing.assert_allclose(ours, wanted, rtol=1e-3, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("runtime", ["tensorflow", "openvino"])
def test_a_style_image_of_one_colour_is_refused(
    any_model: Path, tmp_path: Path, runtime: str
) -> None:
    pytest.importorskip(runtime)
    write_picture(tmp_path / "flat.png", Picture(np.full((64, 64, 3), 90, np.uint8)))
    with pytest.raises(UserError, match=r"flat\.png: is of one colour; take another picture"):
        in_style(read_model(any_model), str(tmp_path / "flat.png"), runtime)


# --- The predictor

NORMS = {"network/conv1_norm/scale": 4, "network/conv1_norm/shift": 4}


def some_statistics(seed: int) -> Statistics:
    random = np.random.default_rng(seed)
    found = {}
    for name, channels in (("relu1_2", 5), ("relu3_1_half", 3)):
        factor = random.normal(size=(channels, channels + 2))
        covariance = factor @ factor.T / (channels * 10)
        found[name] = (
            random.uniform(0, 9, (1, channels)).astype(np.float32),
            covariance[None].astype(np.float32),
        )
    return found | {"palette": (np.ones((1, 2, 3), np.float32),)}  # of another term


def an_any_network(seed: int = 0) -> AnyStyleNetwork:
    network = build_transformer_network(Architecture("other", (4, 8), blocks=1))
    return AnyStyleNetwork(network, [some_statistics(one) for one in range(5)], seed)


def arrays_of(network: AnyStyleNetwork, seed: int | None = None) -> dict[str, np.ndarray]:
    """The arrays by path, with random values of the last layer if there is a seed."""
    arrays = {variable.path: np.asarray(variable) for variable in network.variables}
    if seed is not None:
        last = arrays["predictor/norms"]
        arrays["predictor/norms"] = (
            np.random.default_rng(seed).normal(size=last.shape).astype(np.float32)
        )
    return arrays


def test_the_predictor_equals_an_independent_computation() -> None:
    arrays, statistics = arrays_of(an_any_network(), seed=1), some_statistics(7)
    x = []
    for name in ("relu1_2", "relu3_1_half"):
        mean, covariance = (array[0].astype(np.float64) for array in statistics[name])
        variances = np.array([covariance[c, c] * len(mean) for c in range(len(mean))])
        x += [*(math.log(one + 0.01) for one in mean)]
        x += [*(0.5 * math.log(one + 0.01) for one in variances)]
    values = (np.array(x) - arrays["predictor/centre"]) / arrays["predictor/deviation"]
    for layer in ("1", "2"):
        kernel = arrays[f"predictor/hidden{layer}"].astype(np.float64)
        values = values @ kernel / len(kernel) ** 0.5 + arrays[f"predictor/bias{layer}"]
        values = np.where(values > 0, values, 0.2 * values)
    last = arrays["predictor/norms"].astype(np.float64)
    moved = 0.4 * values @ last / len(last) ** 0.5
    norms = sorted(path for path in arrays if path.endswith(("_norm/scale", "_norm/shift")))
    expected, first = {}, 0
    for path in norms:
        count = len(arrays[path])
        expected[path] = arrays[path] + moved[first : first + count]
        first += count
    assert first == len(moved) and len(norms) > 4
    for xp in (np, keras.ops):
        found = predicted_norms(arrays, statistics, xp)
        assert found.keys() == expected.keys()
        for path, wanted in expected.items():
            np.testing.assert_allclose(np.asarray(found[path]), wanted, rtol=1e-4, atol=1e-5)


def test_before_any_step_every_style_has_the_networks_own_norms(photo: Photo) -> None:
    network = an_any_network()
    arrays = arrays_of(network)
    for path, norm in predicted_norms(arrays, some_statistics(9), np).items():
        np.testing.assert_array_equal(norm, arrays[path])
    pictures = photo(24, 32)[None].astype(np.float32)
    found = np.asarray(network(pictures, some_statistics(9)))
    np.testing.assert_allclose(found, np.asarray(network.network(pictures)), atol=1e-3)


def test_the_input_of_the_predictor_is_centred_and_scaled() -> None:
    arrays = arrays_of(an_any_network())
    seen = np.concatenate([features(some_statistics(one), np) for one in range(5)])
    np.testing.assert_allclose(arrays["predictor/centre"], seen.mean(0), rtol=1e-5)
    np.testing.assert_allclose(arrays["predictor/deviation"], seen.std(0) + 0.1, rtol=1e-4)


def test_keras_and_the_plain_network_of_a_style_paint_the_same(
    vivid_model: Path, any_values: dict[str, Any], paintings: Path, photo: Photo
) -> None:
    config = changed(any_values)
    style = changed(
        any_values,
        style_image=str(paintings / "2.png"),
        style_images=None,
        style_dataset=None,
    )
    statistics = read_statistics(style, "tensorflow").arrays
    network = Trainer(config, [], 1, "float32", style_images=[photo(48, 48)[None]]).network
    load_initial_weights(network, config.network, {}, vivid_model)
    picture = photo(30, 41)
    whole = np.asarray(network(picture[None].astype(np.float32), statistics))[0]
    plain = Stylizer(vivid_model, "tensorflow", "float32", str(paintings / "2.png"))(picture)
    assert np.abs(np.clip(whole, 0, 255) - plain).max() <= 0.6


# --- --style


def norms_of(model: Model) -> dict[str, np.ndarray]:
    return {path: array for path, array in model.arrays.items() if is_norm(path)}


def test_each_style_image_has_its_own_network(any_model: Path, paintings: Path) -> None:
    model = read_model(any_model)
    one, two = (norms_of(in_style(model, str(paintings / f"{n}.png"))) for n in (2, 3))
    assert len(one) == len(norm_paths(model.arrays)) > 10
    assert any(np.abs(one[path] - two[path]).max() > 1e-3 for path in one)
    plain = in_style(model, str(paintings / "2.png"))
    assert not plain.takes_any_style and plain.styles == [plain.name] == ["any-2"]
    assert len(plain.arrays) == len(model.arrays) - 7  # without those of the predictor


@pytest.mark.parametrize("runtime", ["tensorflow", "openvino"])
def test_a_mix_is_the_mix_of_the_norms(any_model: Path, paintings: Path, runtime: str) -> None:
    pytest.importorskip(runtime)
    model = read_model(any_model)
    names = [str(paintings / "2.png"), str(paintings / "3.png")]
    one, two = (norms_of(in_style(model, name, runtime)) for name in names)
    for text, share in ((f"{names[0]}=0.7,{names[1]}=0.3", 0.7), (",".join(names), 0.5)):
        mix = in_style(model, text, runtime)
        assert mix.conf["style_image"] is None
        for path, norm in norms_of(mix).items():
            wanted = share * one[path] + (1 - share) * two[path]
            np.testing.assert_allclose(norm, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "name", ["a=b.png", "a, b.png", "a b=0.5.png", "ä [1].png", "0.5", "plain.copy.png"]
)
def test_a_style_image_can_have_any_file_name(
    any_model: Path, paintings: Path, tmp_path: Path, name: str
) -> None:
    shutil.copy(paintings / "2.png", tmp_path / name)
    model = read_model(any_model)
    expected = norms_of(in_style(model, str(paintings / "2.png")))
    found = in_style(model, str(tmp_path / name))
    for path, norm in norms_of(found).items():
        np.testing.assert_array_equal(norm, expected[path])
    assert name_in_style("any", str(tmp_path / name)) == f"any-{(tmp_path / name).stem}"


def test_a_name_with_an_equals_sign_can_be_mixed(
    any_model: Path, paintings: Path, tmp_path: Path
) -> None:
    shutil.copy(paintings / "2.png", tmp_path / "a=b.png")
    model = read_model(any_model)
    mixes = [
        f"{name}=3,{paintings / '3.png'}=1" for name in (paintings / "2.png", tmp_path / "a=b.png")
    ]
    one, two = (norms_of(in_style(model, mix)) for mix in mixes)
    for path, norm in one.items():
        np.testing.assert_array_equal(norm, two[path])


def test_the_statistics_of_a_model_folder_are_a_style_image(
    any_model: Path, paintings: Path, photo: Photo
) -> None:
    """The named styles of the folder are kept as statistics, in float16."""
    model = read_model(any_model)
    image = norms_of(in_style(model, str(paintings / "0.png")))
    named = in_style(model, "0")
    of_file = in_style(model, str(any_model / "style-0.npz"))
    for path, norm in norms_of(named).items():
        np.testing.assert_array_equal(norm, norms_of(of_file)[path])
        np.testing.assert_allclose(norm, image[path], atol=2e-3)
    assert named.conf["style_image"] == str(paintings / "0.png")  # for measure
    assert in_style(model, "0=2").conf["style_image"] == str(paintings / "0.png")


def test_a_folder_of_paintings_is_one_style(any_model: Path, paintings: Path) -> None:
    found = in_style(read_model(any_model), str(paintings))
    assert found.name == "any-" + paintings.name


def test_a_style_that_is_trained_elsewhere_is_named_by_its_folder(
    any_model: Path, trained_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"style\.npz: was made with style_statistics 'gram'"):
        in_style(read_model(any_model), str(trained_model / "style.npz"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    shutil.copy(any_model / "style-1.npz", tmp_path / "mine" / "style.npz")
    model = read_model(any_model)
    one, two = norms_of(in_style(model, "mine")), norms_of(in_style(model, "1"))
    for path, norm in one.items():
        np.testing.assert_array_equal(norm, two[path])
    assert name_in_style("any", "mine/style.npz") == "any-mine"
    lost = read_arrays(any_model / "style-1.npz")
    lost = {name: array for name, array in lost.items() if not name.startswith("relu1_2_half")}
    write_arrays(tmp_path / "mine" / "style.npz", lost)
    with pytest.raises(UserError, match="has no statistics of relu1_2_half"):
        in_style(model, "mine")


@pytest.mark.parametrize(
    ("style", "said"),
    [
        (None, "takes any style; --style names a style image, such as --style painting.jpg, or"),
        ("missing.jpg", "--style: style_image: no file missing.jpg; looked in"),
        ("missing.jpg=0.5,1=0.5", "no file missing.jpg"),
        ("0=a,1=0.5", "'a' is not a number"),
        ("0=-1,1=0.5", "shares must be at least 0"),
        ("", "--style: style_image: no file"),
        ("damaged.png", "--style: style_image: damaged.png"),
        ("text.txt", "--style: style_image: text.txt"),
        ("broken.npz", "--style: broken.npz: is damaged or not an .npz"),
        ("flat.png", "flat.png: is of one colour"),
    ],
)
def test_a_wrong_style_is_one_line(
    any_model: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    style: str | None,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(photos / "broken.png", "damaged.png")
    Path("text.txt").write_text("no picture")
    Path("broken.npz").write_bytes(b"PK no zip")
    write_picture(Path("flat.png"), Picture(np.full((64, 64, 3), 90, np.uint8)))
    with pytest.raises(UserError) as error:
        in_style(read_model(any_model), style)
    assert said in str(error.value) and "\n" not in str(error.value)


def evaluated(*arguments: object, **options: Any) -> subprocess.CompletedProcess:
    command = [sys.executable, str(PROJECT / "eval.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)


def test_eval_takes_a_style_image(
    any_model: Path, paintings: Path, photos: Path, tmp_path: Path
) -> None:
    done = evaluated(
        *("--model", any_model, "--image", photos / "0.png", photos / "1.png"),
        *("--style", f"{paintings / '2.png'}=0.7,1=0.3"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    written = sorted(path.name for path in (tmp_path / "stylized").iterdir())
    assert written == ["0-any-2=0.7,1=0.3.png", "1-any-2=0.7,1=0.3.png"]


def test_eval_says_in_one_line_what_is_wrong_with_a_style(
    any_model: Path, trained_model: Path, paintings: Path, photos: Path, tmp_path: Path
) -> None:
    for model, style, said in (
        (any_model, "missing.jpg", "no file missing.jpg"),
        (trained_model, str(paintings / "2.png"), "takes no style images; it has tiny"),
    ):
        done = evaluated(
            *("--model", model, "--image", photos / "0.png", "--style", style), cwd=tmp_path
        )
        assert done.returncode == 2 and said in done.stderr
        assert done.stderr.count("\n") == 1 and not (tmp_path / "stylized").exists()


def test_names_of_styles_keep_their_dots() -> None:
    assert name_in_style("several", "van.gogh=0.6,mr.x") == "several-van.gogh=0.6,mr.x"
    assert name_in_style("any", "art/a.jpg=0.7,b.tar.png=1e-1") == "any-a=0.7,b.tar.png=1e-1"
    assert name_in_style("any", None) == "any"


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("hidden1", None),
        ("centre", np.zeros(3, np.float32)),
        ("hidden2", np.zeros((2, 256), np.float32)),
        ("norms", np.zeros((256, 3), np.float32)),
        ("bias2", np.zeros((), np.float32)),
    ],
)
def test_a_damaged_predictor_is_one_line(
    any_model: Path, paintings: Path, name: str, wrong: np.ndarray | None
) -> None:
    model = read_model(any_model)
    arrays = dict(model.arrays)
    if wrong is None:
        del arrays[f"network/predictor/{name}"]
    else:
        arrays[f"network/predictor/{name}"] = wrong
    with pytest.raises(UserError, match=r"weights\.npz: predictor/.* is needed, but"):
        in_style(dataclasses.replace(model, arrays=arrays), str(paintings / "2.png"))


def test_norms_that_are_not_finite_are_refused(any_model: Path, paintings: Path) -> None:
    model = read_model(any_model)
    arrays = dict(model.arrays)
    arrays["network/predictor/deviation"] = 0 * arrays["network/predictor/deviation"]
    with pytest.raises(UserError, match="predicted norms"), np.errstate(all="ignore"):
        in_style(dataclasses.replace(model, arrays=arrays), str(paintings / "2.png"))


# --- The training


@pytest.fixture
def training_values(any_values: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    return any_values | {"model_path": str(tmp_path / "models"), "validation_images": None}


@pytest.mark.usefixtures("eagerly")
def test_a_training_for_any_style_resumes_bit_for_bit(
    training_values: dict[str, Any], tmp_path: Path
) -> None:
    values = training_values | {"checkpoint_every": 1, "keep_checkpoints": 9, "preview_images": []}
    whole = train(changed(values))
    other = tmp_path / "other" / "any"
    (other / "checkpoints").mkdir(parents=True)
    shutil.copy(whole / "checkpoints" / "00000002.npz", other / "checkpoints")
    resumed = train(changed(values, model_path=str(other.parent)))
    assert resumed == other
    one, two = read_arrays(whole / "weights.npz"), read_arrays(other / "weights.npz")
    assert one.keys() == two.keys() and any(name.endswith("predictor/norms") for name in one)
    for name, array in one.items():
        assert array.tobytes() == two[name].tobytes(), name


def test_a_training_changes_predictor_and_network(
    any_model: Path, any_values: dict[str, Any], paintings: Path
) -> None:
    seen = StyleImages(changed(any_values)).first(64)
    begun = Trainer(changed(any_values), [], 1, "float32", style_images=seen).network
    before = variables_as_arrays("network", begun.variables)
    after = read_model(any_model).arrays
    assert before.keys() == after.keys()
    still = {name for name in after if np.array_equal(before[name], after[name])}
    assert not still - {"network/predictor/centre", "network/predictor/deviation"}


@pytest.mark.usefixtures("eagerly")
def test_other_style_pictures_are_refused_or_told(
    training_values: dict[str, Any],
    paintings: Path,
    photos: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = tmp_path / "paintings"
    shutil.copytree(paintings, folder)
    values = training_values | {"style_dataset": str(folder), "steps": 2, "preview_images": []}
    train(changed(values))
    with pytest.raises(UserError, match="other values of style_dataset"):
        train(changed(values, style_dataset=str(photos), steps=3))
    (folder / "3.png").unlink()
    train(changed(values, steps=3))
    assert "style_dataset has 3 pictures now and had 4 before" in caplog.text


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], "style_dataset: "),
        (["flat"], "style_dataset: .*: only squares of one colour, or nearly, were found"),
        (["broken"], "style_dataset: .*: of 1 pictures 1 so far cannot be read, all are broken"),
    ],
    ids=str,
)
@pytest.mark.usefixtures("eagerly")
def test_a_style_dataset_without_a_usable_picture_is_one_line(
    training_values: dict[str, Any], photos: Path, tmp_path: Path, files: list[str], said: str
) -> None:
    folder = tmp_path / "paintings"
    folder.mkdir()
    if "flat" in files:
        rgb = np.full((64, 64, 3), 90, np.uint8)
        rgb[::7, ::7] = 95  # not of one colour, but nearly
        write_picture(folder / "flat.png", Picture(rgb))
    if "broken" in files:
        shutil.copy(photos / "broken.png", folder)
    config = changed(training_values, style_dataset=str(folder))
    with pytest.raises(UserError, match=said) as error:
        train(config)
    assert "dataset: dataset" not in str(error.value)
    assert not (config.model_folder / "checkpoints").exists()


def test_a_style_dataset_that_is_missing_is_named(training_values: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"style_dataset: .*nowhere"):
        StyleImages(changed(training_values, style_dataset="/nowhere/*.jpg"))


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"style_statistics": "gram"}, "style_dataset: needs style_statistics: mean_covariance"),
        ({"style_images": None, "style_image": "img/candy.jpg"}, "together with style_image"),
    ],
    ids=str,
)
def test_wrong_confs_for_any_style_are_told(
    any_values: dict[str, Any], others: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        changed(any_values, **others)


@pytest.mark.usefixtures("eagerly")
def test_a_network_for_any_style_needs_no_named_style(
    training_values: dict[str, Any], paintings: Path, photo: Photo
) -> None:
    values = training_values | {"steps": 1, "style_images": None}
    folder = train(changed(values))
    model = read_model(folder)
    assert model.takes_any_style and model.styles == []
    assert not list(folder.glob("style*.npz"))
    found = Stylizer(folder, style=str(paintings / "0.png"))(photo(20, 30))
    assert found.shape == (20, 30, 3)


# --- Style images


def test_style_images_depend_on_seed_and_step_alone(any_values: dict[str, Any]) -> None:
    config = changed(any_values)
    images = StyleImages(config)
    first = images.first(6)
    assert all(image.shape == (1, 32, 32, 3) and image.dtype == np.uint8 for image in first)
    assert len({image.tobytes() for image in first}) == 6
    again = StyleImages(config).batches(4)
    for wanted in first[4:]:
        np.testing.assert_array_equal(next(again), wanted)
    again.close()
    other = StyleImages(dataclasses.replace(config, seed=config.seed + 1)).first(1)
    assert not np.array_equal(other[0], first[0])


def test_other_colours_keep_greys_grey(photo: Photo) -> None:
    grey = np.repeat(photo(16, 16)[None, ..., :1], 3, axis=-1)
    changes = 0
    for seed in range(20):
        found = with_other_colours(grey, np.random.default_rng(seed)).astype(int)
        assert np.ptp(found, axis=-1).max() <= 1  # rounded
        assert abs(found.mean() - grey.mean()) < 2
        changes += not np.array_equal(found, grey)
    assert 4 <= changes <= 16  # about a half


def test_a_hue_rotation_is_a_rotation_around_grey() -> None:
    for angle in (0.0, 0.4, 2.0, 5.0):
        matrix = hue_rotation(angle)
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(matrix) == pytest.approx(1)
        np.testing.assert_allclose(matrix @ np.ones(3), np.ones(3), atol=1e-12)
        assert np.trace(matrix) == pytest.approx(1 + 2 * math.cos(angle))
    np.testing.assert_allclose(hue_rotation(2 * np.pi / 3) @ [1, 0, 0], [0, 1, 0], atol=1e-12)


# --- Beginning from a network for any style


def begun(values: dict[str, Any], folder: Path) -> tuple[dict[str, np.ndarray], dict[str, dict]]:
    """The arrays of a training that begins from `folder`, and the statistics of its styles."""
    config = changed(values)
    styles = {name: read_style(config.of_style(name)) for name in config.named_style_images}
    seen = StyleImages(config).first(2) if config.style_dataset else []
    trainer = Trainer(config, list(styles.values()), 1, "float32", style_images=seen)
    statistics = {n: trainer.objective.statistics(i).arrays for i, n in enumerate(styles)}
    load_initial_weights(trainer.network, config.network, statistics, folder)
    return variables_as_arrays("network", trainer.network.variables), statistics


def test_one_style_begins_from_its_predicted_norms(
    any_model: Path, any_values: dict[str, Any], paintings: Path
) -> None:
    image = str(paintings / "2.png")
    values = any_values | {"style_image": image, "style_images": None, "style_dataset": None}
    found, _ = begun(values, any_model)
    expected = in_style(read_model(any_model), image).arrays
    assert found.keys() == expected.keys()
    for name, array in found.items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-4, atol=1e-5)


def test_several_styles_begin_from_their_predicted_norms(
    any_model: Path, any_values: dict[str, Any]
) -> None:
    found, statistics = begun(any_values | {"style_dataset": None}, any_model)
    for number, name in enumerate(("0", "1")):
        expected = read_model(any_model).arrays_of_style([(statistics[name], 1.0)])
        for path, array in found.items():
            one = array[number] if is_norm(path) else array
            np.testing.assert_array_equal(one, expected[path])


def test_any_begins_from_any_and_from_one_style(
    any_model: Path, trained_model: Path, any_values: dict[str, Any]
) -> None:
    found, _ = begun(any_values, any_model)
    for path, array in read_model(any_model).arrays.items():
        np.testing.assert_array_equal(found[path], array)
    found, statistics = begun(any_values, trained_model)
    own = {path.removeprefix("network/"): array for path, array in found.items()}
    predicted = predicted_norms(own, statistics["0"], np)
    for path, array in read_model(trained_model).arrays.items():
        path = path.removeprefix("network/")
        np.testing.assert_array_equal(predicted.get(path, own[path]), array)


def test_a_conf_of_other_layers_cannot_begin_from_any(
    any_model: Path, any_values: dict[str, Any], paintings: Path
) -> None:
    values = any_values | {"style_image": str(paintings / "2.png"), "style_images": None}
    values |= {"style_dataset": None}
    for others in ({"style_layers": ["conv1_2"]}, {"style_statistics": "gram"}):
        with pytest.raises(UserError, match=r"init_from: .*any: predicts from the mean_covariance"):
            begun(values | others, any_model)


# --- train.py --style, --minutes


def test_the_steps_that_fit_into_the_minutes_are_kept_by_a_resumed_training(
    conf_values: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    values = conf_values | {"model_path": str(tmp_path), "validation_images": None}
    values |= {
        "warmup_steps": 5,
        "preview_images": [],
        "checkpoint_every": 1,
        "keep_checkpoints": 9,
    }
    measured = []

    def seconds_of_a_step(self: Trainer, batch: Any) -> float:
        measured.append(batch)
        return seconds

    monkeypatch.setattr(Trainer, "seconds_of_a_step", seconds_of_a_step)
    seconds = 19_000.0
    with without_graphs():
        folder = train(changed(values), minutes=1000)
        conf = read_model(folder).conf
        assert conf["steps"] == 3 and conf["warmup_steps"] == 1 and len(measured) == 1
        (folder / "checkpoints" / "00000003.npz").unlink()
        (folder / "result.json").unlink()
        seconds = 0.001
        train(changed(values), minutes=7)
        assert read_model(folder).conf == conf and len(measured) == 1
        seconds = 1e9
        train(changed(values, naming="short"), minutes=1)
    assert "--minutes: not one step of 1000000000.00 s fits; taking one" in caplog.text


def test_measuring_a_step_changes_nothing(
    conf_values: dict[str, Any], any_values: dict[str, Any]
) -> None:
    for optimizer in ("adam", "soap"):
        config = changed(conf_values, optimizer=optimizer)
        batch = Batch(ContentImages(config).batch(0), 0)
        with without_graphs():
            trainer = Trainer(config, [read_style(config)], 9, "float32")
            variables = [*trainer.network.variables, *trainer.optimizer.variables]
            before = [np.array(variable) for variable in variables]
            assert trainer.seconds_of_a_step(batch) > 0
            after = [*trainer.network.variables, *trainer.optimizer.variables]
            assert len(after) == len(before) and trainer.step == 0
            for one, two, variable in zip(before, after, variables, strict=True):
                if variable is not trainer.optimizer.learning_rate:  # set at each step
                    np.testing.assert_array_equal(one, np.asarray(two), err_msg=variable.path)


def trained(*arguments: object, cwd: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, str(PROJECT / "train.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "give --style IMAGE, or --conf FILE"),
        (["--style", "missing.jpg"], "--style missing.jpg: no such file"),
        (["--minutes", "0.01"], "argument --minutes: 0.01 is not at least 0.1"),
        (["--minutes", "soon"], "argument --minutes: 'soon' is not a number"),
        (["--minutes", "2", "--steps", "9"], "not allowed with argument"),
        (
            ["--style", "img/candy.jpg", "--minutes", "2", "--set", "steps=9"],
            "--minutes: is not allowed with --set steps",
        ),
    ],
    ids=str,
)
def test_wrong_flags_of_a_training_are_one_line(
    tmp_path: Path, flags: list[str], said: str
) -> None:
    done = trained(*flags, cwd=tmp_path)
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_painting_is_learned_without_a_conf(
    any_model: Path, any_values: dict[str, Any], paintings: Path, tmp_path: Path
) -> None:
    shutil.copy(paintings / "2.png", tmp_path / "1 a=b [#].png")
    keys = [*("image_size", "batch_size", "loss_model_file", "content_layers", "style_layers")]
    keys += ["style_image_size", "style_statistics", "dataset", "optimizer"]
    values = {key: any_values[key] for key in keys} | {"network": "paper", "init_from": any_model}
    values |= {"loss_model": "vgg_16_half", "preview_images": [], "patch_weight": 0, "steps": 2}
    values |= {"palette_weight": 0, "validation_images": None, "style_border": 0, "warmup_steps": 0}
    values |= {"pooling": "max", "temporal_weight": 0}
    sets = [
        part
        for key, value in values.items()
        for part in ("--set", f"{key}={'null' if value is None else value}")
    ]
    done = trained("--style", "1 a=b [#].png", *sets, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "models" / "1 a_b _#_"
    [folder] = (tmp_path / "models").iterdir()
    assert done.stdout.splitlines()[-1] == (
        f"models/{folder.name}: python eval.py --model models/{folder.name} --image PICTURE"
    )
    conf = read_model(folder).conf
    assert conf["style_image"] == "1 a=b [#].png" and conf["steps"] == 2


# --- The other programs


@pytest.mark.parametrize("kind", ["saved_model", "onnx", "openvino", "litert"])
def test_the_network_of_a_style_image_is_exported(
    vivid_model: Path, paintings: Path, photo: Photo, tmp_path: Path, kind: str
) -> None:
    from fast_style.export import FORMATS, export

    wanted = FORMATS[kind]
    for package in wanted.packages:
        pytest.importorskip(package)
    output = tmp_path / f"any-2{wanted.ending}"
    style = str(paintings / "2.png")
    found = export(vivid_model, output, kind, style=style)
    assert max(one.largest_difference for one in found) <= 1
    picture = photo(33, 48)
    expected = Stylizer(vivid_model, "tensorflow", "float32", style)(picture).astype(int)
    assert np.abs(wanted.load(output, "uint8")(picture[None])[0] - expected).max() <= 1


@pytest.mark.parametrize("runtime", ["tensorflow", "openvino"])
def test_a_collection_is_stylized_in_styles_of_images(
    any_model: Path, trained_model: Path, paintings: Path, runtime: str
) -> None:
    pytest.importorskip(runtime)
    from fast_style.batch.work import models_by_name

    images = [str(paintings / f"{number}.png") for number in (2, 3)]
    assert list(models_by_name([str(any_model)], images, runtime)) == ["any-2", "any-3"]
    both = models_by_name([str(any_model), str(trained_model)], images[:1], runtime)
    assert list(both) == ["any-2", "tiny"]
    with pytest.raises(UserError, match="takes any style; --style names a style image"):
        models_by_name([str(any_model)], [], runtime)
    with pytest.raises(UserError, match="two would write pictures named NAME-any-2"):
        models_by_name([str(any_model)], [images[0], images[0]], runtime)


def test_figures_are_measured_for_a_style_image(any_model: Path, paintings: Path) -> None:
    from fast_style.measure.figures import read_subject

    for style in (str(paintings / "2.png"), "1"):
        subject = read_subject(any_model, "any", style)
        file = paintings / f"{Path(style).stem}.png"
        np.testing.assert_array_equal(subject.painting, read_picture(file).rgb)


def test_a_contact_sheet_shows_style_images(
    any_model: Path, trained_model: Path, paintings: Path, photo: Photo
) -> None:
    from fast_style.gallery.sheets import styles_by_photos

    photos, images = [photo(32, 32)], [str(paintings / f"{number}.png") for number in (1, 2, 3)]
    named = styles_by_photos([trained_model, any_model], photos)  # tiny, 0, 1
    shown = styles_by_photos([trained_model, any_model], photos, images)
    assert shown.shape[1] > named.shape[1]
    with pytest.raises(UserError, match="none of the models takes style images"):
        styles_by_photos([trained_model], photos, images)


def test_a_model_without_named_styles_is_told_to_need_one(
    any_model: Path, photo: Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fast_style.benchmark import __main__ as benchmark
    from fast_style.gallery.sheets import styles_by_photos

    model = read_model(any_model)
    (tmp_path / "none").mkdir()
    copy_model(
        dataclasses.replace(model, conf=model.conf | {"style_images": None}), tmp_path / "none"
    )
    with pytest.raises(UserError, match="takes any style; --style names style images"):
        styles_by_photos([tmp_path / "none"], [photo(32, 32)])
    monkeypatch.setattr(sys, "argv", ["benchmark", "stylize", "--model", str(tmp_path / "none")])
    with pytest.raises(UserError, match="takes any style; --style names a style image"):
        benchmark.main()


def test_a_model_for_any_style_is_shipped(
    any_model: Path, any_values: dict[str, Any], tmp_path: Path, paintings: Path, photo: Photo
) -> None:
    from fast_style.zoo.shipped import check, ship

    target = tmp_path / "pretrained" / "any"
    ship(any_model, "four waves", target)
    assert check(target) == []
    arrays = read_arrays(target / "weights.npz")
    assert {array.dtype for array in arrays.values() if array.ndim == 4} == {np.dtype(np.int8)}
    assert arrays["network/predictor/hidden1"].dtype == np.float16
    assert {path.name for path in target.glob("s*.*")} == {
        *(f"sample-{name}.png" for name in "01"),
        *(f"style-{name}.npz" for name in "01"),
    }
    card = (target / "card.md").read_text()
    assert "Takes any style image" in card and "--style painting.jpg --image" in card
    assert "Styles that it names: 0, 1." in card
    conf = read_model(target).conf  # no pictures of this machine
    assert conf["style_images"] == {n: f"pretrained/any/style-{n}.npz" for n in ("0", "1")}
    assert str(paintings) not in (target / "conf.yml").read_text() + card
    picture, style = photo(32, 48), str(paintings / "2.png")
    whole = Stylizer(any_model, "tensorflow", "float32", style)(picture).astype(int)
    assert np.abs(Stylizer(target, "tensorflow", "float32", style)(picture) - whole).mean() < 1
    write_arrays(target / "weights.npz", arrays | {"network/predictor/bias1": np.ones(256)})
    assert any("SHA-256" in problem for problem in check(target))


def test_a_model_without_named_styles_is_shipped_with_a_style_image_of_the_repository(
    any_model: Path, tmp_path: Path
) -> None:
    from fast_style.zoo.shipped import check, ship

    model = read_model(any_model)
    folder, target = tmp_path / "none", tmp_path / "pretrained" / "none"
    folder.mkdir()
    copy_model(dataclasses.replace(model, conf=model.conf | {"style_images": None}), folder)
    ship(folder, "four waves", target)
    assert check(target) == [] and (target / "sample.png").exists()
    arrays = read_arrays(target / "weights.npz")
    last = arrays["network/predictor/norms"]
    arrays["network/predictor/norms"] = last + np.float16(1)
    write_arrays(target / "weights.npz", arrays)
    assert any("off the recorded picture" in problem for problem in check(target))


@pytest.mark.parametrize("half", [False, True])
def test_onnx_takes_the_style_image_itself(
    vivid_model: Path, paintings: Path, photo: Photo, tmp_path: Path, half: bool
) -> None:
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    from fast_style.export import export
    from fast_style.pictures.style_image import prepare_style_image

    output = tmp_path / "any.onnx"
    found = export(vivid_model, output, "onnx", half=half)
    assert len(found) > 3 and max(one.largest_difference for one in found) <= (2 if half else 1)
    session = onnxruntime.InferenceSession(output, providers=["CPUExecutionProvider"])
    inputs = {one.name: (one.type, one.shape) for one in session.get_inputs()}
    assert inputs["style_image"] == ("tensor(uint8)", [1, 48, 48, 3])
    assert inputs.keys() == {"pictures", "style_image"}
    picture, model = photo(30, 44), read_model(vivid_model)
    results = []
    for number in (2, 3):
        style = str(paintings / f"{number}.png")
        given = {
            "pictures": picture[None],
            "style_image": prepare_style_image(style_config(model, style))[None],
        }
        [[stylized]] = session.run(["stylized"], given)
        expected = Stylizer(vivid_model, "tensorflow", "float32", style)(picture).astype(int)
        assert np.abs(stylized - expected).max() <= (2 if half else 1)
        results.append(stylized.astype(int))
    assert np.abs(results[0] - results[1]).mean() > 2


def test_an_export_that_needs_a_style_says_so_before_any_work(
    any_model: Path, tmp_path: Path
) -> None:
    command = [sys.executable, str(PROJECT / "export.py"), "--model", str(any_model)]
    command += ["--format", "onnx", "saved_model"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.splitlines()[-1] == (
        "error: --format saved_model: only onnx takes the style image as an input; name one with "
        "--style"
    )
    assert not list(tmp_path.iterdir())
