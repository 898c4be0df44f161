"""How good a trained network is: its objective, counted in iterations of the slow optimization.

    python -m fast_style.measure --model models/candy --images photos
    python -m fast_style.measure --model models/candy --clip clip.mp4

Johnson et al. (2016, section 4.1) find their networks as good as 50 to 100 iterations of L-BFGS
on the same objective, from white noise on. This says it of any model folder, at several sizes,
from white noise and from the content image (which is far nearer to the end), with the seconds that
either takes and figures for what the objective does not see. With a clip it says how much the
network's strokes flicker (fast_style.video.flicker).
"""

import datetime
import json
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fast_style import hardware
from fast_style.artefacts import blotched_share, frame_shift, grid_energy
from fast_style.checkpoints import find_model_folder, read_config
from fast_style.command_line import (
    OneLineParser,
    at_least_1,
    exit_on_user_error,
    unit_interval,
)
from fast_style.config import Config
from fast_style.errors import UserError
from fast_style.files import read_bytes, write_atomically
from fast_style.gatys import starting_pixels
from fast_style.loss.style_statistics import read_style
from fast_style.pictures.images import find_pictures, flatten_on_white, read_picture
from fast_style.pictures.pixels import square
from fast_style.plots import subplots, write_figure
from fast_style.style_mix import name_in_style
from fast_style.stylize import Stylizer
from fast_style.video import check_installed

MEASURE = "measure"  # .json and .png; measure-STYLE of a folder with several
FLICKER = "flicker"  # .json; flicker-STYLE
TERMS = ("content", "style", "tv", "total")
SMALLEST = 96
# The start from which the fewest iterations are needed, and the paper's; as their noise_ratio.
STARTS = {"content": 0.0, "noise": 1.0}
WHITE_NOISE = 128.0
SLOW_STEPS = 500  # what one pass is compared with (Johnson et al. 2016, table 1)


def measure(
    folder: Path,
    pictures: list[np.ndarray],
    sizes: list[int],
    optimized: int,
    iterations: int,
    style: str | None = None,
) -> dict:
    """Everything about a model folder that is measured, ready for JSON.

    style: the one that is measured, where the folder has several.

    pictures: (H, W, 3) uint8, of which the centre square is taken at each of `sizes`; the first
    `optimized` of them are optimized for `iterations` of L-BFGS too.
    """
    config = read_config(folder, style)
    stylizer = Stylizer(folder, style=style)
    steps = len(sizes) * (len(pictures) + len(STARTS) * min(optimized, len(pictures)) * iterations)
    with tqdm(total=steps, unit=" steps", desc=folder.name) as progress:
        at_sizes = {
            str(size): _at_size(config, stylizer, pictures, size, optimized, iterations, progress)
            for size in sizes
        }
    return {
        "model": name_in_style(folder.name, style),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "hardware": hardware.describe(),
        "runtime": stylizer.runtime,
        "pictures": len(pictures),
        "optimized_pictures": min(optimized, len(pictures)),
        "sizes": at_sizes,
    }


