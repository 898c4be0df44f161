"""One training on 1, 2 and 4 replicas and by 2 workers: the same steps, weights, and images/s.

    python -m tests.stress.replicas -c conf/candy.yml

trains each for as many steps on logical CPUs, compares every step's objective and the last weights
with those of one device, and then kills one of two workers in the midst of a training: how long the
other takes to say so, and what the job that is started again ends with.
"""

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from fast_style.model_folder.npz import read_arrays

PROJECT = Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-c", "--config", default="conf/candy.yml")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--set", action="append", default=[], metavar="key=value")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        common = [
            *(f"steps={args.steps}", "batch_size=4", "precision=float32", "preview_images=[]"),
            *("checkpoint_every=4", f"model_path={scratch}", *args.set),
        ]
        uninterrupted = compare(args.config, common, Path(scratch))
        resumed = survive_a_kill(args.config, [*common, "naming=killed"], args.steps)
    print(f"started again it ends with an objective of {resumed!r}")
    print(f"that of the workers that were not killed is {uninterrupted!r}")
    return 0 if resumed == uninterrupted else 1


def compare(conf: str, common: list[str], scratch: Path) -> float:
    """Print the table, and return the last objective of two workers."""
    kinds = {"1": "none", "2": "mirrored", "4": "mirrored", "2 workers": "multi_worker"}
    print(f"{'replicas':>10}{'objective':>12}{'weights':>12}{'images/s':>10}")
    first: tuple[np.ndarray, dict[str, np.ndarray]] | None = None
    for kind, distribute in kinds.items():
        naming = "of_" + kind.replace(" ", "_")
        overrides = [*common, f"naming={naming}", f"distribute={distribute}"]
        if distribute == "multi_worker":
            trainings = [start(1, conf, overrides, tf_config) for tf_config in tf_configs()]
        else:
            trainings = [start(int(kind), conf, overrides)]
        outputs = [training.communicate() for training in trainings]
        for training, (_, err) in zip(trainings, outputs, strict=True):
            if training.returncode:
                sys.exit(err[-2000:])
        found = np.array(totals(outputs[0][0])), read_arrays(scratch / naming / "weights.npz")
        first = first or found
        objective = np.max(np.abs(found[0] / first[0] - 1))
        weights = max(np.abs(found[1][name] - array).max() for name, array in first[1].items())
        seconds = seconds_of_a_step(outputs[0][0])
        print(f"{kind:>10}{objective:12.1e}{weights:12.1e}{4 / seconds:10.2f}", flush=True)
    return float(found[0][-1])


def survive_a_kill(conf: str, common: list[str], steps: int) -> float:
    """Kill a worker, start both again, and return the last objective."""
    overrides = [*common, "distribute=multi_worker"]
    workers = [start(1, conf, overrides, tf_config) for tf_config in tf_configs()]
    chief, other = workers
    assert chief.stdout is not None
    for line in chief.stdout:
        if line.startswith("total ") and line.split()[2] == str(steps // 2):
            break
    other.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    _, err = chief.communicate()
    said = err.strip().splitlines()[-1]
    print(
        f"a worker killed after step {steps // 2}: after {time.monotonic() - killed:.1f} s: {said}"
    )
    workers = [start(1, conf, overrides, tf_config) for tf_config in tf_configs()]
    outputs = [worker.communicate()[0] for worker in workers]
    print(next(line for line in outputs[0].splitlines() if line.startswith("going on")))
    return totals(outputs[0])[-1]


def start(
    replicas: int, conf: str, overrides: list[str], tf_config: str | None = None
) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.train_in_replicas", str(replicas), conf, *overrides],
        cwd=PROJECT,
        env=os.environ | ({"TF_CONFIG": tf_config} if tf_config else {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def tf_configs() -> list[str]:
    """TF_CONFIG of each of two workers on free ports of this machine."""
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        workers = [f"127.0.0.1:{each.getsockname()[1]}" for each in (one, other)]
    cluster = {"worker": workers}
    return [
        json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        for index in range(2)
    ]


def totals(out: str) -> list[float]:
    return [float(total) for total in re.findall(r"^total (\S+)", out, re.MULTILINE)]


def seconds_of_a_step(out: str) -> float:
    """The median; the first steps compile."""
    ended = [float(end) for end in re.findall(r"^total .* (\S+)$", out, re.MULTILINE)]
    return float(np.median(np.diff(ended)))


if __name__ == "__main__":
    sys.exit(main())
