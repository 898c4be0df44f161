"""The logged objective of trainings, its mean, and a plot."""

from pathlib import Path

import numpy as np

from fast_style.errors import UserError
from fast_style.hardware import start_tensorflow
from fast_style.model_folder.layout import LOGS
from fast_style.pictures.plots import subplots, write_figure

TOTAL = "loss/total"


def read_totals(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns the steps and totals that a training has logged, in order, each step once.

    Raises UserError if there are none.
    """
    start_tensorflow()
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    totals: dict[int, float] = {}
    for path in sorted((folder / LOGS).glob("events.*")):
        log = EventAccumulator(str(path), size_guidance={"tensors": 0})  # 0: all of them
        log.Reload()
        if TOTAL in log.Tags()["tensors"]:
            for event in log.Tensors(TOTAL):
                totals[event.step] = float(make_ndarray(event.tensor_proto))
    if not totals:
        raise UserError(f"{folder}: its {LOGS} contain no totals of a training")
    steps = sorted(totals)
    return np.array(steps), np.array([totals[step] for step in steps])


def smoothed(steps: np.ndarray, totals: np.ndarray, window: int) -> np.ndarray:
    """Returns for each step the mean of the totals logged in the last `window` steps."""
    sums = np.concatenate([[0.0], np.cumsum(totals)])
    first = np.searchsorted(steps, steps - window, side="right")
    last = np.arange(1, len(steps) + 1)
    return (sums[last] - sums[first]) / (last - first)


def steps_to_reach(steps: np.ndarray, means: np.ndarray, wanted: float, window: int) -> int | None:
    """Returns the first step, after a whole window, from which the mean stays at or below `wanted`.

    None if it ends higher. The first window is left out because of style_ramp.
    """
    higher = (means > wanted) | (steps < steps[0] + window - 1)
    first = int(np.flatnonzero(higher)[-1]) + 1 if higher.any() else 0
    return int(steps[first]) if first < len(steps) else None


def plot(curves: list[tuple[str, np.ndarray, np.ndarray]], path: Path) -> None:
    """Writes a PNG of curves, each a name, steps and means."""
    figure, axes = subplots(figsize=(7, 4))
    for name, steps, means in curves:
        axes.plot(steps, means, label=name)
    lowest = min(means.min() for _, _, means in curves)
    axes.set(xlabel="steps", ylabel="objective", ylim=(0.9 * lowest, 4 * lowest))
    axes.grid(alpha=0.3)
    axes.legend()
    write_figure(figure, path)
