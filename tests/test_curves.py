"""Trainings beside each other."""

import sys
from pathlib import Path

import numpy as np
import pytest

from fast_style.curves import __main__ as program
from fast_style.curves.totals import read_totals, smoothed, steps_to_reach
from fast_style.errors import UserError
from fast_style.pictures.images import read_picture


def test_a_mean_is_over_the_steps_that_end_there() -> None:
    steps = np.array([10, 20, 30, 45])
    means = smoothed(steps, np.array([4.0, 2.0, 6.0, 1.0]), 20)
    np.testing.assert_allclose(means, [4.0, 3.0, 4.0, 3.5])


def test_what_rises_again_has_not_reached_it() -> None:
    means = np.array([9.0, 2, 2, 5, 3, 2, 2])
    assert steps_to_reach(np.arange(7), means, 3.0, 1) == 4
    assert steps_to_reach(np.arange(7), means, 1.0, 1) is None


def test_a_mean_over_too_few_steps_reaches_nothing() -> None:
    steps = np.arange(1, 7)
    assert steps_to_reach(steps, np.array([1.0, 5, 4, 3, 2, 1]), 3.0, 3) == 4
    assert steps_to_reach(steps, np.full(6, 9.0), 3.0, 3) is None


def test_curves_of_a_training_are_drawn(
    trained_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    pytest.importorskip("matplotlib")
    steps, totals = read_totals(trained_model)
    assert list(steps) == sorted(set(steps)) and np.isfinite(totals).all()
    output = tmp_path / "curves.png"
    arguments = [str(trained_model), str(trained_model), "--window", "1", "--output", str(output)]
    monkeypatch.setattr(sys, "argv", ["curves", *arguments])
    program.main()
    assert f"ends at {totals[-1]:.3f} after {steps[-1]} steps" in capsys.readouterr().out
    assert read_picture(output).rgb.std() > 0


def test_a_folder_without_logs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="contain no totals of a training"):
        read_totals(tmp_path)
