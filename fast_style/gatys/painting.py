"""A painting: its sizes, start, optimization, and the file to resume it from."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from absl import logging
from tqdm import tqdm

from fast_style.conf.conf_file import config_as_yaml
from fast_style.conf.config import Config, canvas_size, fewest_pixels
from fast_style.conf.vgg_layers import PIXEL_MEAN
from fast_style.errors import UserError
from fast_style.loss.named_terms import in_one_line
from fast_style.loss.style_statistics import read_style
from fast_style.model_folder.npz import read_arrays, write_arrays
from fast_style.network.architecture import ARCHITECTURES
from fast_style.pictures.images import Picture, write_picture
from fast_style.pictures.pixels import resize, to_uint8
from fast_style.training.provenance import hashes

KEEP_EVERY = 25


@dataclass(frozen=True)
class Progress:
    """The state of a painting, from which another process can resume it.

    pixels, and best, those with the smallest total at this size: (H, W, 3) float32, 0..255.
    """

    scale: int
    iteration: int
    pixels: np.ndarray
    best: np.ndarray
    best_total: float
    memory: dict[str, np.ndarray]


Observer = Callable[[Progress, Mapping[str, float]], None]


def paint(
    config: Config, content: np.ndarray, observe: Observer, progress: Progress | None = None
) -> np.ndarray:
    """Returns a content image painted in the conf's style, on the conf's canvas; uint8 RGB.

    content: (H, W, 3) uint8. Runs `iterations` at each size from the smallest of `scales` to the
    canvas, from `starting_pixels` and then from the result of the size before.
    observe: called at the start of each size and after each iteration, with the terms. It can raise
    an error to stop. progress: of a painting with the same conf and content, to resume.
    Raises UserError as painting_sizes and read_style do.
    """
    sizes = painting_sizes(config, *content.shape[:2])
    for scale, (height, width) in enumerate(sizes):
        target = resize(content, height, width)
        if progress is None or progress.scale < scale:
            if progress is None:
                start = starting_pixels(config, target)
            else:
                start = resize(to_uint8(progress.best), height, width).astype(np.float32)
            progress = Progress(scale, 0, start, start, math.inf, {})
        if progress.scale == scale:
            progress = _paint_at_one_size(config, target, observe, progress)
    assert progress is not None  # because there is at least one size
    return to_uint8(progress.best)


def _paint_at_one_size(
    config: Config, content: np.ndarray, observe: Observer, progress: Progress
) -> Progress:
    # Not at the top: TensorFlow takes seconds to import.
    from fast_style.gatys.pixel_optimizers import gradients_of, minimize_by_adam, minimize_by_lbfgs

    style = read_style(config, content.shape[:2])
    gradient = gradients_of(config, style)(content)
    best, best_total = progress.best, progress.best_total

    def report(done, terms, pixels, memory):
        nonlocal best, best_total, progress
        if terms["total"] <= best_total:
            best, best_total = pixels[0], terms["total"]
        progress = Progress(progress.scale, done, pixels[0], best, best_total, memory)
        observe(progress, terms)

    start, done = progress.pixels[None], progress.iteration
    if config.pixel_optimizer == "lbfgs":
        minimize_by_lbfgs(gradient, start, config.iterations, report, done=done)
    else:
        minimize_by_adam(
            gradient,
            start,
            config.iterations,
            config.pixel_learning_rate,
            report,
            done=done,
            memory=progress.memory,
        )
    return progress


def painting_sizes(config: Config, height: int, width: int) -> list[tuple[int, int]]:
    """Returns (height, width) of every size to paint a content image at; the last is the canvas.

    Scales at which a side is too short for the loss network are left out. Raises UserError if it is
    too short on the canvas.
    """
    height, width = canvas_size(config.canvas, height, width)
    # The grid term compares a whole period of the network's upsampling.
    fewest = max(fewest_pixels(config), ARCHITECTURES[config.network].downsampling)
    if min(height, width) < fewest:
        raise UserError(
            f"a content image of {width}x{height} is too small to paint; the conf's layers need at "
            f"least {fewest} pixels a side"
        )
    smaller = [canvas_size(side, height, width) for side in config.scales]
    return [
        *(size for size in smaller if max(size) < max(height, width) and min(size) >= fewest),
        (height, width),
    ]


def starting_pixels(config: Config, content: np.ndarray) -> np.ndarray:
    """Returns noise_ratio * noise + (1 - noise_ratio) * content, around the mean; float32.

    The noise is uniform between minus and plus noise_amplitude. The mean is that of the loss
    network. Ratio 0 is the content image; ratio 1 with amplitude 128 is white noise.
    """
    amplitude = config.noise_amplitude
    noise = np.random.default_rng(config.seed).uniform(-amplitude, amplitude, content.shape)
    mean = np.array(PIXEL_MEAN)
    mixed = config.noise_ratio * noise + (1 - config.noise_ratio) * (content - mean)
    return np.clip(mean + mixed, 0, 255).astype(np.float32)


class PaintingSession:
    """One painting: its progress bar, its intermediate pictures, and the file to resume it from."""

    def __init__(self, config: Config, content: np.ndarray, output: Path, every: int | None):
        """every: the steps between intermediate pictures beside `output`, or None."""
        self.config, self.content, self.output, self.every = config, content, output, every
        self.latest: Progress | None = None
        self.interrupted = False
        self.file = output.with_name(f".{output.name}.progress.npz")
        settings = config_as_yaml(replace(config, iterations=1)).encode()  # these may change
        files = json.dumps(hashes(config)).encode()
        digest = hashlib.sha256(
            b"".join([settings, str(content.shape).encode(), content.tobytes(), files])
        )
        self.identity = digest.hexdigest()

    def paint(self) -> np.ndarray:
        """Returns the painted picture; on Ctrl-C the best so far, with a file to resume from."""
        config = self.config
        sizes = painting_sizes(config, *self.content.shape[:2])
        unfinished = self._unfinished()
        with tqdm(total=len(sizes) * config.iterations, unit=" steps") as self.bar:
            try:
                painted = paint(config, self.content, self._observe, unfinished)
            except KeyboardInterrupt:
                if self.latest is None:
                    raise
                self.interrupted = True
                self._keep(self.latest)
                tqdm.write("stopped: this is the best so far; the same command continues")
                return to_uint8(self.latest.best)
        self.file.unlink(missing_ok=True)
        return painted

    def _observe(self, progress: Progress, terms: Mapping[str, float]) -> None:
        self.latest = progress
        steps = progress.scale * self.config.iterations + progress.iteration
        height, width = progress.pixels.shape[:2]
        self.bar.set_postfix_str(f"{width}x{height} {in_one_line(terms)}", refresh=False)
        self.bar.update(steps - self.bar.n)
        if not math.isfinite(terms["total"]):
            raise UserError(
                f"{self.output}: the total is not finite after {steps} steps; "
                "try a lower pixel_learning_rate or style_weight"
            )
        if progress.iteration and self.every and steps % self.every == 0:
            name = f"{self.output.stem}-{steps:05d}{self.output.suffix}"
            write_picture(self.output.with_name(name), Picture(to_uint8(progress.pixels)))
        if progress.iteration and progress.iteration % KEEP_EVERY == 0:
            self._keep(progress)

    def _keep(self, progress: Progress) -> None:
        header = {
            "identity": self.identity,
            "scale": progress.scale,
            "iteration": progress.iteration,
            "best_total": progress.best_total,
        }
        pictures = {"pixels": progress.pixels, "best": progress.best}
        write_arrays(
            self.file, {"header": np.array(json.dumps(header))} | pictures | dict(progress.memory)
        )

    def _unfinished(self) -> Progress | None:
        if not self.file.exists():
            return None
        try:
            memory = read_arrays(self.file)
            header = json.loads(str(memory.pop("header")))
            pixels, best = memory.pop("pixels"), memory.pop("best")
        except (UserError, KeyError, ValueError) as error:
            logging.warning("%s: is damaged (%s); starting again", self.file, error)
            return None
        if header.pop("identity") != self.identity:
            logging.warning("%s: has other pictures or another conf; starting again", self.file)
            return None
        print(f"continuing from step {header['iteration']} of size {header['scale'] + 1}")
        return Progress(pixels=pixels, best=best, memory=memory, **header)
