"""The basis of every figure: a picture, the installed runtimes, and alternating tasks."""

import itertools
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec

import numpy as np
from tqdm import tqdm

from fast_style.conf.locations import PROJECT
from fast_style.pictures.images import flatten_on_white, read_picture
from fast_style.pictures.pixels import square

PAUSE = 0.25  # seconds; OpenMP's threads wait for more work in a loop for up to 0.2
SAMPLE = PROJECT / "img" / "sample.jpg"


def in_turns(tasks: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Returns the median seconds of each task, without the first round.

    The tasks alternate, so that a change in the machine's speed affects all of them. There is a
    PAUSE before each.
    """
    seconds: list[list[float]] = [[] for _ in tasks]
    for turn, number in tqdm(list(itertools.product(range(rounds + 1), range(len(tasks))))):
        time.sleep(PAUSE)
        started = time.perf_counter()
        tasks[number]()
        if turn:
            seconds[number].append(time.perf_counter() - started)
    return [float(np.median(of_task)) for of_task in seconds]


def runtimes() -> list[str]:
    """Returns the installed runtimes."""
    return [name for name in ("tensorflow", "openvino") if find_spec(name)]


def sample_picture(size: int) -> np.ndarray:
    """Returns img/sample.jpg as (size, size, 3) uint8."""
    return square(flatten_on_white(read_picture(SAMPLE)), size)
