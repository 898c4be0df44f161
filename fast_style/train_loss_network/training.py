"""The training of the classifier: steps, checkpoints and validation."""

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
from fast_style.train_loss_network.classifier import Classifier, classification_loss, masked
from fast_style.train_loss_network.muon import Muon
from fast_style.train_loss_network.packs import Classes
from fast_style.train_loss_network.pictures import Pictures

CHECKPOINT = "checkpoint.pt"
WARM_UP, DECAY = 0.03, 0.7  # parts of the steps in which the learning rate rises and falls
ROUNDS = 20  # with a checkpoint and a validation after each
SHARE_EXPONENT = 0.5  # a set of 16 times as many pictures is drawn from 4 times as often
# Random crops enlarge objects by 1 / 0.82 on average, so whole pictures are enlarged as well.
VIEW = 0.82
HEAD_RATE = 0.1  # learning rate of the head and batch normalization / that of the kernels


@dataclass(frozen=True)
class Settings:
    """The flags that must stay the same when a checkpoint is continued."""

    loss_model: str
    pooling: str
    crops: list[int]  # sides in pixels, each for an equal number of steps
    batch_size: int
    learning_rate: float  # of Muon
    seed: int
    init_from: str | None = None  # a file of weights; None: random weights


@dataclass
class Progress:
    step: int  # the number of steps that are done
    steps: int
    seconds: float = 0.0  # how long the steps took
    accuracies: list[float] = field(default_factory=list)  # of each set, at the last validation


