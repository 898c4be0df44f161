"""The built-in loss network's recipe: pruning, training, the card, and its command."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from fast_style.conf.config import Config
from fast_style.conf.vgg_layers import WIDTHS, convolutions
from fast_style.errors import UserError
from fast_style.loss.loss_network import build_loss_network
from fast_style.loss.vgg_weights import read_weights, save_weights
from fast_style.pictures.training_pictures.content_images import ContentImages
from fast_style.train_loss_network import __main__ as program
from fast_style.train_loss_network.distillation import Distillation, features, train
from fast_style.train_loss_network.pruning import fit_convolution, prune, spanning_channels


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """VGG16 and its half with few channels."""
    monkeypatch.setitem(WIDTHS, "vgg_16", (4, 4, 6, 8, 8))
    monkeypatch.setitem(WIDTHS, "vgg_16_half", (2, 2, 3, 4, 4))
    convolutions.cache_clear()
    yield
    convolutions.cache_clear()


@pytest.fixture
def teacher(narrow) -> dict:
    rng = np.random.default_rng(0)
    return {
        name: (
            rng.normal(0, (2 / (9 * inputs)) ** 0.5, (3, 3, inputs, width)).astype(np.float32),
            rng.normal(0, 1, width).astype(np.float32),
        )
        for name, (inputs, width) in convolutions("vgg_16").items()
    }


@pytest.fixture
def batches(photo) -> list[np.ndarray]:
    return [np.stack([photo(32, 32, seed=4 * n + k) for k in range(4)]) for n in range(5)]


@pytest.fixture
def config(photos) -> Config:
    return Config(
        naming="loss_network",
        dataset=str(photos),
        image_size=32,
        batch_size=2,
        learning_rate=0.02,
        schedule="cosine",
        warmup_steps=1,
        steps=12,
        crop="random",
    )


def test_channels_that_repeat_others_are_not_chosen() -> None:
    rng = np.random.default_rng(0)
    independent = rng.normal(size=(500, 3))
    channels = np.concatenate([independent, independent @ rng.normal(size=(3, 3))], axis=1)
    chosen = spanning_channels(channels.T @ channels, 3)
    assert list(chosen) == sorted(set(chosen))
    rest = channels - channels[:, chosen] @ np.linalg.lstsq(channels[:, chosen], channels)[0]
    assert np.abs(rest).max() < 1e-9


def test_a_faint_channel_of_its_own_comes_before_a_loud_copy() -> None:
    rng = np.random.default_rng(0)
    loud, faint = 100 * rng.normal(size=(2, 500)), rng.normal(size=500)
    channels = np.stack([loud[0], loud[0] * 1.01, faint, loud[1]], axis=1)
    assert list(spanning_channels(channels.T @ channels, 3)) == [1, 2, 3]


def test_least_squares_find_the_convolution_that_made_the_outputs() -> None:
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 3, 4, 5)).astype(np.float32)
    bias = rng.normal(size=5).astype(np.float32)
    inputs = [tf.constant(rng.normal(size=(2, 16, 16, 4)), tf.float32) for _ in range(3)]
    pairs = [(x, tf.nn.conv2d(x, kernel, 1, "SAME") + bias) for x in inputs]
    found, found_bias = fit_convolution(pairs, seed=0)
    np.testing.assert_allclose(found, kernel, atol=5e-3)
    np.testing.assert_allclose(found_bias, bias, atol=5e-3)


def test_at_full_width_pruning_gives_the_teacher_itself(teacher, batches) -> None:
    widths = {name: kernel.shape[-1] for name, (kernel, _) in teacher.items()}
    student, chosen = prune(teacher, widths, batches)
    assert all(list(chosen[name]) == list(range(width)) for name, width in widths.items())
    wanted, found = features(teacher, batches[0]), features(student, batches[0])
    for name in ("block1_conv2", "block3_conv3"):
        distance = np.square(found[name] - wanted[name]).sum() / np.square(wanted[name]).sum()
        assert distance < 1e-3


def test_features_are_those_of_the_loss_network(tmp_path, teacher, batches) -> None:
    save_weights(tmp_path / "teacher.npz", teacher)
    file = str(tmp_path / "teacher.npz")
    network = build_loss_network("vgg_16", file, ["relu2_2", "relu5_3"], "avg")
    found = features(read_weights("vgg_16", file), batches[0])
    images = batches[0].astype(np.float32)
    np.testing.assert_allclose(found["block2_conv2"], network(images)["relu2_2"], atol=1e-2)
    np.testing.assert_allclose(found["block5_conv3"], network(images)["relu5_3"], atol=1e-2)


def _pruned(config: Config, teacher: dict, batches: list[np.ndarray]) -> Distillation:
    widths = {layer: width for layer, (_, width) in convolutions("vgg_16_half").items()}
    student, chosen = prune(teacher, widths, batches)
    return Distillation(config, teacher, student, chosen, "float32")


def test_training_brings_the_student_nearer(tmp_path, config, teacher, batches) -> None:
    distillation = _pruned(dataclasses.replace(config, steps=60), teacher, batches)
    content_images = ContentImages(distillation.config)
    before = distillation.measure(content_images.batch(100))
    train(distillation, content_images, tmp_path / "checkpoint.npz")
    after = distillation.measure(content_images.batch(100))
    assert sum(after.values()) < 0.9 * sum(before.values())
    images = batches[0].astype(np.float32)
    wanted = features(teacher, images[:1])["block1_conv1"].numpy()
    wanted = wanted[..., distillation.chosen["block1_conv1"]]
    found = features(distillation.student(), images[:1])["block1_conv1"].numpy()
    distance = np.square(found - wanted).sum() / np.square(wanted).sum()
    alone = distillation.measure(batches[0][:1])["block1_conv1"]
    assert alone == pytest.approx(distance, rel=1e-3)


def test_an_interrupted_training_arrives_at_the_same_weights(
    tmp_path, config, teacher, batches
) -> None:
    images, checkpoint = ContentImages(config), tmp_path / "checkpoint.npz"
    whole = _pruned(config, teacher, batches)
    train(whole, images, tmp_path / "other.npz")
    first = _pruned(config, teacher, batches)
    for step in range(5):
        first.train_step(images.batch(step))
    first.save(checkpoint)
    second = _pruned(config, teacher, batches)
    second.restore(checkpoint)
    train(second, images, checkpoint)
    for a, b in zip(whole.variables, second.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    other = _pruned(dataclasses.replace(config, seed=1), teacher, batches)
    with pytest.raises(UserError, match=r"another teacher or other flags \(seed\)"):
        other.restore(checkpoint)


def _run(monkeypatch, *flags: object) -> None:
    monkeypatch.setattr(sys, "argv", ["train_loss_network", *map(str, flags)])
    program.main()


def test_the_command_writes_weights_and_their_card(
    tmp_path, photos, teacher, monkeypatch, capsys
) -> None:
    save_weights(tmp_path / "teacher.npz", teacher)
    output = tmp_path / "half.npz"
    flags = ("--dataset", photos, "--validation-images", photos / "[0-3].png", "--image-size", 32)
    flags += ("--teacher", tmp_path / "teacher.npz", "--steps", 3, "--batch-size", 64)
    _run(monkeypatch, *flags, "--folder", tmp_path / "run", "--output", output)
    assert read_weights("vgg_16_half", str(output)).keys() == convolutions("vgg_16_half").keys()
    card = (tmp_path / "half.md").read_text()
    assert "| block5_conv3 |" in card and "3 steps of 64 random crops" in card
    assert "Over 4 photos" in card and "teacher.npz" in card


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--output", "half.bin"], "--output half.bin: its name must end in .npz"),
        (["--image-size", "16"], "--image-size 16: must be at least 32"),
        (["--learning-rate", "2"], "--learning-rate 2.0: must be between 0 and 1"),
        (["--learning-rate", "nan"], "--learning-rate nan: must be between 0 and 1"),
        (["--seed", "-1"], "--seed -1: must be between 0 and 2147483647"),
        (["--batch-size", "0"], "--batch-size: 0 is not at least 1"),
        (["--validation-images", "none/*.jpg"], "--validation-images: none"),
        (["--dataset", "no folder"], "no folder: no such file or folder"),
        (["--teacher", "none.npz"], "--teacher none.npz: cannot be used as vgg_16: .* no file"),
    ],
)
def test_wrong_flags_are_refused_before_any_work(
    flags, message, photos, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        _run(monkeypatch, "--dataset", photos, "--validation-images", photos / "0.png", *flags)


@pytest.mark.parametrize("value", [np.nan, 1e6])
def test_a_training_that_diverges_in_its_last_step_is_reported(
    value, tmp_path, config, teacher, batches
) -> None:
    distillation = _pruned(dataclasses.replace(config, steps=1), teacher, batches)
    step = distillation.train_step

    def diverging(images: np.ndarray) -> float:
        distance = step(images)
        kernel = distillation.variables[0]
        kernel.assign(tf.fill(kernel.shape, value))
        return distance

    distillation.train_step = diverging  # type: ignore[method-assign]
    checkpoint = tmp_path / "checkpoint.npz"
    with pytest.raises(UserError, match=r"diverged at step 1 \(block1_conv1 .* below 0.02"):
        train(distillation, ContentImages(distillation.config), checkpoint)
    assert not checkpoint.exists()


def test_a_teacher_with_a_layer_of_zeros_is_refused(teacher, batches) -> None:
    kernel, bias = teacher["block2_conv1"]
    teacher["block2_conv1"] = (0 * kernel, -np.ones_like(bias))
    widths = {layer: width for layer, (_, width) in convolutions("vgg_16_half").items()}
    with pytest.raises(UserError, match="--teacher: block2_conv1 has no activation above 0"):
        prune(teacher, widths, batches)


def test_a_damaged_teacher_and_photo_are_named(tmp_path, photos, teacher, monkeypatch) -> None:
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes((photos / "0.png").read_bytes()[:60])
    teacher_file = tmp_path / "teacher.npz"
    save_weights(teacher_file, teacher)
    flags = ("--dataset", photos, "--teacher", teacher_file, "--image-size", 32)
    flags += ("--folder", tmp_path / "run", "--output", tmp_path / "half.npz")
    with pytest.raises(UserError, match=r"--validation-images: .*damaged\.png"):
        _run(monkeypatch, *flags, "--validation-images", damaged)
    teacher_file.write_bytes(teacher_file.read_bytes()[:500])
    with pytest.raises(UserError, match=r"--teacher .*teacher\.npz: cannot be used as vgg_16"):
        _run(monkeypatch, *flags, "--validation-images", photos / "0.png")
    assert not (tmp_path / "half.npz").exists()


def test_the_same_command_continues_a_training_of_one_step(
    tmp_path, photos, teacher, monkeypatch, capsys
) -> None:
    save_weights(tmp_path / "teacher.npz", teacher)
    flags = ("--dataset", "synthetic", "--validation-images", photos / "0.png", "--image-size", 32)
    flags += ("--teacher", tmp_path / "teacher.npz", "--steps", 1, "--batch-size", 64)
    flags += ("--folder", tmp_path / "run", "--output", tmp_path / "half.npz")
    _run(monkeypatch, *flags)
    weights = (tmp_path / "half.npz").read_bytes()
    (tmp_path / "half.npz").unlink()
    _run(monkeypatch, *flags)
    assert "continuing from step 1 of 1" in capsys.readouterr().out
    assert (tmp_path / "half.npz").read_bytes() == weights


def test_a_checkpoint_that_is_none_is_refused(tmp_path: Path, config, teacher, batches) -> None:
    (tmp_path / "checkpoint.npz").write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"is damaged or not an \.npz"):
        _pruned(config, teacher, batches).restore(tmp_path / "checkpoint.npz")
