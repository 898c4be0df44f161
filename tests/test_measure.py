"""The yardstick: what a network's objective is worth in iterations of L-BFGS."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from fast_style import measure as yardstick
from fast_style.artefacts import frame_shift
from fast_style.checkpoints import copy_model, load_network, read_config, read_model
from fast_style.errors import UserError
from fast_style.loss.perceptual_loss import PerceptualLoss
from fast_style.pictures.images import flatten_on_white, read_picture
from fast_style.pictures.pixels import square
from fast_style.pictures.style_image import prepare_style_image
from fast_style.stylize import Stylizer


def run(monkeypatch: pytest.MonkeyPatch, *flags: str | Path) -> None:
    monkeypatch.setattr(sys, "argv", ["measure", *map(str, flags)])
    yardstick.main()


@pytest.mark.parametrize(
    ("total", "iterations"), [(12, 0), (10, 0), (7, 0.75), (6, 1), (5, 1.5), (4, 2), (3, 3), (1, 3)]
)
def test_iterations_equalled_are_read_off_the_curve(total: float, iterations: float) -> None:
    assert yardstick.iterations_equalled(total, np.array([10.0, 6, 4, 3])) == iterations


def test_a_measured_model_says_what_it_is_worth(
    trained_model: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    copy_model(read_model(trained_model), folder)
    flags = ["--model", folder, "--images", photos / "[0-2].png", "--sizes", "96", "104"]
    run(monkeypatch, *flags, "--optimized", "1", "--iterations", "3")
    measured = json.loads((folder / "measure.json").read_text())
    assert list(measured["sizes"]) == ["96", "104"] and measured["pictures"] == 3
    assert read_picture(folder / "measure.png").rgb.std() > 0

    config, network = read_config(folder), load_network(folder)
    objective = PerceptualLoss(config, [[prepare_style_image(config)]])
    totals, contents = [], []
    for number in range(3):
        content = square(flatten_on_white(read_picture(photos / f"{number}.png")), 96)
        contents.append(content)
        pixels = content[None].astype(np.float32)
        stylized = np.clip(np.rint(network(pixels)), 0, 255)
        targets = objective.content_targets(pixels)
        totals.append(float(objective(stylized, targets)["total"]))
        if number == 0:
            start = float(objective(pixels, targets)["total"])
    small = measured["sizes"]["96"]
    assert small["network"]["total"]["mean"] == pytest.approx(np.mean(totals), rel=0.01)
    assert small["network"]["total"]["spread"] == pytest.approx(np.std(totals), rel=0.05)
    assert small["network_total_on_the_same"] == pytest.approx(totals[0], rel=0.01)
    assert small["lbfgs_from"]["content"]["totals"][0] == pytest.approx(start, rel=1e-3)
    for name in ("content", "noise"):
        totals = small["lbfgs_from"][name]["totals"]
        assert totals == sorted(totals, reverse=True) and len(totals) == 4
    expected = 500 * small["seconds_per_lbfgs_iteration"] / small["seconds_per_pass"]
    assert small["times_faster"] == pytest.approx(expected)
    stylizer, middle = Stylizer(folder), (slice(24, 72), slice(24, 72))
    shifts = [
        frame_shift(stylizer(content[middle]), stylizer(content)[middle]) for content in contents
    ]
    assert small["artefacts"]["frame"] == pytest.approx(np.mean(shifts), rel=0.05)

    assert "104" in capsys.readouterr().out
    run(monkeypatch, "--compare", folder, folder)
    assert capsys.readouterr().out.count("other") == 4


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--model and --images say what to measure"),
        (["--model", "models/candy"], "go together"),
        (["--model", "absent", "--images", "."], "absent: no such model folder"),
        (["--compare", "conf"], "holds no measure.json"),
        (["--model", "m", "--images", ".", "--sizes", "32"], "--sizes 32: is too small"),
    ],
)
def test_bad_flags(
    flags: list[str], message: str, monkeypatch: pytest.MonkeyPatch, photos: Path
) -> None:
    monkeypatch.chdir(Path(__file__).parent.parent)
    flags = [str(photos / "[0-2].png") if flag == "." else flag for flag in flags]
    with pytest.raises(UserError) as error:
        run(monkeypatch, *flags)
    assert message in str(error.value)
