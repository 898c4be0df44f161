"""Training killed without warning goes on as if nothing had happened."""

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from fast_style.conf.vgg_layers import convolutions
from fast_style.loss.vgg_weights import save_weights
from fast_style.model_folder.checkpoint import newest_checkpoint
from fast_style.model_folder.layout import remove_unfinished
from fast_style.model_folder.npz import read_arrays

PROJECT = Path(__file__).resolve().parent.parent
KILLS = 5
STEPS = 60


# Without TensorFlow, whose threads a fork would lose.
SAVER = """
import os, sys
from pathlib import Path
import numpy as np
from fast_style.model_folder.checkpoint import Checkpoint
from tests.faults import Kill, struck

def save(folder, step):
    arrays = {"network/a": np.full(5000, float(step))}
    notes = {"last_step": {}, "validation_before": None}
    Checkpoint(step, 1.0, "float32", {}, notes, arrays).save(folder, keep=1)

status, number = 1, 0
while status:
    number += 1
    folder = Path(sys.argv[1]) / str(number)
    save(folder, 2)
    process = os.fork()
    if not process:
        with struck(folder, Kill(number)):
            save(folder, 4)
        os._exit(0)
    status = os.waitpid(process, 0)[1]
"""


def test_a_kill_at_any_moment_of_a_checkpoint_leaves_the_one_before_or_all_of_it(tmp_path):
    saver = subprocess.run(
        [sys.executable, "-c", SAVER, tmp_path], cwd=PROJECT, capture_output=True, text=True
    )
    assert saver.returncode == 0, saver.stderr
    found = []
    for folder in sorted(tmp_path.iterdir(), key=lambda folder: int(folder.name)):
        for path in (folder / "checkpoints").glob("[0-9]*"):
            assert (read_arrays(path)["network/a"] == int(path.stem)).all()
        found.append(newest_checkpoint(folder).step)
        remove_unfinished(folder)
        assert {path.name for path in folder.rglob("*")} <= {
            *("checkpoints", "00000002.npz", "00000004.npz")
        }
    # Until the rename the old one; from the flush of the folder on, before the old one goes, the
    # new one.
    assert found == sorted(found) and found.count(2) >= 5 and found.count(4) == 3


@pytest.fixture
def conf(tmp_path):
    rng = np.random.default_rng(0)
    weights = {
        name: (
            rng.normal(0, (2 / (9 * inputs)) ** 0.5, (3, 3, inputs, width)).astype(np.float32),
            np.zeros(width, np.float32),
        )
        for name, (inputs, width) in convolutions("vgg_16_half").items()
    }
    save_weights(tmp_path / "weights.npz", weights)
    path = tmp_path / "conf.yml"
    path.write_text(
        yaml.safe_dump(
            {
                "base": str(PROJECT / "conf" / "small.yml"),
                "loss_model_file": str(tmp_path / "weights.npz"),
                "model_path": str(tmp_path),
                "image_size": 32,
                "batch_size": 2,
                "steps": STEPS,
                "warmup_steps": 5,
                "checkpoint_every": 3,
                "preview_every": STEPS,
            }
        )
    )
    return path


def start(conf: Path, naming: str) -> subprocess.Popen:
    command = [sys.executable, "train.py", "-c", str(conf), "--set", f"naming={naming}"]
    return subprocess.Popen(
        command, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


@pytest.mark.slow
def test_final_weights_are_bit_equal_after_kills_at_random_moments(conf, tmp_path):
    assert start(conf, "whole").wait() == 0
    chance = random.Random(0)
    kills = 0
    while kills < KILLS:
        before = newest_step(tmp_path / "killed")
        training = start(conf, "killed")
        # Some way beyond what is there, so that every run adds something before it dies.
        wanted = before + chance.randint(1, STEPS // (KILLS + 1) - 2)
        while newest_step(tmp_path / "killed") < wanted and training.poll() is None:
            time.sleep(0.02)
        time.sleep(chance.random() * 0.5)
        if training.poll() is None:
            training.kill()
            kills += 1
        training.wait()
        if newest_step(tmp_path / "killed") >= STEPS:
            break
    assert kills >= 3
    assert start(conf, "killed").wait() == 0
    whole = np.load(tmp_path / "whole" / "weights.npz")
    killed = np.load(tmp_path / "killed" / "weights.npz")
    assert whole.files == killed.files
    for name in whole.files:
        assert whole[name].tobytes() == killed[name].tobytes(), name


def newest_step(folder: Path) -> int:
    steps = [int(path.stem) for path in (folder / "checkpoints").glob("[0-9]*.npz")]
    return max(steps, default=0)