def _at_size(
    config: Config,
    stylizer: Stylizer,
    pictures: list[np.ndarray],
    size: int,
    optimized: int,
    iterations: int,
    progress: tqdm,
) -> dict:
    # After the folder is known to hold a model: TensorFlow takes seconds to import.
    from fast_style.pixel_optimizers import gradients_of

    gradient_for = gradients_of(config, read_style(config))
    contents = [square(picture, size) for picture in pictures]
    terms: list[dict[str, float]] = []
    curves: dict[str, list[list[float]]] = {name: [] for name in STARTS}
    artefacts: list[dict[str, float]] = []
    all_stylized: list[np.ndarray] = []
    pass_seconds: list[float] = []
    step_seconds: list[float] = []
    stylizer(contents[0])  # unmeasured, because the first pass at a size may compile
    for number, content in enumerate(contents):
        progress.set_postfix_str(f"{size}x{size}, picture {number + 1} of {len(contents)}")
        started = time.perf_counter()
        stylized = stylizer(content)
        pass_seconds.append(time.perf_counter() - started)
        all_stylized.append(stylized)
        gradient = gradient_for(content)
        reached, _ = gradient(stylized[None].astype(np.float32))
        terms.append({name: reached[name] for name in TERMS})
        artefacts.append(
            {
                "grid": grid_energy(stylized),
                "grid_of_content": grid_energy(content),
                "blotched": blotched_share(stylized),
                "blotched_of_content": blotched_share(content),
            }
        )
        progress.update()
        if number < optimized:
            for name, ratio in STARTS.items():
                begin = replace(config, noise_ratio=ratio, noise_amplitude=WHITE_NOISE)
                start = starting_pixels(begin, content)[None]
                curve, seconds = _curve(gradient, start, iterations, progress)
                curves[name].append(curve)
                step_seconds.append(seconds)
    middle = (slice(size // 4, size - size // 4),) * 2
    for entry, content, stylized in zip(artefacts, contents, all_stylized, strict=True):
        entry["frame"] = frame_shift(stylizer(content[middle]), stylized[middle])
    ours = float(np.mean([entry["total"] for entry in terms[: len(curves["content"])]]))
    one_pass, one_step = float(np.median(pass_seconds)), float(np.median(step_seconds))
    return {
        "network": _mean_and_spread(terms),
        "network_total_on_the_same": ours,
        "lbfgs_from": {name: _against(ours, np.mean(curves[name], axis=0)) for name in STARTS},
        "seconds_per_pass": one_pass,
        "seconds_per_lbfgs_iteration": one_step,
        "times_faster": SLOW_STEPS * one_step / one_pass,
        "artefacts": {name: entry["mean"] for name, entry in _mean_and_spread(artefacts).items()},
    }


def _against(total: float, curve: np.ndarray) -> dict:
    return {"equals_iterations": iterations_equalled(total, curve), "totals": curve.tolist()}


def _curve(gradient, start, iterations, progress) -> tuple[list[float], float]:
    """The total after 0, 1, ... iterations, and the median seconds of one."""
    from fast_style.pixel_optimizers import minimize_by_lbfgs

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
    """The iterations after which a falling `curve` of totals comes down to `total`.

    Between iterations it is a straight line; 0 where the curve begins below, and the last
    iteration where it never comes down so far.
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


def table(measured: list[dict]) -> str:
    """The figures of one or several models as lines of text."""
    width = max(8, *(len(one["model"]) for one in measured))
    head = f"{'model':{width}}  size    total  content   style      tv  "
    lines = [
        head + "L-BFGS from noise/content  pass, s  times faster  grid (photo)   frame  blotched"
    ]
    for one in measured:
        for size, at in one["sizes"].items():
            means = {name: at["network"][name]["mean"] for name in TERMS}
            art = at["artefacts"]
            equals = " / ".join(
                iterations_in_words(at["lbfgs_from"][name]) for name in ("noise", "content")
            )
            lines.append(
                f"{one['model']:{width}}  {size:>4}  {means['total']:7.4g}  {means['content']:7.4g}"
                f"  {means['style']:6.4g}  {means['tv']:6.4g}  {equals:>25}"
                f"  {at['seconds_per_pass']:7.3f}  {at['times_faster']:>12,.0f}"
                f"  {art['grid']:5.2f} ({art['grid_of_content']:.2f})"
                f"  {art['frame']:6.1f}  {art['blotched']:8.2%}"
            )
    return "\n".join(lines)


def iterations_in_words(slow: dict) -> str:
    """What L-BFGS needed from one start, as 13; 'at least 200' where it did not come so far."""
    more = "at least " if slow["equals_iterations"] >= len(slow["totals"]) - 1 else ""
    return f"{more}{slow['equals_iterations']:.0f}"


def plot(measured: dict, path: Path) -> None:
    """The totals of L-BFGS against its iterations, and the network's as a line across; a PNG."""
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


def main() -> None:
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", help="model folder, such as models/candy")
    parser.add_argument("--style", help="of a model of several: the one to measure")
    parser.add_argument("--images", help="photos that were not trained on: a folder or glob")
    parser.add_argument("--sizes", type=at_least_1, nargs="+", default=[256, 512, 1024])
    parser.add_argument(
        "--optimized",
        type=at_least_1,
        default=2,
        help="how many of the photos L-BFGS is run on as well",
    )
    parser.add_argument("--iterations", type=at_least_1, default=200, help="of L-BFGS")
    parser.add_argument(
        "--compare", nargs="+", default=[], metavar="DIR", help="measured models to show beside it"
    )
    parser.add_argument("--clip", help="measure flicker on it, in place of all the above")
    parser.add_argument(
        "--smooth",
        type=unit_interval,
        nargs="+",
        default=[],
        help="with --clip: also with that --smooth of fast_style.video",
    )
    args = parser.parse_args()
    if args.clip is not None:
        if args.model is None or args.images is not None or args.compare:
            raise UserError("--clip: goes with --model, and without --images and --compare")
        _measure_flicker(find_model_folder(args.model), args.clip, args.style, args.smooth)
        return
    if args.smooth:
        raise UserError("--smooth: goes with --clip")
    if (args.model is None) != (args.images is None):
        raise UserError("--model and --images go together; --compare alone shows earlier figures")
    if args.model is None and not args.compare:
        raise UserError("--model and --images say what to measure; --compare what to show again")
    if min(args.sizes) < SMALLEST:
        raise UserError(f"--sizes {min(args.sizes)}: is too small; at least {SMALLEST}")
    if args.model is not None and not (find_spec("scipy") and find_spec("matplotlib")):
        raise UserError("measuring needs scipy and matplotlib: pip install 'fast-style[gatys]'")
    measured = [one for name in args.compare for one in _read_measured(find_model_folder(name))]
    if args.model is not None:
        folder = find_model_folder(args.model)
        pictures = [flatten_on_white(read_picture(path)) for path in find_pictures(args.images)]
        ours = measure(folder, pictures, args.sizes, args.optimized, args.iterations, args.style)
        name = name_in_style(MEASURE, args.style)
        write_atomically(folder / f"{name}.json", json.dumps(ours, indent=2).encode())
        plot(ours, folder / f"{name}.png")
        measured.insert(0, ours)
    print(table(measured))


def _measure_flicker(folder: Path, clip: str, style: str | None, smooth: list[float]) -> None:
    check_installed("av", "cv2")
    from fast_style.video.flicker import measure_flicker, table

    measured = measure_flicker(folder, clip, style, smooth)
    path = folder / f"{name_in_style(FLICKER, style)}.json"
    write_atomically(path, json.dumps(measured, indent=2).encode())
    print(table(measured))


def _read_measured(folder: Path) -> list[dict]:
    paths = sorted(folder.glob(f"{MEASURE}*.json"))
    if not paths:
        raise UserError(
            f"--compare {folder}: holds no {MEASURE}.json; measure it first with --model {folder}"
        )
    measured = []
    for path in paths:
        try:
            measured.append(json.loads(read_bytes(path)))
        except ValueError as error:
            raise UserError(f"{path}: is damaged: {error}") from error
    return measured


if __name__ == "__main__":
    exit_on_user_error(main)
