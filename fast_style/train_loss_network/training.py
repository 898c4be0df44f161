"""The training of the classifier: rates, crops, steps, checkpoints and validation."""

import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fast_style import hardware
from fast_style.command_line import interruption
from fast_style.conf.locations import locate_weights
from fast_style.errors import UserError
from fast_style.files import make_folder, replacement
from fast_style.loss.vgg_weights import read_weights
from fast_style.train_loss_network.classifier import (
    Classifier,
    classification_loss,
    density,
    masked,
)
from fast_style.train_loss_network.muon import Muon
from fast_style.train_loss_network.packs import Classes
from fast_style.train_loss_network.pictures import Pictures

CHECKPOINT = "checkpoint.pt"
WARM_UP, DECAY = 0.03, 0.7  # parts of the steps in which the rate rises, and falls to 0
ROUNDS = 20  # a checkpoint and a validation after each
# A set of 16 times as many pictures is drawn from 4 times as often.
SHARE_EXPONENT = 0.5
# Random crops enlarge objects by 1 / 0.82 on average, so whole pictures are shown larger.
VIEW = 0.82
HEAD_RATE = 0.1  # AdamW's rate for the head and batch normalization, as a part of Muon's


@dataclass(frozen=True)
class Settings:
    """What a checkpoint can only be continued with.

    crops: sides in pixels, each for an equal number of steps. learning_rate: of Muon.
    sparsity: weight of the penalty on dense activations (`density`). init_from: file of the
    weights of a loss network to begin with; None: random ones.
    """

    loss_model: str
    pooling: str
    crops: list[int]
    batch_size: int
    learning_rate: float
    sparsity: float
    seed: int
    init_from: str | None = None


