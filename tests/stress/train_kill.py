"""Kill trainings (SIGKILL) again and again, start them again, and compare what they end with.

    python -m tests.stress.train_kill --kills 20

trains one conf without a stop. Then the same is killed, by turns at a random moment and at a random
operation on its model folder (half of a file written, before a flush, before a rename), and started
again until it is done; with kills left, from the beginning. After each kill every checkpoint that
is there has to be whole; at the end weights.npz has to be the first training's, bit for bit.
"""

import argparse
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml

from fast_style.conf.vgg_layers import convolutions
from fast_style.errors import UserError
from fast_style.files import UNFINISHED_FILES
from fast_style.loss.vgg_weights import save_weights
from fast_style.model_folder.model import read_model
from fast_style.model_folder.npz import read_arrays

PROJECT = Path(__file__).resolve().parents[2]
STEPS = 24
OPERATIONS = 60  # about as many on the model folder has a whole training of so many steps


@dataclass
class Findings:
    """What happened, and what was wrong with it, a line each."""

    where: Counter[str] = field(default_factory=Counter)
    finished: int = 0
    unfinished_files: int = 0
    wrong: list[str] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60, help="at most")
    args = parser.parse_args()
    chance = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as scratch:
        conf = write_conf(Path(scratch))
        began = time.monotonic()
        finish(start(conf, "whole"))
        # Not by the clock, which goes on where the machine has other work.
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = used.ru_utime + used.ru_stime
        print(f"without a stop: {seconds:.1f} s of CPU", flush=True)
        whole = read_arrays(Path(scratch) / "whole" / "weights.npz")
        found = Findings()
        deadline = began + 60 * args.minutes
        while found.where.total() < args.kills and time.monotonic() < deadline:
            folder = Path(scratch) / "killed"
            shutil.rmtree(folder, ignore_errors=True)
            killed_until_done(conf, folder, seconds, args.kills, chance, found)
            check_finished(folder, whole, found)
    told = ", ".join(f"{count} at {where}" for where, count in sorted(found.where.items()))
    print(f"kills: {found.where.total()} ({told})")
    print(f"trainings that were killed and came to their end: {found.finished}")
    print(f"temporary files that kills left, gone after the next start: {found.unfinished_files}")
    print(f"lost or wrong: {len(found.wrong)}")
    print("\n".join(found.wrong))
    return 1 if found.wrong or found.where.total() < args.kills else 0


def killed_until_done(
    conf: Path, folder: Path, seconds: float, kills: int, chance: random.Random, found: Findings
) -> None:
    while True:
        newest = newest_step(folder)
        at_moment = found.where.total() % 2 == 0
        if found.where.total() >= kills:
            process = start(conf, folder.name)
        elif at_moment:
            process = start(conf, folder.name)
            wait_for_random_moment(process, folder, newest, chance, seconds)
            process.kill()
        else:
            number = chance.randint(1, OPERATIONS)
            process = start(conf, folder.name, "-m", "tests.faults", str(folder), str(number))
        out, err = process.communicate()
        check_resumed(out, newest, found)
        if process.returncode == 0:
            return
        if process.returncode != -9:
            found.wrong.append(f"status {process.returncode}: {err.strip()[-300:]}")
            return
        at = re.search(r"killed at: (\w+) (.*)", err)
        found.where[at[1] if at else "a moment"] += 1
        place = f"{at[1]} {Path(at[2]).relative_to(folder.parent)}" if at else "a moment"
        print(f"{found.where.total():3} killed at {place}, {newest_step(folder)} saved", flush=True)
        found.unfinished_files += len(list(folder.rglob(UNFINISHED_FILES)))
        check_checkpoints(folder, found)


def wait_for_random_moment(
    process: subprocess.Popen, folder: Path, newest: int, chance: random.Random, seconds: float
) -> None:
    """Half of them anywhere, in the start too; half while it trains, which is the shorter part."""
    if chance.random() < 0.5:
        wait(process, lambda: False, chance.uniform(0.1, seconds))
    else:
        wanted = newest + chance.choice([1, 4, 8])
        wait(process, lambda: newest_step(folder) >= wanted, 10 * seconds)
        wait(process, lambda: False, chance.uniform(0, 0.2))


def wait(process: subprocess.Popen, until: Callable[[], bool], at_most: float) -> None:
    began = time.monotonic()
    while process.poll() is None and not until() and time.monotonic() - began < at_most:
        time.sleep(0.005)


def check_resumed(out: str, newest: int, found: Findings) -> None:
    """It went on from the newest step that was there, where it came so far as to say so."""
    said = re.search(r"continuing from step (\d+)", out)
    if said and int(said[1]) != newest:
        found.wrong.append(f"went on from step {said[1]}, {newest} was there")


def check_checkpoints(folder: Path, found: Findings) -> None:
    for path in (folder / "checkpoints").glob("[0-9]*.npz"):
        try:
            read_arrays(path)
        except UserError as error:
            found.wrong.append(f"half of it is there: {error}")


def check_finished(folder: Path, whole: dict[str, np.ndarray], found: Findings) -> None:
    found.finished += 1
    found.wrong += [f"left: {path.name}" for path in folder.rglob(UNFINISHED_FILES)]
    found.wrong += [f"left: {path.name}" for path in folder.glob(".*")]
    try:
        arrays = read_arrays(folder / "weights.npz")
        read_model(folder)
    except UserError as error:
        found.wrong.append(str(error))
        return
    if arrays.keys() != whole.keys():
        found.wrong.append("weights.npz has other arrays")
        return
    differing = [name for name in whole if whole[name].tobytes() != arrays[name].tobytes()]
    found.wrong += [f"differs: {name}" for name in differing]
    print(f"    done: {len(whole) - len(differing)} of {len(whole)} arrays bit-equal", flush=True)


def write_conf(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    weights = {
        name: (rng.normal(0, (9 * inputs) ** -0.5, (3, 3, inputs, width)), np.zeros(width))
        for name, (inputs, width) in convolutions("vgg_16_half").items()
    }
    save_weights(folder / "vgg_16_half.npz", weights)
    path = folder / "conf.yml"
    values = {
        "base": str(PROJECT / "conf" / "small.yml"),
        "loss_model_file": str(folder / "vgg_16_half.npz"),
        "model_path": str(folder),
        "image_size": 32,
        "style_image_size": 64,
        "batch_size": 2,
        "steps": STEPS,
        "warmup_steps": 5,
        "checkpoint_every": 2,
        "preview_every": 8,
        "preview_images": [str(PROJECT / "img" / "sample.jpg")],
    }
    path.write_text(yaml.safe_dump(values))
    return path


def start(conf: Path, naming: str, *under: str) -> subprocess.Popen:
    program = ["train.py", "-c", str(conf), "--set", f"naming={naming}"]
    return subprocess.Popen(
        [sys.executable, *under, *program],
        cwd=PROJECT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen) -> None:
    _, err = process.communicate()
    if process.returncode:
        sys.exit(err[-2000:])


def newest_step(folder: Path) -> int:
    steps = [int(path.stem) for path in (folder / "checkpoints").glob("[0-9]*.npz")]
    return max(steps, default=0)


if __name__ == "__main__":
    sys.exit(main())