def _bfloat16_is_fast(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return hardware.bfloat16_unit() is not None


def describe_hardware() -> str:
    """Returns the GPU, if there is one, and the CPU in one line, for the card."""
    gpus = [torch.cuda.get_device_name()] if torch.cuda.is_available() else []
    return ", ".join([*gpus, hardware.describe_cpu()])


def rate(step: int, steps: int) -> float:
    """Returns the learning rate / its peak: it rises linearly, stays, and falls linearly to 0."""
    done = (step + 1) / steps
    return min(1.0, done / WARM_UP, (1 - step / steps) / DECAY)


class Training:
    """A classifier and its optimizers. classes, pictures: to train on."""

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
        """Returns the numbers (N,) and crops (N, side, side, 3) of random pictures.

        They depend only on the seed and the step.
        """
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
        """Returns (N,) float64: the cumulative probabilities by which pictures are drawn."""
        counts = self.counts(self.pictures).double()
        each = counts[self.set_of_label[self.pictures.label]] ** (SHARE_EXPONENT - 1)
        return each.cumsum(0) / each.sum()

    def crop(self, step: int, steps: int) -> int:
        """Returns the side of the crops in a step."""
        return self.settings.crops[step * len(self.settings.crops) // steps]

    def step(self, step: int, steps: int) -> Tensor:
        """Does a step and returns the loss, on the device."""
        chosen, crops = self._batch(step, steps)
        with self._autocast():
            logits = self.classifier.logits(self.classifier.features(crops))
        labels = self.pictures.label[chosen]
        loss = classification_loss(logits, labels, self.set_of_label)
        loss.backward()
        for optimizer, peak in zip(self.optimizers, self.peaks, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * rate(step, steps)
            optimizer.step()
            optimizer.zero_grad()
        return loss.detach()

    @torch.no_grad()
    def accuracies(self, pictures: Pictures, crop: int) -> list[float]:
        """Returns the top-1 accuracy of each set, 0 to 1, on whole pictures."""
        side = round(crop / VIEW / 16) * 16
        right = torch.zeros(len(self.classes.sets), device=self.device)
        self.classifier.eval()
        numbers = torch.arange(len(pictures), device=self.device)
        for chosen in numbers.split(self.settings.batch_size):
            with self._autocast():
                features = self.classifier.features(pictures.whole(chosen, side))
                logits = self.classifier.logits(features)
            labels = pictures.label[chosen]
            best = masked(logits, labels, self.set_of_label).argmax(dim=1)
            right.index_add_(0, self.set_of_label[labels], (best == labels).float())
        self.classifier.train()
        return (right / self.counts(pictures).clamp(min=1)).tolist()

    def counts(self, pictures: Pictures) -> Tensor:
        """Returns (sets,), the number of pictures of each set."""
        sets = self.set_of_label[pictures.label]
        return torch.bincount(sets, minlength=len(self.classes.sets))

    @property
    def precision(self) -> str:
        return str(self.dtype).removeprefix("torch.")

    def _autocast(self) -> torch.autocast:
        enabled = self.dtype != torch.float32
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled)


def train(
    training: Training,
    validation: Pictures,
    folder: Path,
    steps: int | None = None,
    minutes: float | None = None,
) -> Progress:
    """Trains for `steps`, or for as many as fit into `minutes` at the measured speed.

    Continues from the checkpoint in `folder`, and writes it after each round and at Ctrl-C.
    Raises UserError if the checkpoint is of other settings or classes.
    """
    make_folder(folder)
    file = folder / CHECKPOINT
    if file.exists():
        progress = _restore(training, file, steps)
        print(f"{file}: continues at step {progress.step:,} of {progress.steps:,}", flush=True)
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
            pairs = zip(training.classes.sets, progress.accuracies, strict=True)
            accuracies = ", ".join(f"{name} {accuracy:.1%}" for name, accuracy in pairs)
            print(
                f"step {progress.step:,} of {progress.steps:,}, crops of {crop}: loss {loss:.3f}, "
                f"{speed:,.0f} pictures/s; accuracy: {accuracies}",
                flush=True,
            )
            losses, begin = [], time.perf_counter()
    return progress


def _steps_in(training: Training, minutes: float) -> int:
    """Returns how many steps fit into `minutes`, measured on a copy of the training."""
    copy = Training(training.settings, training.classes, training.pictures)
    crops, total = training.settings.crops, 0.0
    for number, crop in enumerate(crops):
        for count in (3, 20 if training.on_gpu else 3):  # the first steps are slower
            begin = time.perf_counter()
            losses = [copy.step(number, len(crops)) for _ in range(count)]
            float(losses[-1])  # waits for the device
            seconds = (time.perf_counter() - begin) / count
        total += seconds
        speed = training.settings.batch_size / seconds
        print(f"crops of {crop}: {speed:,.0f} pictures/s", flush=True)
    steps = max(ROUNDS, round(minutes * 60 * len(crops) / total))
    print(f"{minutes:g} minutes are {steps:,} steps", flush=True)
    return steps


def _save(training: Training, progress: Progress, file: Path) -> None:
    with replacement(file) as partial:
        torch.save(
            {
                "settings": asdict(training.settings),
                "classes": training.classes.names,
                "progress": asdict(progress),
                "classifier": training.classifier.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in training.optimizers],
            },
            partial,
        )


def _restore(training: Training, file: Path, steps: int | None) -> Progress:
    try:
        saved = torch.load(file, map_location=training.device, weights_only=True)
        progress = Progress(**saved["progress"])
        begun = asdict(Settings(**saved["settings"])) | {"steps": progress.steps}
        classes = [tuple(name) for name in saved["classes"]]
    except Exception as error:  # on damaged bytes torch raises nearly anything
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"{file}: is damaged, or not of this program: {reason}") from None
    now = asdict(training.settings) | {"steps": steps or progress.steps}
    for name, value in now.items():
        if value != begun[name]:
            raise UserError(
                f"{file}: was begun with {name} {begun[name]}, not {value}; use the same flags, or "
                "another --folder"
            )
    if classes != training.classes.names:
        raise UserError(f"{file}: was begun on other classes; use its --data, or another --folder")
    training.classifier.load_state_dict(saved["classifier"])
    for optimizer, state in zip(training.optimizers, saved["optimizers"], strict=True):
        optimizer.load_state_dict(state)
    return progress