@dataclass
class Progress:
    """steps done of all; seconds of training steps; accuracies: of each set, after the newest."""

    step: int
    steps: int
    seconds: float = 0.0
    accuracies: list[float] = field(default_factory=list)


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _bfloat16_is_fast(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return hardware.bfloat16_unit() is not None


def describe_hardware() -> str:
    """One line for the card: the GPU, if there is one, and the CPU."""
    gpus = [torch.cuda.get_device_name()] if torch.cuda.is_available() else []
    return ", ".join([*gpus, hardware.describe_cpu()])


def rate(step: int, steps: int) -> float:
    """Of the peak learning rate: a linear rise, constant, and a linear fall to 0 at the end."""
    done = (step + 1) / steps
    return min(1.0, done / WARM_UP, (1 - step / steps) / DECAY)


class Training:
    """A classifier in training on the pictures of several sets."""

    def __init__(self, settings: Settings, classes: Classes, pictures: Pictures) -> None:
        self.settings, self.classes, self.pictures = settings, classes, pictures
        self.device = pictures.pixels.device
        self.on_gpu = self.device.type == "cuda"
        self.dtype = torch.bfloat16 if _bfloat16_is_fast(self.device) else torch.float32
        torch.backends.cudnn.benchmark = True
        torch.manual_seed(settings.seed)
        classifier = Classifier(settings.loss_model, len(classes.names), settings.pooling)
        classifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.classifier = classifier.to(self.device)
        kernels = [p for p in self.classifier.parameters() if p.ndim == 4]
        rest = [p for p in self.classifier.parameters() if p.ndim != 4]
        self.optimizers: list[torch.optim.Optimizer] = [
            Muon(kernels, settings.learning_rate, dtype=self.dtype),
            torch.optim.AdamW(rest, settings.learning_rate * HEAD_RATE, fused=self.on_gpu),
        ]
        self.peaks = [optimizer.defaults["lr"] for optimizer in self.optimizers]
        self.set_of_label = torch.tensor(classes.set_of_label(), device=self.device)
        self.shares = self._shares()
        self.generator = torch.Generator(self.device)
        if settings.init_from is not None:
            weights = str(locate_weights(settings.init_from))
            self._begin_with(read_weights(settings.loss_model, weights))

    def _begin_with(self, weights: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
        folded = {
            name: (
                torch.from_numpy(kernel).permute(3, 2, 0, 1).to(self.device),
                torch.from_numpy(bias).to(self.device),
            )
            for name, (kernel, bias) in weights.items()
        }
        self.classifier.begin_with(folded, self._batch(0, 1)[1])

    def _batch(self, step: int, steps: int) -> tuple[Tensor, Tensor]:
        """Numbers (N,) and random crops (N, side, side, 3) that depend on the step alone."""
        self.generator.manual_seed(self.settings.seed * 1_000_003 + step)
        random = torch.rand(
            self.settings.batch_size,
            dtype=torch.float64,
            generator=self.generator,
            device=self.device,
        )
        chosen = torch.searchsorted(self.shares, random).clamp_(max=len(self.pictures) - 1)
        return chosen, self.pictures.random_crops(chosen, self.crop(step, steps), self.generator)

    def _shares(self) -> Tensor:
        """(N,) float64: up to which part of 0 to 1 a random number stands for each picture."""
        sets = self.set_of_label[self.pictures.label]
        counts = torch.bincount(sets, minlength=len(self.classes.sets)).double()
        each = counts[sets] ** (SHARE_EXPONENT - 1)
        return each.cumsum(0) / each.sum()

    def crop(self, step: int, steps: int) -> int:
        return self.settings.crops[step * len(self.settings.crops) // steps]

    def step(self, step: int, steps: int) -> Tensor:
        """One step, which depends on nothing but its number and the state; the loss, unread."""
        chosen, crops = self._batch(step, steps)
        with self._autocast():
            features = self.classifier.features(crops)
            logits = self.classifier.logits(features)
        labels = self.pictures.label[chosen]
        loss = classification_loss(logits, labels, self.set_of_label)
        objective = loss
        if self.settings.sparsity:
            objective = loss + self.settings.sparsity * density(features)
        objective.backward()
        for optimizer, peak in zip(self.optimizers, self.peaks, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * rate(step, steps)
            optimizer.step()
            optimizer.zero_grad()
        return loss.detach()

    @torch.no_grad()
    def accuracies(self, pictures: Pictures, crop: int) -> list[float]:
        """Of each set: the part of whole pictures whose class is the likeliest of the set's."""
        side = round(crop / VIEW / 16) * 16
        right = torch.zeros(len(self.classes.sets), device=self.device)
        self.classifier.eval()
        for chosen in torch.arange(len(pictures), device=self.device).split(
            self.settings.batch_size
        ):
            with self._autocast():
                features = self.classifier.features(pictures.whole(chosen, side))
                logits = self.classifier.logits(features)
            labels = pictures.label[chosen]
            best = masked(logits, labels, self.set_of_label).argmax(dim=1)
            right.index_add_(0, self.set_of_label[labels], (best == labels).float())
        self.classifier.train()
        return (right / self.counts(pictures).clamp(min=1)).tolist()

    def counts(self, pictures: Pictures) -> Tensor:
        """(sets,) how many pictures each set has."""
        sets = self.set_of_label[pictures.label]
        return torch.bincount(sets, minlength=len(self.classes.sets))

    @property
    def precision(self) -> str:
        return str(self.dtype).removeprefix("torch.")

    def _autocast(self) -> torch.autocast:
        enabled = self.dtype != torch.float32
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled)

    def synchronize(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize()

    def state(self) -> dict:
        return {
            "classifier": self.classifier.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def restore(self, state: dict) -> None:
        self.classifier.load_state_dict(state["classifier"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)

    def seconds_per_step(self, warm_up: int = 3) -> list[float]:
        """For each of `crops`. The classifier is trained by it: measure on one of its own."""
        seconds = []
        timed = 20 if self.on_gpu else 3
        for index in range(len(self.settings.crops)):
            for _ in range(warm_up):
                self.step(index, len(self.settings.crops))
            self.synchronize()
            begin = time.perf_counter()
            for _ in range(timed):
                self.step(index, len(self.settings.crops))
            self.synchronize()
            seconds.append((time.perf_counter() - begin) / timed)
        return seconds


def train(
    training: Training,
    validation: Pictures,
    folder: Path,
    steps: int | None = None,
    minutes: float | None = None,
) -> Progress:
    """Train for `steps`, or for as many as the measured speed allows in `minutes`.

    It goes on from the checkpoint in `folder`, and writes one there after each of the rounds and
    at Ctrl-C. Raises UserError where the checkpoint is of other settings or classes.
    """
    make_folder(folder)
    file = folder / CHECKPOINT
    if file.exists():
        progress = _restore(training, file, steps)
        print(f"{file}: goes on after step {progress.step:,} of {progress.steps:,}", flush=True)
    else:
        progress = Progress(0, steps or _steps_in(training, minutes or 0))
    rounds = {progress.steps * number // ROUNDS for number in range(1, ROUNDS + 1)}
    losses: list[Tensor] = []
    begin = time.perf_counter()
    with interruption() as interrupted:
        while progress.step < progress.steps:
            losses.append(training.step(progress.step, progress.steps))
            progress.step += 1
            if progress.step not in rounds and not interrupted:
                continue
            loss = float(torch.stack(losses).mean())  # waits for the device
            seconds = time.perf_counter() - begin
            progress.seconds += seconds
            if not math.isfinite(loss):
                raise UserError(
                    f"the loss is {loss} before step {progress.step:,}; lower --learning-rate "
                    f"({training.settings.learning_rate:g}) and remove {folder}"
                )
            crop = training.crop(progress.step - 1, progress.steps)
            if progress.step in rounds:
                progress.accuracies = training.accuracies(validation, crop)
            _save(training, progress, file)
            if interrupted:
                raise KeyboardInterrupt
            speed = len(losses) * training.settings.batch_size / seconds
            print(
                f"step {progress.step:,} of {progress.steps:,}, crops of {crop}: loss {loss:.3f}, "
                f"{speed:,.0f} pictures/s; recognized: {_by_set(training, progress)}",
                flush=True,
            )
            losses, begin = [], time.perf_counter()
    return progress


def _by_set(training: Training, progress: Progress) -> str:
    pairs = zip(training.classes.sets, progress.accuracies, strict=True)
    return ", ".join(f"{name} {accuracy:.1%}" for name, accuracy in pairs)


def _steps_in(training: Training, minutes: float) -> int:
    measured = Training(training.settings, training.classes, training.pictures).seconds_per_step()
    for crop, seconds in zip(training.settings.crops, measured, strict=True):
        speed = training.settings.batch_size / seconds
        print(f"crops of {crop}: {speed:,.0f} pictures/s", flush=True)
    steps = max(ROUNDS, round(minutes * 60 * len(measured) / sum(measured)))
    print(f"{minutes:g} minutes are {steps:,} steps", flush=True)
    return steps


def _save(training: Training, progress: Progress, file: Path) -> None:
    with replacement(file) as partial:
        torch.save(
            {
                "settings": asdict(training.settings),
                "classes": [list(name) for name in training.classes.names],
                "progress": asdict(progress),
                "state": training.state(),
            },
            partial,
        )


def _restore(training: Training, file: Path, steps: int | None) -> Progress:
    try:
        saved = torch.load(file, map_location=training.device, weights_only=True)
        progress = Progress(**saved["progress"])
        settings = Settings(**saved["settings"])
        classes = saved["classes"]
    except Exception as error:  # on damaged bytes torch raises nearly anything
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"{file}: is damaged, or not of this program: {reason}") from None
    begun = asdict(settings) | {"steps": progress.steps}
    now = asdict(training.settings) | {"steps": steps or progress.steps}
    for name, value in now.items():
        if value != begun[name]:
            raise UserError(
                f"{file}: was begun with {name} {begun[name]}, not {value}; use the flags it was "
                "begun with, or another --folder"
            )
    if classes != [list(name) for name in training.classes.names]:
        raise UserError(f"{file}: was begun on other classes; use its --data, or another --folder")
    training.restore(saved["state"])
    return progress
