"""Figures of whole programs: time from the shell to the result, memory, another program's time."""

import itertools
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fast_style.benchmark.in_turns import in_turns, runtimes, sample_picture
from fast_style.conf.locations import PROJECT
from fast_style.errors import UserError, naming_os_errors
from fast_style.pictures.images import Picture, write_picture

# In its own process, because RUSAGE_CHILDREN covers all children of a process.
PEAK_OF_A_COMMAND = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # of getrusage
FIRST_STEP = re.compile(rb"\b[1-9]\d*/\d+ \[")


def memory(folder: Path, style: str, sizes: list[int]) -> list[dict[str, Any]]:
    """Measures the peak memory of eval.py, as the operating system reports it."""
    records = []
    with tempfile.TemporaryDirectory() as scratch:
        for size, runtime in tqdm(list(itertools.product(sizes, runtimes()))):
            picture = _sample(size, Path(scratch))
            command = [*_evaluate(folder, style, picture), "--runtime", runtime]
            records.append({"size": size, "runtime": runtime, "bytes": peak_memory(command)})
    return records


def peak_memory(command: list[str]) -> int:
    """Returns the peak memory of a command in bytes. Raises UserError if the command fails."""
    return int(_run([sys.executable, "-c", PEAK_OF_A_COMMAND, *command])) * RSS_UNIT


def startup(folder: Path, style: str, size: int, rounds: int) -> list[dict[str, Any]]:
    """Measures the time to --help, to a stylized picture, and to a training's first step."""
    with tempfile.TemporaryDirectory() as scratch:
        evaluate = _evaluate(folder, style, _sample(size, Path(scratch)))
        tasks: dict[str, Callable[[], object]] = {
            f"{script} --help": partial(_run, [sys.executable, str(PROJECT / script), "--help"])
            for script in ("eval.py", "train.py", "export.py")
        }
        for runtime in runtimes():
            command = [*evaluate, "--runtime", runtime]
            tasks[f"eval.py, {size} x {size}, {runtime}"] = partial(_run, command)
        tasks["train.py to its first step"] = partial(_train_to_first_step, Path(scratch))
        found = in_turns(list(tasks.values()), rounds)
    return [{"task": t, "seconds": s} for t, s in zip(tasks, found, strict=True)]


def _train_to_first_step(scratch: Path) -> None:
    command = [sys.executable, str(PROJECT / "train.py"), "-c", str(PROJECT / "conf/candy.yml")]
    command += ["--restart", "--set", f"model_path={scratch}", "--set", "preview_images=[]"]
    with subprocess.Popen(
        command, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, bufsize=0
    ) as training:
        assert training.stderr is not None
        seen = b""
        while not FIRST_STEP.search(seen):
            more = training.stderr.read(4096)
            if not more:
                raise UserError(f"train.py: ended before its first step: {seen.decode()[-300:]}")
            seen += more
        training.kill()


def against(
    command: str, folder: Path, style: str, sizes: list[int], rounds: int, precision: str = "auto"
) -> list[dict[str, Any]]:
    """Measures eval.py and another program as whole processes on the same pictures.

    command: contains {input} and {output} for the names of the pictures. precision: of eval.py.
    """
    if "{input}" not in command or "{output}" not in command:
        raise UserError(f"--against {command!r}: must contain {{input}} and {{output}}")
    records = []
    with tempfile.TemporaryDirectory() as scratch:
        for size in sizes:
            picture = _sample(size, Path(scratch))
            ours = [*_evaluate(folder, style, picture), "--precision", precision]
            output = Path(scratch) / "theirs.png"
            theirs = shlex.split(command.format(input=picture, output=output))
            seconds, other = in_turns([partial(_run, ours), partial(_run, theirs)], rounds)
            records.append(
                {
                    "size": size,
                    "seconds": seconds,
                    "other_seconds": other,
                    "times_faster": other / seconds,
                }
            )
    return records


def _sample(size: int, folder: Path) -> Path:
    path = folder / f"{size}.png"
    write_picture(path, Picture(sample_picture(size)))
    return path


def _evaluate(folder: Path, style: str, picture: Path) -> list[str]:
    command = [sys.executable, str(PROJECT / "eval.py"), "--model", str(folder), "--style", style]
    return [*command, "--image", str(picture), "--output", str(picture.with_name("ours.png"))]


def _run(command: list[str]) -> str:
    with naming_os_errors(shlex.join(command), "run"):
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise UserError(f"{shlex.join(command)}: status {done.returncode}: {last[0]}")
    return done.stdout
