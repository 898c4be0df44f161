"""The training loop: schedules, resuming, stopping, and what it leaves in a model folder."""

import dataclasses
import hashlib
import json
import logging
import math
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import yaml
from PIL import Image

from fast_style.conf.conf_file import config_from_mapping, load_config
from fast_style.conf.config import Config, problems
from fast_style.errors import UserError
from fast_style.loss.named_terms import in_one_line
from fast_style.loss.style_statistics import read_style
from fast_style.model_folder.checkpoint import Checkpoint, check_same_training, newest_checkpoint
from fast_style.model_folder.model import (
    Model,
    load_initial_weights,
    load_network,
    read_model,
)
from fast_style.model_folder.npz import read_arrays, write_arrays
from fast_style.network.architecture import architecture_of
from fast_style.network.transformer_network import build_transformer_network
from fast_style.pictures.images import Picture, encode_picture, write_picture
from fast_style.pictures.training_pictures.content_images import ContentImages
from fast_style.training.loop import TrainingLoop, number_of_steps, train
from fast_style.training.provenance import hashes
from fast_style.training.schedule import learning_rate, style_ramp
from fast_style.training.step import Batch, Trainer
from fast_style.training.teacher_colours import match_colours
from tests.conftest import Photo


@pytest.fixture
def config(conf_values: dict[str, Any], tmp_path: Path) -> Config:
    """The conf of trained_model, for a folder of its own and without held-out pictures."""
    values = conf_values | {"model_path": str(tmp_path / "models"), "validation_images": None}
    return config_from_mapping(values, "conf")


@pytest.fixture
def trained_copy(config: Config, trained_model: Path) -> Path:
    """The config's model folder, filled with what trained_model holds."""
    return shutil.copytree(trained_model, config.model_folder)


