"""Training on several devices, and by several workers, each a process on this machine."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from fast_style.conf.conf_file import load_config
from fast_style.conf.config import Config
from fast_style.errors import UserError
from fast_style.model_folder.npz import read_arrays
from fast_style.pictures.training_pictures.content_images import ContentImages
from fast_style.training.loop import train
from fast_style.training.replicas import Replicas
from fast_style.training.step import Batch, Trainer

PROJECT = Path(__file__).resolve().parents[1]
STEPS = 4


@pytest.fixture
def conf(conf_values: dict[str, Any], tmp_path: Path) -> Path:
    """A training whose steps are so small that rounding stays what it is."""
    values = conf_values | {
        "batch_size": 4,
        "steps": STEPS,
        "model_path": str(tmp_path),
        "validation_images": None,
        "preview_images": [],
        "learning_rate": 1e-6,
    }
    path = tmp_path / "tiny.yml"
    path.write_text(yaml.safe_dump(values))
    return path


def start(replicas: int, conf: Path, *overrides: str, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.train_in_replicas", str(replicas), str(conf), *overrides],
        cwd=PROJECT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def totals_here(conf: Path, *overrides: str) -> list[float]:
    """Those of a training in this process, on its one device."""
    step, found = Trainer.train_step, []

    def noted(self: Trainer, batch: Batch) -> dict[str, float]:
        terms = step(self, batch)
        found.append(terms["total"])
        return terms

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "train_step", noted)
        train(load_config(str(conf), list(overrides)))
    return found


def totals(training: subprocess.Popen) -> list[float]:
    """What it prints of its steps, once it has ended well."""
    out, err = training.communicate(timeout=600)
    assert training.returncode == 0, err
    return [float(line.split()[1]) for line in out.splitlines() if line.startswith("total ")]


@pytest.fixture
def tf_configs() -> list[dict[str, str]]:
    """TF_CONFIG for each of two workers on free ports."""
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        workers = [f"127.0.0.1:{each.getsockname()[1]}" for each in (one, other)]
    return [
        {
            "TF_CONFIG": json.dumps(
                {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
            )
        }
        for index in range(2)
    ]


def test_shares_of_a_batch_are_the_batch(photos: Path) -> None:
    config = Config(
        naming="a", dataset=str(photos), image_size=32, batch_size=6, seed=3, crop="random"
    )

    def images(share: range | None) -> ContentImages:
        return ContentImages(config, share=share)

    parts = [images(range(0, 2)), images(range(2, 6))]
    for step in range(3):
        whole = images(None).batch(step)
        assert (np.concatenate([part.batch(step) for part in parts]) == whole).all()
    ahead = parts[1].batches(2)
    assert (next(ahead) == images(None).batch(2)[2:]).all()
    ahead.close()


def test_one_device_takes_whole_batches() -> None:
    replicas = Replicas("none", 3)
    assert replicas.is_chief and replicas.count == 1 and replicas.share == range(3)
    assert replicas.any_worker([1]) and not replicas.any_worker([])


@pytest.mark.parametrize(
    ("tf_config", "said"),
    [
        (None, "TF_CONFIG '' does not contain the cluster and this worker's task (JSONDecodeError"),
        ("{", "TF_CONFIG '{' does not contain the cluster and this worker's task (JSONDecodeError"),
        ('{"cluster": {"worker": ["a:1"]}}', "(KeyError: 'task')"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', "IndexError"),
    ],
)
def test_a_wrong_tf_config_is_told(
    tf_config: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if tf_config is not None:
        monkeypatch.setenv("TF_CONFIG", tf_config)
    with pytest.raises(UserError, match="TF_CONFIG") as error:
        Replicas("multi_worker", 4)
    assert said in str(error.value)


@pytest.mark.slow
def test_two_replicas_do_what_one_does(conf: Path) -> None:
    alone = totals_here(conf, "naming=alone")
    together = totals(start(2, conf, "naming=together", "distribute=mirrored"))
    assert len(alone) == STEPS
    np.testing.assert_allclose(together, alone, rtol=1e-5)
    # One that has begun on two replicas goes on, and ends, on one.
    more = totals_here(conf, "naming=together", f"steps={STEPS + 1}")
    assert len(more) == 1


def test_a_batch_that_cannot_be_shared_out_is_told(conf: Path) -> None:
    training = start(3, conf, "distribute=mirrored")
    _, err = training.communicate(timeout=300)
    assert training.returncode == 2
    said = "batch_size: 4 pictures cannot be divided between 3 replicas; take a multiple of 3"
    assert err.splitlines()[-1].endswith(said)


@pytest.mark.slow
def test_two_workers_do_what_one_does(conf: Path, tf_configs: list[dict[str, str]]) -> None:
    alone = totals(start(1, conf, "naming=alone"))
    workers = [
        start(1, conf, "naming=both", "distribute=multi_worker", **tf_config)
        for tf_config in tf_configs
    ]
    for found in map(totals, workers):
        np.testing.assert_allclose(found, alone, rtol=1e-5)
    one, both = (read_arrays(conf.parent / name / "weights.npz") for name in ("alone", "both"))
    for name, array in one.items():
        np.testing.assert_allclose(both[name], array, atol=1e-6)


@pytest.fixture
def two_workers(conf: Path, tf_configs: list[dict[str, str]]) -> Iterator[list[subprocess.Popen]]:
    """Two workers in the midst of a training without end."""
    overrides = ["distribute=multi_worker", "steps=100000"]
    workers = [start(1, conf, *overrides, **tf_config) for tf_config in tf_configs]
    for worker in workers:
        assert worker.stdout is not None
        for _ in range(3):
            assert worker.stdout.readline().startswith("total ")
    yield workers
    for worker in workers:
        worker.kill()


@pytest.mark.slow
def test_a_lost_worker_stops_the_others_in_words(
    two_workers: list[subprocess.Popen], conf: Path
) -> None:
    chief, other = two_workers
    other.kill()
    _, err = chief.communicate(timeout=120)
    assert chief.returncode == 2
    last = err.splitlines()[-1]
    assert "another worker of the training is lost" in last and "newest checkpoint" in last
    assert list((conf.parent / "tiny" / "checkpoints").glob("*.npz"))


@pytest.mark.slow
def test_ctrl_c_at_one_worker_stops_all_of_them_after_the_same_step(
    two_workers: list[subprocess.Popen],
) -> None:
    two_workers[1].send_signal(signal.SIGINT)
    stopped = []
    for worker in two_workers:
        out, err = worker.communicate(timeout=120)
        assert worker.returncode == 130, err
        stopped += [line for line in out.splitlines() if line.startswith("stopped at step")]
    assert len(stopped) == 2 and stopped[0] == stopped[1]


@pytest.mark.slow
def test_workers_stop_where_another_training_has_the_folder(
    conf: Path, tf_configs: list[dict[str, str]]
) -> None:
    overrides = ["steps=100000", "distribute=multi_worker"]
    first = start(1, conf, overrides[0])
    assert first.stdout is not None and first.stdout.readline().startswith("total ")
    workers = [start(1, conf, *overrides, **config) for config in tf_configs]
    chief, other = (worker.communicate(timeout=180)[1].splitlines()[-1] for worker in workers)
    assert [worker.returncode for worker in workers] == [2, 2]
    assert f"process {first.pid} on " in chief and "is training it" in chief
    assert "another worker of the training is lost" in other
    assert first.poll() is None
    first.kill()
