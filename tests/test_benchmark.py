"""What the benchmark counts and measures, and what it says."""

import json
import sys
import time
from pathlib import Path

import keras
import pytest

from fast_style.benchmark import __main__ as command
from fast_style.benchmark import networks, programs
from fast_style.benchmark.arithmetic import MatmulPeak, convolution_operations, step_operations
from fast_style.benchmark.in_turns import in_turns, runtimes
from fast_style.conf.locations import PROJECT
from fast_style.errors import UserError
from fast_style.network.architecture import BORDER, PAPER, SMOOTH, WIDE
from fast_style.network.layers import resize_convolution
from fast_style.network.transformer_network import build_transformer_network

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
    wide = both + 9 * up + (side // 8) ** 2 * (3 * 3 * 128 * 160 + 9 * 4 * 160 * 128)
    wide += 10 * (side // 8) ** 2 * 3 * 3 * 160 * 160
    assert convolution_operations(build_transformer_network(WIDE), 64, 60) == 2 * wide
    documented = (PROJECT / "docs" / "architecture.md").read_text()
    for name, multiplications in [("paper", paper), ("smooth", smooth), ("wide", wide)]:
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
    kinds = len(runtimes()) * len(networks.precisions())
    assert [record["size"] for record in report["stylize"]] == [32] * kinds + [40] * kinds
    assert all(set(r) == STYLIZE_KEYS and r["seconds"] > 0 for r in report["stylize"])
    assert "peak_fraction" in capsys.readouterr().out


def test_a_step_is_timed_with_and_without_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "LOSS_MODELS", ("vgg_16_half",))
    [record, *_] = networks.train(32, 1, 1)
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


def test_memory_is_that_of_the_process(trained_model: Path) -> None:
    records = programs.memory(trained_model, "tiny", [64])
    assert [record["runtime"] for record in records] == runtimes()
    assert all(50e6 < record["bytes"] < 5e9 for record in records)