def press_ctrl_c_in_step(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, Ctrl-C comes while the content images of 1-based `step` are fetched."""
    batches = ContentImages.batches

    def interrupted(self: ContentImages, first_step: int) -> Iterator[np.ndarray]:
        for number, batch in enumerate(batches(self, first_step), start=first_step + 1):
            if number == step:
                signal.raise_signal(signal.SIGINT)
            yield batch

    monkeypatch.setattr(ContentImages, "batches", interrupted)


def assert_bit_equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].dtype == other[name].dtype
        assert one[name].tobytes() == other[name].tobytes(), name


def contents(folder: Path) -> dict[str, str]:
    """Every file below the folder, and what it holds."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def newest(folder: Path) -> Checkpoint:
    checkpoint = newest_checkpoint(folder)
    assert checkpoint is not None
    return checkpoint


# Schedules


def test_a_constant_learning_rate_after_a_linear_warm_up(config: Config) -> None:
    config = dataclasses.replace(config, schedule="constant", learning_rate=8.0, warmup_steps=4)
    rates = [learning_rate(config, step, 10) for step in range(10)]
    assert rates == [2.0, 4.0, 6.0, 8.0] + 6 * [8.0]


def test_half_a_cosine_from_the_full_learning_rate_to_nearly_nothing(config: Config) -> None:
    config = dataclasses.replace(config, schedule="cosine", learning_rate=2.0, warmup_steps=0)
    rates = [learning_rate(config, step, 100) for step in range(100)]
    assert rates[0] == 2.0 and rates[50] == pytest.approx(1.0)
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[99] < 2 * (math.pi / 200) ** 2
    assert rates[25] + rates[75] == pytest.approx(2.0)
    warm = dataclasses.replace(config, warmup_steps=10)
    assert [learning_rate(warm, step, 100) for step in (0, 9, 10)] == [0.2, 2.0, 2.0]


def test_the_style_ramp_rises_from_2_percent_and_stays_at_1(config: Config) -> None:
    config = dataclasses.replace(config, style_ramp=0.5)
    ramp = [style_ramp(config, step, 100) for step in range(100)]
    assert ramp[0] == pytest.approx(0.02) and ramp[25] == pytest.approx(0.51)
    assert np.diff(ramp[:51]) == pytest.approx(0.98 / 50)
    assert set(ramp[50:]) == {1.0}
    assert style_ramp(dataclasses.replace(config, style_ramp=0.0), 0, 100) == 1.0


def test_epochs_are_counted_in_steps_and_an_endless_data_set_needs_steps(config: Config) -> None:
    config = dataclasses.replace(config, steps=None, epoch=3)

    pictures = ContentImages(config)
    assert pictures.pictures_per_epoch == 6
    # As the queue of the TF1 program, which fills a batch across the end of an epoch.
    for epoch, batch_size, steps in [(3, 2, 9), (2, 4, 3), (1, 4, 1), (3, 5, 3), (1, 50, 1)]:
        asked = dataclasses.replace(config, epoch=epoch, batch_size=batch_size)
        assert number_of_steps(asked, pictures) == steps
    config = dataclasses.replace(config, dataset="synthetic")
    endless = ContentImages(config)
    assert number_of_steps(dataclasses.replace(config, steps=7), endless) == 7
    with pytest.raises(UserError, match="'synthetic' is endless; set steps in the conf"):
        number_of_steps(config, endless)


# A step


@pytest.mark.usefixtures("eagerly")
def test_a_step_returns_the_terms_before_it_and_brings_the_objective_down(config: Config) -> None:
    config = dataclasses.replace(config, style_ramp=0.0, temporal_weight=0.01, warmup_steps=0)
    content_images = ContentImages(config)
    content = content_images.batch(0)
    batch = Batch(content, 0, *content_images.moved_view(content, 0))
    trainer = Trainer(config, [read_style(config)], 20, "float32")
    before = trainer.evaluate(batch)
    assert before == trainer.evaluate(batch) and trainer.step == 0
    terms = trainer.train_step(batch)
    assert {name: terms[name] for name in before} == pytest.approx(before, rel=1e-5)
    assert terms["learning_rate"] == config.learning_rate and terms["style_ramp"] == 1.0
    for _ in range(4):
        trainer.train_step(batch)
    assert trainer.step == 5
    assert trainer.evaluate(batch)["total"] < before["total"]


@pytest.mark.parametrize("output", ["tanh", "linear"])
def test_a_taught_network_gets_the_colours_of_its_teacher(output: str, photo: Photo) -> None:
    network, teacher = (
        build_transformer_network(architecture_of(name, output)) for name in ("small", "medium")
    )
    photos = [photo(40, 56, seed=seed)[None] for seed in range(3)]
    kernel = np.array(network.get_layer("conv_out").kernel)
    match_colours(network, teacher, iter(photos), output)
    assert not np.allclose(network.get_layer("conv_out").kernel, kernel)

    def colours(of: keras.Model) -> np.ndarray:
        scaled = np.concatenate([np.asarray(of(p.astype(np.float32))) for p in photos]) / 127.5 - 1
        values = scaled if output == "linear" else np.arctanh(scaled)
        return values.reshape(-1, 3)

    own, taught = colours(network), colours(teacher)
    # Every seventh pixel was compared.
    np.testing.assert_allclose(own.mean(0), taught.mean(0), atol=0.15 * taught.std())
    np.testing.assert_allclose(np.cov(own.T), np.cov(taught.T), atol=0.2 * taught.var())


@pytest.mark.usefixtures("eagerly")
def test_a_teacher_shows_what_it_makes_of_the_same_pictures(
    config: Config, medium_model: Path, small_model: Path
) -> None:
    config = dataclasses.replace(config, teacher=str(medium_model), teacher_weight=0.5)
    config = dataclasses.replace(config, network="small", init_from=str(small_model))
    trainer = Trainer(config, [read_style(config)], 4, "float32")
    load_initial_weights(trainer.network, "small", {"one": {}}, small_model)
    content = ContentImages(config).batch(0)
    [medium, small] = [load_network(folder) for folder in (medium_model, small_model)]
    pictures = content.astype(np.float32)
    expected = np.mean(np.square(np.asarray(small(pictures)) - np.asarray(medium(pictures))))
    terms = trainer.evaluate(Batch(content, 0))
    assert terms["teacher"] == pytest.approx(expected, rel=1e-3)
    assert terms["weighted/teacher"] == pytest.approx(expected / 2, rel=1e-3)
    taught = np.asarray(trainer.teacher(pictures))
    for _ in range(3):
        trainer.train_step(Batch(content, 0))
    np.testing.assert_array_equal(trainer.teacher(pictures), taught)


def test_a_teacher_has_to_be_there_and_of_one_style(config: Config, several: Path) -> None:
    weighed = dataclasses.replace(config, teacher_weight=0.5)
    [problem] = [said for key, said in problems(weighed) if key == "teacher_weight"]
    assert problem == "0.5 needs a teacher, a model folder"
    for folder, said in (("nowhere", "nowhere"), (str(several), "has several styles")):
        with pytest.raises(UserError, match=f"teacher: .*{said}"):
            Trainer(dataclasses.replace(weighed, teacher=folder), [], 4, "float32")


# What a finished training leaves


def test_a_finished_training_says_what_it_was(
    trained_model: Path, conf_values: dict[str, Any]
) -> None:
    assert load_config(trained_model / "conf.yml") == config_from_mapping(conf_values, "conf")
    result = json.loads((trained_model / "result.json").read_text())
    assert result["steps"] == 6 and result["seconds"] > 0
    assert result["precision"] == "float32" and result["hardware"]
    assert set(result["versions"]) == {"fast-style", "tensorflow", "keras"}
    style_image = Path(conf_values["style_image"]).read_bytes()
    digest = hashlib.sha256(style_image).hexdigest()
    assert list(result["style_image_sha256"].values()) == [digest]
    assert result["broken_pictures"] == 1
    assert result["last_step"].keys() >= {"total", "content", "style", "tv", "learning_rate"}
    # Six steps are enough to come nearer to the style, on a picture that was held out.
    assert result["validation_after"]["style"] < result["validation_before"]["style"]


def test_only_the_newest_checkpoints_are_kept(trained_model: Path) -> None:
    names = sorted(path.name for path in (trained_model / "checkpoints").iterdir())
    assert names == ["00000004.npz", "00000006.npz"]


def test_the_weights_are_those_of_the_last_checkpoint(trained_model: Path) -> None:
    last = newest(trained_model).arrays
    network = {name: array for name, array in last.items() if name.startswith("network/")}
    assert_bit_equal(read_arrays(trained_model / "weights.npz"), network)
    assert any(name.startswith("optimizer/") for name in last)


def test_tensorboard_holds_every_scalar_and_picture(trained_model: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    events = EventAccumulator(str(trained_model / "logs"), size_guidance={"tensors": 0}).Reload()

    def steps(tag: str) -> list[int]:
        return [event.step for event in events.Tensors(tag)]

    scalars = {
        *("loss/total", "loss/content", "loss/style", "loss/tv"),
        *("weighted/content", "weighted/style", "weighted/tv"),
        *("style_layers/relu1_2", "style_layers/relu3_1"),
        *("learning_rate", "style_ramp"),
    }
    for tag in scalars:
        assert steps(tag) == [1, 2, 3, 4, 5, 6], tag
    assert steps("images_per_second") == [2, 3, 4, 5, 6]
    assert steps("validation/total") == [0, 6]
    rates = [float(make_ndarray(e.tensor_proto)) for e in events.Tensors("learning_rate")]
    assert rates[:3] == pytest.approx([5e-4, 1e-3, 1e-3]) and rates[5] < rates[4] < 1e-3
    pictures = {
        "style image/tiny": (0, 32, 32),
        "content and stylized": (6, 32, 64),
        "preview/preview-256": (6, 7, 256),
        "preview/preview-512": (6, 14, 512),
    }
    for tag, (step, height, width) in pictures.items():
        (event,) = events.Tensors(tag)
        # A summary's strings are the width, the height and one PNG for each picture.
        found = event.tensor_proto.string_val
        assert (event.step, int(found[1]), int(found[0])) == (step, height, width), tag
        assert found[2].startswith(b"\x89PNG")


def test_previews_are_jpeg_files_of_the_fixed_pictures(trained_model: Path) -> None:
    sizes = {}
    for path in (trained_model / "previews").iterdir():
        with Image.open(path) as image:
            assert image.format == "JPEG"
            sizes[path.name] = image.size
    assert sizes == {
        "preview-256-step-000006.jpg": (256, 7),
        "preview-512-step-000006.jpg": (512, 14),
    }


# Going on


def test_after_ctrl_c_a_training_ends_with_the_same_weights(
    config: Config,
    trained_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = config.model_folder
    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        press_ctrl_c_in_step(3, patch)
        train(config)
    assert signal.getsignal(signal.SIGINT) is handler
    # The step in flight is finished and saved.
    assert newest(folder).step == 3
    assert "stopped at step 3 of 6; the same command continues" in capsys.readouterr().out
    assert not (folder / "weights.npz").exists() and not (folder / "result.json").exists()

    with caplog.at_level(logging.WARNING, logger="absl"):
        assert train(config) == folder
    assert "continuing from step 3 of 6" in capsys.readouterr().out
    assert_bit_equal(newest(folder).arrays, newest(trained_model).arrays)
    assert_bit_equal(
        read_arrays(folder / "weights.npz"), read_arrays(trained_model / "weights.npz")
    )
    # The broken content image stopped nothing, and is named at the end.
    assert "1 broken pictures were skipped" in caplog.text
    assert caplog.text.count("broken.png") >= 1
    assert json.loads((folder / "result.json").read_text())["steps"] == 6


@pytest.mark.usefixtures("eagerly")
def test_the_temporal_term_is_trained_shown_and_gone_on_with_bit_for_bit(
    config: Config, conf_values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    steady = dataclasses.replace(
        config, temporal_weight=0.01, validation_images=conf_values["validation_images"]
    )
    stops = {"at_once": [3], "in_two": [1, 3]}
    checkpoints = []
    for naming, steps in stops.items():
        named = dataclasses.replace(steady, naming=naming)
        for step in steps:
            with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
                press_ctrl_c_in_step(step, patch)
                train(named)
            assert newest(named.model_folder).step == step
        checkpoints.append(newest(named.model_folder))
    assert_bit_equal(checkpoints[0].arrays, checkpoints[1].arrays)
    terms = checkpoints[0].notes["last_step"]
    assert terms == checkpoints[1].notes["last_step"]
    assert in_one_line(terms).endswith(f" temporal {terms['temporal']:.4g}")
    assert terms["weighted/temporal"] == pytest.approx(0.01 * terms["temporal"], rel=1e-5)
    assert checkpoints[0].notes["validation_before"]["temporal"] > 0

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logs = steady.model_folder.with_name("at_once") / "logs"
    events = EventAccumulator(str(logs), size_guidance={"tensors": 0}).Reload()
    for tag in ("loss/temporal", "weighted/temporal"):
        assert [event.step for event in events.Tensors(tag)] == [1, 2, 3]


def test_a_checkpoint_from_before_a_key_goes_on_where_the_key_is_at_its_default(
    trained_model: Path, conf_values: dict[str, Any]
) -> None:
    checkpoint = newest(trained_model)
    earlier = {key: value for key, value in checkpoint.config.items() if key != "temporal_weight"}
    checkpoint = dataclasses.replace(checkpoint, config=earlier)
    config = config_from_mapping(conf_values, "conf")
    check_same_training(checkpoint, config, hashes(config), trained_model)
    with pytest.raises(UserError, match=r"temporal_weight \(0.0 there, 0.5 now\)"):
        config = dataclasses.replace(config, temporal_weight=0.5)
        check_same_training(checkpoint, config, hashes(config), trained_model)


def test_a_complete_training_says_so_and_changes_nothing(
    trained_model: Path, conf_values: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(trained_model)
    assert train(config_from_mapping(conf_values, "conf")) == trained_model
    assert "is complete: 6 steps. Raise steps" in capsys.readouterr().out
    assert contents(trained_model) == before


@pytest.mark.usefixtures("eagerly")
def test_more_steps_go_on_and_the_folder_no_longer_counts_as_complete(
    config: Config, trained_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    press_ctrl_c_in_step(7, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(dataclasses.replace(config, steps=8))
    assert newest(trained_copy).step == 7
    # Else a stop after step 8 would leave the result of 6 steps, as if it were that of 8.
    assert not (trained_copy / "result.json").exists()


def test_fewer_steps_than_were_trained_are_refused(config: Config, trained_copy: Path) -> None:
    with pytest.raises(UserError, match="is already trained for 6 steps; the conf asks for 5"):
        train(dataclasses.replace(config, steps=5))


def test_a_conf_that_differs_from_the_checkpoints_is_refused_by_key(
    config: Config, trained_copy: Path
) -> None:
    before = contents(trained_copy)
    with pytest.raises(UserError) as error:
        train(dataclasses.replace(config, style_weight=51.0, flip=False))
    message = str(error.value)
    assert message.startswith(f"{trained_copy}: ")
    assert "style_weight (50.0 there, 51.0 now), flip (True there, False now)" in message
    assert "--restart" in message
    assert contents(trained_copy) == before


def test_what_only_observes_a_training_may_change(config: Config, trained_model: Path) -> None:
    changed = dataclasses.replace(
        config, steps=60, log_every=7, preview_every=8, checkpoint_every=9, keep_checkpoints=1
    )
    check_same_training(newest(trained_model), changed, hashes(changed), trained_model)


@pytest.fixture
def copied_files(config: Config, tmp_path: Path) -> Config:
    """The conf with a style image, a loss network and a folder of photos of its own."""
    folder = tmp_path / "copied"
    folder.mkdir()
    copied = {key: str(folder / key) for key in ("style_image", "loss_model_file", "dataset")}
    shutil.copy(config.style_image or "", copied["style_image"])
    shutil.copy(config.loss_model_file, copied["loss_model_file"])
    shutil.copytree(config.dataset, copied["dataset"])
    return dataclasses.replace(config, **copied)


@pytest.mark.usefixtures("trained_copy")
def test_of_files_the_contents_count_and_not_the_paths(
    copied_files: Config, conf_values: dict[str, Any], photo
) -> None:
    same = dataclasses.replace(copied_files, dataset=conf_values["dataset"])
    assert train(same) == same.model_folder
    before = contents(same.model_folder)
    style = Path(same.style_image or "")
    was = hashlib.sha256(style.read_bytes()).hexdigest()
    style.write_bytes(encode_picture(Picture(photo(48, 40, seed=7)), ".png"))
    now = hashlib.sha256(style.read_bytes()).hexdigest()
    for steps in (6, 60):  # complete, or to be gone on with
        with pytest.raises(UserError) as error:
            train(dataclasses.replace(same, steps=steps))
        message = str(error.value)
        assert message.startswith(f"{same.model_folder}: its checkpoint was trained with")
        assert f"_sha256 ({{'tiny': '{was}'}} there, {{'tiny': '{now}'}} now; the file" in message
    assert contents(same.model_folder) == before


@pytest.mark.usefixtures("trained_copy")
def test_another_loss_network_in_the_place_of_the_old_one_is_refused(
    copied_files: Config, conf_values: dict[str, Any]
) -> None:
    same = dataclasses.replace(copied_files, dataset=conf_values["dataset"])
    train(same)
    arrays = read_arrays(Path(same.loss_model_file))
    write_arrays(Path(same.loss_model_file), {n: 2 * array for n, array in arrays.items()})
    with pytest.raises(UserError, match=r"loss_model_file_sha256 \(.* the file is another one"):
        train(same)


def test_a_checkpoint_without_hashes_is_held_against_the_result(
    config: Config, trained_model: Path
) -> None:
    checkpoint = newest(trained_model)
    notes = {key: checkpoint.notes[key] for key in ("last_step", "validation_before")}
    old = dataclasses.replace(checkpoint, notes=notes)
    found = hashes(config)
    check_same_training(old, config, found, trained_model)
    with pytest.raises(UserError, match=r"style_image_sha256 \(.* the file is another one"):
        changed = found | {"style_image_sha256": {"tiny": "0" * 64}}
        check_same_training(old, config, changed, trained_model)
    moved = dataclasses.replace(config, style_image="img/sample.jpg")
    with pytest.raises(UserError, match=r"of style_image \('.*style.png' there, 'img/sample.jpg'"):
        check_same_training(old, moved, found, config.model_folder)  # there is no result


@pytest.mark.usefixtures("eagerly")
def test_a_folder_of_photos_that_grew_is_told(
    copied_files: Config, photo, caplog: pytest.LogCaptureFixture
) -> None:
    config = dataclasses.replace(copied_files, steps=1)
    train(config)
    write_picture(Path(config.dataset) / "new.png", Picture(photo(40, 50, seed=9)))
    told = "dataset has 7 pictures now and had 6 before"
    assert told not in caplog.text
    train(config)  # complete
    assert caplog.text.count(told) == 1
    train(dataclasses.replace(config, steps=2))
    assert caplog.text.count(told) == 2
    train(dataclasses.replace(config, steps=3))
    assert caplog.text.count(told) == 2


@pytest.mark.usefixtures("eagerly")
def test_the_result_has_the_hashes_of_the_files_that_were_trained_on(
    copied_files: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, validate = hashes(copied_files), TrainingLoop.validate

    def and_remove(self: TrainingLoop):
        Path(copied_files.style_image or "").unlink(missing_ok=True)
        return validate(self)

    monkeypatch.setattr(TrainingLoop, "validate", and_remove)
    folder = train(dataclasses.replace(copied_files, steps=1))
    result = json.loads((folder / "result.json").read_text())
    assert {key: result[key] for key in before} == before


@pytest.mark.parametrize(
    "damage", ["cut short", "empty", "a bit of an array", "a bit of the directory"]
)
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(
    trained_copy: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    path = trained_copy / "checkpoints" / "00000006.npz"
    data = bytearray(path.read_bytes())
    if damage == "cut short":
        del data[len(data) // 2 :]
    elif damage == "empty":
        data.clear()
    else:
        # Bytes 8 and 9 of an entry of a zip's directory are flags; the lowest says "encrypted".
        flags = data.index(b"PK\1\2") + 8
        data[flags if damage == "a bit of the directory" else len(data) // 2] ^= 1
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING, logger="absl"):
        assert newest(trained_copy).step == 4
    assert "00000006.npz is damaged" in caplog.text


def test_a_conf_of_an_earlier_version_has_the_first_network_and_kind_of_output() -> None:
    assert Model({"output": "linear"}, {}, Path()).architecture.output == "linear"
    assert Model({}, {}, Path()).architecture.output == "tanh"
    assert Model({}, {}, Path()).architecture.name == "paper"


def test_an_unfinished_folder_gives_the_network_of_its_checkpoint(
    trained_copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    finished = load_network(trained_copy).get_weights()
    for name in ("weights.npz", "conf.yml", "result.json"):
        (trained_copy / name).unlink()
    with caplog.at_level(logging.WARNING, logger="absl"):
        unfinished = load_network(trained_copy).get_weights()
    assert "not finished; its checkpoint of step 6 is used" in caplog.text
    for one, other in zip(finished, unfinished, strict=True):
        np.testing.assert_array_equal(one, other)


# Stopping


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(("style_weight", "what"), [(1e38, "the objective"), (1e32, "optimizer/")])
def test_restart_forgets_the_old_and_a_training_that_is_not_finite_saves_nothing(
    config: Config, trained_copy: Path, style_weight: float, what: str
) -> None:
    (trained_copy / "notes.txt").write_text("mine")
    config = dataclasses.replace(config, style_weight=style_weight, style_ramp=0.0, steps=3)
    config = dataclasses.replace(config, checkpoint_every=1)
    with pytest.raises(UserError) as error:
        train(config, restart=True)
    message = str(error.value)
    assert message.startswith(f"{trained_copy}: ") and what in message
    assert "not finite at step 1; no checkpoint yet" in message
    assert newest_checkpoint(trained_copy) is None
    left = {path.split("/")[0] for path in contents(trained_copy)}
    assert left == {"notes.txt", "logs", "training.lock"}


@pytest.mark.usefixtures("eagerly")
def test_a_training_that_becomes_not_finite_keeps_its_last_good_checkpoint(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(config, steps=4, checkpoint_every=1, log_every=10)
    monkeypatch.setattr(
        "fast_style.training.step.learning_rate", lambda _, step, __: (1e-3, 1e30)[step > 0]
    )
    with pytest.raises(UserError, match=r"at step 2; the last good .* of step 1;") as told:
        train(config)
    checkpoint = newest(config.model_folder)
    assert checkpoint.step == 1
    assert all(np.abs(array).max() < 1e6 for array in checkpoint.arrays.values())
    # What it advises is what goes on.
    monkeypatch.undo()
    again = dataclasses.replace(config, naming="again", init_from=str(config.model_folder))
    assert f"--set init_from={config.model_folder}" in str(told.value)
    assert newest(train(again)).step == 4


def test_a_style_image_that_is_none_is_named_before_anything_is_written(
    config: Config, tmp_path: Path
) -> None:
    (tmp_path / "style.jpg").write_text("no picture")
    config = dataclasses.replace(config, style_image=str(tmp_path / "style.jpg"))
    with pytest.raises(UserError, match=r"style\.jpg: is not a JPEG"):
        train(config)
    assert not config.model_folder.exists()


@pytest.mark.usefixtures("eagerly")
def test_a_training_may_begin_from_another_styles_network(
    conf_values: dict[str, Any], trained_model: Path, tmp_path: Path
) -> None:
    new = {"init_from": str(trained_model), "naming": "second", "model_path": str(tmp_path)}
    there = config_from_mapping(conf_values | new | {"steps": 1, "warmup_steps": 0}, "conf")
    folder = train(there)
    given = json.loads((trained_model / "result.json").read_text())["validation_after"]
    taken = json.loads((folder / "result.json").read_text())["validation_before"]
    assert taken == pytest.approx(given)
    with pytest.raises(UserError, match="absent: no such model folder"):
        train(dataclasses.replace(there, init_from="absent", naming="third"))
    assert not (tmp_path / "third").exists()


def test_a_training_begins_from_its_own_network_only(config: Config, trained_model: Path) -> None:
    medium = dataclasses.replace(config, network="medium", init_from=str(trained_model))
    with pytest.raises(UserError) as told:
        train(medium)
    assert str(told.value) == (
        f"init_from: {trained_model}: has network: paper, but the conf has network: medium; name a "
        "folder with network: medium, or null"
    )
    assert not medium.model_folder.exists()


@pytest.mark.usefixtures("eagerly")
def test_smooth_begins_from_paper_and_paper_from_smooth(
    config: Config, trained_model: Path, tmp_path: Path
) -> None:
    smooth = dataclasses.replace(
        config, network="smooth", naming="smooth", init_from=str(trained_model), steps=1
    )
    folder = train(smooth)
    assert read_model(folder).architecture.doubling == "bilinear"
    back = dataclasses.replace(config, naming="back", init_from=str(folder), steps=1)
    assert read_model(train(back)).architecture.doubling == "nearest"


def test_a_training_goes_on_with_its_own_network_only(config: Config, trained_copy: Path) -> None:
    medium = dataclasses.replace(config, network="medium")
    with pytest.raises(UserError, match=r"network \('paper' there, 'medium' now\)"):
        train(medium)


def test_a_preview_whose_name_the_disk_refuses_is_named_before_the_first_step(
    config: Config, tmp_path: Path, photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "fast_style.training.step.Trainer.train_step", lambda *_: pytest.fail("a step")
    )
    preview = tmp_path / f"{'x' * 245}.png"  # previews/ has more letters behind it
    write_picture(preview, Picture(photo(20, 30)))
    with pytest.raises((UserError, OSError)) as error:
        train(dataclasses.replace(config, preview_images=[str(preview)]))
    assert "xxx" in str(error.value)


def test_a_model_path_that_tensorflow_takes_for_a_glob_is_told_first(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    for model_path, told in [("models", False), ("models [2]", True)]:
        with pytest.raises(UserError, match="no such file or folder"):
            train(dataclasses.replace(config, model_path=model_path, dataset="no where"))
        said = f"model_path: {model_path}: TensorFlow cannot load a SavedModel"
        assert (said in caplog.text) == told


def test_a_model_folder_that_cannot_be_made_is_named(config: Config, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(UserError, match=r"models/tiny: cannot be made"):
        train(config)


def test_the_conf_in_a_model_folder_is_plain_yaml(trained_model: Path) -> None:
    values = yaml.safe_load((trained_model / "conf.yml").read_text())
    assert list(values) == [field.name for field in dataclasses.fields(Config)]
