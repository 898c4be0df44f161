"""How fast this machine trains and stylizes, and how near to what it could do at most.

python -m fast_style.benchmark stylize                 # a pass, by size, runtime and precision
python -m fast_style.benchmark train                   # a training step, by loss network
python -m fast_style.benchmark memory                  # what eval.py needs at most
python -m fast_style.benchmark startup                 # from the shell to the result
python -m fast_style.benchmark stylize --against "python other.py {input} {output}"

What is compared takes turns in one run, and the medians count: a machine's speed drifts.
"""

import datetime
import itertools
import json
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from fast_style import hardware
from fast_style.checkpoints import find_model_folder
from fast_style.command_line import OneLineParser, at_least_1, exit_on_user_error
from fast_style.conf_file import config_from_mapping
from fast_style.errors import UserError
from fast_style.files import write_atomically
from fast_style.images import Picture, flatten_on_white, read_picture, write_picture
from fast_style.locations import PROJECT
from fast_style.pixels import square

if TYPE_CHECKING:
    from fast_style.training import Training

SAMPLE = PROJECT / "img" / "sample.jpg"
LOSS_MODELS = ("vgg_16", "vgg_16_half")
# A process of its own, as a parent is told the peak of all its children together.
PEAK_OF_A_COMMAND = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # the systems disagree on getrusage's
FIRST_STEP = re.compile(rb"\b[1-9]\d*/\d+ \[")


def in_turns(tasks: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """The median seconds of each task, after one round that is not counted.

    The tasks alternate, so that a machine that slows down does so for all of them.
    """
    seconds: list[list[float]] = [[] for _ in tasks]
    for turn, number in tqdm(list(itertools.product(range(rounds + 1), range(len(tasks))))):
        started = time.perf_counter()
        tasks[number]()
        if turn:
            seconds[number].append(time.perf_counter() - started)
    return [float(np.median(of_task)) for of_task in seconds]


def runtimes() -> list[str]:
    """Those that are installed."""
    return [name for name in ("tensorflow", "openvino") if find_spec(name)]


def precisions() -> list[str]:
    """float32, and bfloat16 where this machine multiplies it in hardware."""
    return list(dict.fromkeys(["float32", hardware.fastest_precision()]))


def stylize(folder: Path, sizes: list[int], rounds: int) -> list[dict[str, Any]]:
    """A pass over square pictures, one record for each size, runtime and precision."""
    from fast_style.arithmetic import MatmulPeak, convolution_operations
    from fast_style.stylize import Stylizer
    from fast_style.transformer_network import build_transformer_network

    network = build_transformer_network()
    kinds = list(itertools.product(runtimes(), precisions()))
    stylizers = [Stylizer(folder, *kind) for kind in kinds]
    peaks = {precision: MatmulPeak(precision) for precision in precisions()}
    records = []
    for size in sizes:
        picture = square(flatten_on_white(read_picture(SAMPLE)), size)
        passes = [partial(stylizer, picture) for stylizer in stylizers]
        found = in_turns([*passes, *(peak.measure for peak in peaks.values())], rounds)
        operations = convolution_operations(network, size, size)
        records += [
            {
                "size": size,
                "runtime": runtime,
                "precision": precision,
                "seconds": seconds,
                "peak_fraction": operations / seconds / peaks[precision].best,
            }
            for (runtime, precision), seconds in zip(kinds, found, strict=False)
        ]
    return records


def train(image_size: int, batch_size: int, rounds: int) -> list[dict[str, Any]]:
    """A training step, with pictures at hand and read on the way, by loss network and precision."""
    from fast_style.arithmetic import MatmulPeak, step_operations
    from fast_style.content_images import ContentImages
    from fast_style.training import Training

    kinds = list(itertools.product(LOSS_MODELS, precisions()))
    peaks = {precision: MatmulPeak(precision) for precision in precisions()}
    with tempfile.TemporaryDirectory() as scratch:
        trainings: list[Training] = []
        tasks: list[Callable[[], object]] = []
        for loss_model, precision in kinds:
            config = config_from_mapping(
                {
                    "style_image": str(SAMPLE),
                    "naming": "benchmark",
                    "loss_model": loss_model,
                    "loss_model_file": _random_weights(loss_model, Path(scratch)),
                    "dataset": str(SAMPLE),
                    "image_size": image_size,
                    "batch_size": batch_size,
                },
                "benchmark",
            )
            content = ContentImages(
                config.dataset, image_size=image_size, batch_size=batch_size, seed=0, crop="random"
            )
            training = Training(config, content, rounds, precision)
            batches = content.batches(0)
            at_hand = next(batches)
            trainings.append(training)
            tasks.append(partial(training.train_on, at_hand))
            tasks.append(partial(_read_and_train, training, batches))
        found = in_turns([*tasks, *(peak.measure for peak in peaks.values())], rounds)
    records = []
    for number, (loss_model, precision) in enumerate(kinds):
        training, (ready, reading) = trainings[number], found[2 * number : 2 * number + 2]
        operations = batch_size * step_operations(
            training.network.network,
            training.objective.network,
            training.objective.content_network,
            image_size,
        )
        records.append(
            {
                "loss_model": loss_model,
                "precision": precision,
                "seconds_per_step": ready,
                "seconds_per_step_with_reading": reading,
                "images_per_second": batch_size / reading,
                "peak_fraction": operations / ready / peaks[precision].best,
            }
        )
    return records


def _read_and_train(training: "Training", batches: Iterator[np.ndarray]) -> None:
    training.train_on(next(batches))


def _random_weights(loss_model: str, folder: Path) -> str:
    # Arithmetic takes as long with any weights, and those of ImageNet would be a download.
    from fast_style.vgg_layers import convolutions
    from fast_style.vgg_weights import save_weights

    rng = np.random.default_rng(0)
    path = folder / f"{loss_model}.npz"
    shapes = convolutions(loss_model)
    save_weights(
        path,
        {
            name: (rng.normal(0, (4.5 * c) ** -0.5, (3, 3, c, filters)), np.zeros(filters))
            for name, (c, filters) in shapes.items()
        },
    )
    return str(path)


def memory(folder: Path, sizes: list[int]) -> list[dict[str, Any]]:
    """The most memory that eval.py had at once, by the operating system's own accounting."""
    records = []
    with tempfile.TemporaryDirectory() as scratch:
        for size, runtime in tqdm(list(itertools.product(sizes, runtimes()))):
            picture = _sample(size, Path(scratch))
            command = [*_evaluate(folder, picture), "--runtime", runtime]
            peak = int(_run([sys.executable, "-c", PEAK_OF_A_COMMAND, *command]))
            records.append({"size": size, "runtime": runtime, "bytes": peak * RSS_UNIT})
    return records


def startup(folder: Path, size: int, rounds: int) -> list[dict[str, Any]]:
    """From the shell to the result: --help, one stylized picture, the first step of a training."""
    with tempfile.TemporaryDirectory() as scratch:
        evaluate = _evaluate(folder, _sample(size, Path(scratch)))
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


def against(command: str, folder: Path, sizes: list[int], rounds: int) -> list[dict[str, Any]]:
    """eval.py and another program as whole processes, on the same pictures in turn.

    command: with {input} and {output} where it takes the names of the pictures.
    """
    if "{input}" not in command or "{output}" not in command:
        raise UserError(f"--against {command!r}: has to hold {{input}} and {{output}}")
    records = []
    with tempfile.TemporaryDirectory() as scratch:
        for size in sizes:
            picture = _sample(size, Path(scratch))
            ours = _evaluate(folder, picture)
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
    rgb = square(flatten_on_white(read_picture(SAMPLE)), size)
    write_picture(path, Picture(rgb=rgb, alpha=None, icc_profile=None))
    return path


def _evaluate(folder: Path, picture: Path) -> list[str]:
    command = [sys.executable, str(PROJECT / "eval.py"), "--model", str(folder)]
    return [*command, "--image", str(picture), "--output", str(picture.with_name("ours.png"))]


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise UserError(f"{shlex.join(command)}: cannot be run: {error.strerror}") from error
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise UserError(f"{shlex.join(command)}: status {done.returncode}: {last[0]}")
    return done.stdout


def table(records: list[dict[str, Any]]) -> str:
    """Records of the same keys as lines of text, one each below a line of the keys."""
    cells = [list(records[0])] + [[_in_words(*entry) for entry in r.items()] for r in records]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    )


