"""The number of L-BFGS iterations on the same objective that equal one pass of a network."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fast_style.conf.config import Config
from fast_style.loss.named_terms import named_terms
from fast_style.measure.tables import iterations_in_words
from fast_style.pictures.plots import subplots, write_figure

# The noise_ratio of two starts: the one that needs the fewest iterations, and the paper's.
STARTS = {"content": 0.0, "noise": 1.0}
WHITE_NOISE = 128.0


def objective(
    config: Config,
    contents: list[np.ndarray],
    all_stylized: list[np.ndarray],
    optimized: int,
    iterations: int,
    progress: tqdm,
) -> dict:
    """Returns the conf's objective of the network's results, and of L-BFGS on the first contents.

    contents, all_stylized: each (H, W, 3) uint8. optimized: the number of contents on which L-BFGS
    runs for `iterations`. progress: advances by one for each iteration.
    """
    # Not at the top: TensorFlow takes seconds to import.
    from fast_style.gatys.painting import starting_pixels
    from fast_style.gatys.pixel_optimizers import gradients_of
    from fast_style.loss.style_statistics import read_style

    gradient_for = gradients_of(config, read_style(config))
    terms: list[dict[str, float]] = []
    curves: dict[str, list[list[float]]] = {name: [] for name in STARTS}
    step_seconds: list[float] = []
    for number, (content, stylized) in enumerate(zip(contents, all_stylized, strict=True)):
        gradient = gradient_for(content)
        reached, _ = gradient(stylized[None].astype(np.float32))
        terms.append(named_terms(reached))
        if number < optimized:
            progress.set_postfix_str(f"L-BFGS, picture {number + 1} of {optimized}")
            for name, ratio in STARTS.items():
                begin = replace(config, noise_ratio=ratio, noise_amplitude=WHITE_NOISE)
                start = starting_pixels(begin, content)[None]
                curve, seconds = _curve(gradient, start, iterations, progress)
                curves[name].append(curve)
                step_seconds.append(seconds)
    ours = float(np.mean([entry["total"] for entry in terms[:optimized]]))
    means = {name: np.mean(curve, axis=0) for name, curve in curves.items()}
    return {
        "network": _mean_and_spread(terms),
        "network_total_on_the_same": ours,
        "lbfgs_from": {
            name: {"equals_iterations": iterations_equalled(ours, mean), "totals": mean.tolist()}
            for name, mean in means.items()
        },
        "seconds_per_lbfgs_iteration": float(np.median(step_seconds)),
    }


def _curve(gradient, start, iterations, progress) -> tuple[list[float], float]:
    """Returns the total after 0, 1, ... iterations, and the median seconds of one."""
    from fast_style.gatys.pixel_optimizers import minimize_by_lbfgs

    totals: list[float] = []
    times = [time.perf_counter()]

    def report(done, terms, pixels, memory):
        totals.append(terms["total"])
        times.append(time.perf_counter())
        progress.update(min(done, 1))

    minimize_by_lbfgs(gradient, start, iterations, report)
    progress.update(iterations + 1 - len(totals))
    totals += [totals[-1]] * (iterations + 1 - len(totals))
    return totals, float(np.median(np.diff(times[1:])))


def iterations_equalled(total: float, curve: np.ndarray) -> float:
    """Returns the number of iterations at which a falling `curve` of totals reaches `total`.

    It interpolates between iterations. 0 if the curve begins below, and the last iteration if it
    does not reach the total.
    """
    lower = np.flatnonzero(curve <= total)
    if lower.size == 0:
        return float(len(curve) - 1)
    after = int(lower[0])
    if after == 0:
        return 0.0
    above, below = float(curve[after - 1]), float(curve[after])
    return after - 1 + (above - total) / (above - below)


def _mean_and_spread(entries: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    return {
        name: {
            "mean": float(np.mean([entry[name] for entry in entries])),
            "spread": float(np.std([entry[name] for entry in entries])),
        }
        for name in entries[0]
    }


def plot(measured: dict, path: Path) -> None:
    """Writes a PNG of L-BFGS's totals by iteration, with the network's as a horizontal line."""
    sizes = measured["sizes"]
    figure, all_axes = subplots(1, len(sizes), figsize=(4.5 * len(sizes), 3.6), squeeze=False)
    for axes, (size, at) in zip(all_axes[0], sizes.items(), strict=True):
        ours = at["network_total_on_the_same"]
        axes.axhline(ours, color="black", label="one pass of the network")
        for number, (name, slow) in enumerate(at["lbfgs_from"].items()):
            line, equals = f"C{number}", slow["equals_iterations"]
            axes.plot(
                slow["totals"], color=line, label=f"L-BFGS from {name}: {iterations_in_words(slow)}"
            )
            axes.plot([equals], [ours], "o", color=line)
        axes.set(title=f"{size} x {size}", xlabel="iterations", ylabel="total", ylim=(0, 3 * ours))
        axes.legend()
    write_figure(figure, path)
