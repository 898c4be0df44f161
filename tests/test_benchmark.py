"""What the benchmark counts and measures, and what it says."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from fast_style import errors
from fast_style.benchmark import __main__ as command
from fast_style.benchmark import networks, programs
from fast_style.benchmark.arithmetic import MatmulPeak, convolution_operations, step_operations
from fast_style.benchmark.in_turns import in_turns, runtimes
from fast_style.conf.locations import PROJECT
from fast_style.errors import UserError
from fast_style.network.architecture import BORDER, MEDIUM, PAPER, SMALL, SMOOTH
from fast_style.network.layers import resize_convolution
from fast_style.network.transformer_network import build_transformer_network
from tests.conftest import Photo

STYLIZE_KEYS = {"size", "runtime", "precision", "seconds", "peak_fraction"}


def test_the_operations_are_those_of_a_loop_over_the_layers() -> None:
    side = 64 + 2 * BORDER  # of a 64 x 64 picture inside the network
    both = side**2 * 9 * 9 * 3 * 32  # the first convolution
    both += (side // 2) ** 2 * 3 * 3 * 32 * 64 + (side // 4) ** 2 * 3 * 3 * 64 * 128
    both += side**2 * 9 * 9 * 32 * 3
    up = (side // 4) ** 2 * 4 * 128 * 64 + (side // 2) ** 2 * 4 * 64 * 32  # for each tap
    residual = 10 * (side // 4) ** 2 * 3 * 3 * 128 * 128
    paper, smooth = (both + taps * up + residual for taps in (4, 9))
    assert convolution_operations(build_transformer_network(PAPER), 64, 64) == 2 * paper
    assert convolution_operations(build_transformer_network(SMOOTH), 64, 64) == 2 * smooth
    medium = 2 * side**2 * 9 * 9 * 3 * 16 + 10 * (side // 8) ** 2 * 3 * 3 * 128 * 128
    for halved, (inputs, outputs) in zip((2, 4, 8), ((16, 48), (48, 96), (96, 128)), strict=True):
        medium += (1 + 4) * (side // halved) ** 2 * 3 * 3 * inputs * outputs  # down and up
    assert convolution_operations(build_transformer_network(MEDIUM), 64, 60) == 2 * medium
    small = 10 * (side // 8) ** 2 * 3 * 3 * 64 * 64
    for halved, (inputs, outputs) in zip((2, 4, 8), ((3, 24), (24, 48), (48, 64)), strict=True):
        small += (1 + 4) * (side // halved) ** 2 * 3 * 3 * inputs * outputs  # down and up
    assert convolution_operations(build_transformer_network(SMALL), 64, 60) == 2 * small
    documented = (PROJECT / "docs" / "architecture.md").read_text()
    for name, multiplications in [
        ("paper", paper),
        ("smooth", smooth),
        ("medium", medium),
        ("small", small),
    ]:
        [row] = [line for line in documented.splitlines() if line.startswith(f"| `{name}` |")]
        assert row.endswith(f" {multiplications // side**2:,} |")


def test_a_step_is_three_passes_of_what_learns_and_two_of_what_judges() -> None:
    pictures = keras.Input((None, None, 3))
    network = keras.Model(pictures, resize_convolution(pictures, 4, name="up"))
    one = convolution_operations(network, 8, 8)
    assert one == 2 * 16 * 16 * 4 * 3 * 4
    assert step_operations(network, network, network, 8) == 6 * one


def test_the_peak_is_the_fastest_of_all() -> None:
    peak = MatmulPeak("float32")
    found = []
    for _ in range(3):
        peak.measure()
        found.append(peak.best)
    assert found == sorted(found) and found[0] > 0


def test_tasks_take_turns_and_the_first_round_is_not_counted() -> None:
    order = []

    def task(name: str, seconds: list[float]) -> None:
        order.append(name)
        time.sleep(seconds.pop(0))

    slow, fast = [0.3, 0.02, 0.02, 0.02], [0.3, 0.0, 0.0, 0.0]
    medians = in_turns([lambda: task("slow", slow), lambda: task("fast", fast)], 3)
    assert order == ["slow", "fast"] * 4
    assert 0.3 > medians[0] > medians[1]


def test_every_size_runtime_and_precision_has_its_line(
    trained_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    arguments = ["stylize", "--model", str(trained_model), "--sizes", "32", "40", "--rounds", "1"]
    arguments += ["--json", str(tmp_path / "figures.json")]
    monkeypatch.setattr(sys, "argv", ["benchmark", *arguments])
    command.main()
    report = json.loads((tmp_path / "figures.json").read_text())
    kinds = len(runtimes()) * len(networks.precisions()) + ("openvino" in runtimes())
    assert [record["size"] for record in report["stylize"]] == [32] * kinds + [40] * kinds
    assert all(set(r) == STYLIZE_KEYS and r["seconds"] > 0 for r in report["stylize"])
    assert "peak_fraction" in capsys.readouterr().out


def test_a_step_is_timed_with_and_without_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "LOSS_MODELS", ("vgg_16_half",))
    [record, *_] = networks.train("smooth", 32, 1, 1)
    assert record["loss_model"] == "vgg_16_half" and record["precision"] == "float32"
    assert record["images_per_second"] == pytest.approx(1 / record["seconds_per_step_with_reading"])
    assert record["seconds_per_step"] > 0 and record["peak_fraction"] > 0


def test_another_program_takes_turns_with_ours(trained_model: Path) -> None:
    copy = (
        f"{sys.executable} -c 'import shutil, sys; shutil.copy(*sys.argv[1:])' {{input}} {{output}}"
    )
    [record] = programs.against(copy, trained_model, "tiny", [24], 1)
    assert record["times_faster"] == record["other_seconds"] / record["seconds"] < 1


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("other.py {input}", "must contain {input} and {output}"),
        ("not-there-at-all {input} {output}", "cannot be run: No such file or directory"),
        (f"{sys.executable} -c 'raise ValueError(3)' {{input}} {{output}}", "ValueError: 3"),
    ],
)
def test_a_program_that_fails_is_named(trained_model: Path, other: str, said: str) -> None:
    with pytest.raises(UserError) as told:
        programs.against(other, trained_model, "tiny", [24], 1)
    assert said in str(told.value)


# PyTorch's example

PUBLISHED = [  # filters, channels and side of the kernels: Johnson et al., supplement, table 1
    *((32, 3, 9), (64, 32, 3), (128, 64, 3)),
    *[(128, 128, 3)] * 10,
    *((64, 128, 3), (32, 64, 3), (3, 32, 9)),
]


def _examples_network() -> Any:
    torch = pytest.importorskip("torch", reason="PyTorch is an optional extra")
    torch.manual_seed(0)
    from fast_style.benchmark.pytorch_example import transformer_net

    return transformer_net()


def test_the_example_has_the_published_layers() -> None:
    parameters = [tuple(one.shape) for one in _examples_network().parameters()]
    kernels = [shape for shape in parameters if len(shape) == 4]
    assert kernels == [(filters, channels, side, side) for filters, channels, side in PUBLISHED]
    biases = sum(filters for filters, _, _ in PUBLISHED)
    scales_and_shifts = 2 * (biases - 3)  # no normalization after the last convolution
    assert [shape for shape in parameters if len(shape) not in (1, 4)] == []
    weights = sum(filters * channels * side**2 for filters, channels, side in PUBLISHED)
    total = sum(int(np.prod(shape)) for shape in parameters)
    assert total == weights + biases + scales_and_shifts == 1_679_235


def test_the_example_computes_what_its_layers_say(photo: Photo) -> None:
    pytest.importorskip("torch")
    from fast_style.benchmark import pytorch_example

    network = _examples_network()
    arrays = [one.detach().cpu().numpy() for one in network.parameters()]
    picture = photo(24, 32)[None]

    def convolved(features: np.ndarray, stride: int = 1) -> np.ndarray:
        kernel, bias = arrays.pop(0).transpose(2, 3, 1, 0), arrays.pop(0)
        beside = kernel.shape[0] // 2
        mirrored = np.pad(features, [(0, 0), (beside, beside), (beside, beside), (0, 0)], "reflect")
        return np.asarray(keras.ops.conv(mirrored, kernel, stride)) + bias

    def normalized(features: np.ndarray) -> np.ndarray:
        mean, variance = features.mean((1, 2)), features.var((1, 2))
        return (features - mean) / np.sqrt(variance + 1e-5) * arrays.pop(0) + arrays.pop(0)

    features = picture.astype(np.float32)
    for stride in (1, 2, 2):
        features = np.maximum(normalized(convolved(features, stride)), 0)
    for _ in range(5):
        inside = np.maximum(normalized(convolved(features)), 0)
        features = features + normalized(convolved(inside))
    for _ in range(2):
        doubled = features.repeat(2, 1).repeat(2, 2)
        features = np.maximum(normalized(convolved(doubled)), 0)
    expected = convolved(features)
    assert arrays == []
    pictures = pytorch_example.as_tensor(picture)
    found = network(pictures).detach().cpu().numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    stylized = pytorch_example.stylize(network, pictures)
    assert stylized.shape == picture.shape and stylized.dtype == np.uint8


def test_the_example_trains_its_network_alone(photo: Photo) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is an optional extra")
    torch.manual_seed(0)
    from fast_style.benchmark.pytorch_example import Training

    training = Training(np.stack([photo(32, 32, seed=seed) for seed in range(2)]))
    before = [one.clone() for one in training.transformer.parameters()]
    features = training.vgg(training.pictures)
    assert [tuple(one.shape) for one in features] == [
        (2, 64, 32, 32),
        (2, 128, 16, 16),
        (2, 256, 8, 8),
        (2, 512, 4, 4),
    ]
    losses = [training() for _ in range(5)]
    assert losses[-1] < losses[0]
    after = list(training.transformer.parameters())
    assert all((one != other).any() for one, other in zip(before, after, strict=True))
    assert all(
        (one == other).all()
        for one, other in zip(features, training.vgg(training.pictures), strict=True)
    )


def test_the_example_takes_turns_with_ours(
    trained_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="PyTorch is an optional extra")
    monkeypatch.setattr(networks, "LOSS_MODELS", ("vgg_16_half",))
    report = tmp_path / "figures.json"
    given = ["--against-pytorch", "--sizes", "32", "--rounds", "1", "--json", str(report)]
    compared = {}
    for what in (["stylize", "--model", str(trained_model)], ["train", "--batch-size", "1"]):
        monkeypatch.setattr(sys, "argv", ["benchmark", *what, *given])
        command.main()
        [compared[what[0]]] = json.loads(report.read_text())["against"]
    assert compared["stylize"]["size"] == 32 and compared["train"]["loss_model"] == "vgg_16_half"
    for what, prefix in (("stylize", ""), ("stylize", "pass_"), ("train", "")):
        ours, theirs, times = (
            compared[what][f"{prefix}{key}"] for key in ("seconds", "other_seconds", "times_faster")
        )
        assert times == theirs / ours and ours > 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["train"], "--against-pytorch needs torch: pip install 'fast-style[benchmark]'"),
        (["memory"], "--against-pytorch goes with stylize and train, not with memory"),
        (["stylize", "--against", "x"], "not allowed with argument"),
    ],
)
def test_what_pytorch_cannot_be_compared_with_is_one_line(
    flags: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["benchmark", *flags, "--against-pytorch"])
    with pytest.raises(UserError) as told:
        command.main()
    assert said in str(told.value)


def test_memory_is_that_of_the_process(trained_model: Path) -> None:
    records = programs.memory(trained_model, "tiny", [64])
    assert [record["runtime"] for record in records] == runtimes()
    assert all(50e6 < record["bytes"] < 5e9 for record in records)