def _in_words(key: str, value: Any) -> str:
    if key == "bytes":
        return f"{value / 1e9:.2f}e9"
    if key.endswith("fraction"):
        return f"{value:.0%}"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def main() -> None:
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["stylize", "train", "memory", "startup"])
    parser.add_argument("--model", default="models/zoo", help="the network that stylizes")
    parser.add_argument("--style", help="of a model of several; default: its first")
    parser.add_argument("--sizes", type=at_least_1, nargs="+", help="sides of the square pictures")
    parser.add_argument("--batch-size", type=at_least_1, default=4, help="of a training step")
    parser.add_argument("--rounds", type=at_least_1, default=5, help="of which the medians count")
    parser.add_argument("--against", metavar="CMD", help="stylize: another program to time as well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    args = parser.parse_args()
    if args.against is not None and args.what != "stylize":
        raise UserError(f"--against goes with stylize, not with {args.what}")

    hardware.start_tensorflow()
    with tempfile.TemporaryDirectory() as scratch:
        found: dict[str, list[dict[str, Any]]] = {}
        if args.what == "train":
            found["train"] = train((args.sizes or [256])[0], args.batch_size, args.rounds)
        else:
            folder = _exported(args.model, args.style, Path(scratch))
            if args.against is not None:
                found["against"] = against(
                    args.against, folder, args.sizes or [512, 1024], args.rounds
                )
            elif args.what == "stylize":
                found["stylize"] = stylize(
                    folder, args.sizes or [256, 512, 1024, 2048], args.rounds
                )
            elif args.what == "memory":
                found["memory"] = memory(folder, args.sizes or [512, 1024, 2048])
            else:
                found["startup"] = startup(folder, (args.sizes or [512])[0], args.rounds)
    machine, date = hardware.describe(), datetime.datetime.now(datetime.UTC).date().isoformat()
    print(f"{machine}, {date}")
    for records in found.values():
        print(table(records))
    if args.json is not None:
        report = {"machine": machine, "date": date, **found}
        write_atomically(args.json, json.dumps(report, indent=2).encode())


def _exported(model: str, style: str | None, scratch: Path) -> Path:
    """The model of one style in a form that every runtime takes."""
    from fast_style.checkpoints import read_model
    from fast_style.export import export

    folder = find_model_folder(model)
    styles = read_model(folder).styles
    export(folder, scratch / "model", style or (styles[0] if len(styles) > 1 else None))
    return scratch / "model"


if __name__ == "__main__":
    exit_on_user_error(main)
