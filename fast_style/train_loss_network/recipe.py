"""Makes a loss network.

A classifier is trained on several sets of pictures at once. Batch normalization and pixel scaling
are folded into its convolutions, and every layer is scaled to the same mean activation over photos.
The convolutions are written as float16, with a model card.
"""

import argparse
import datetime
import hashlib
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fast_style.conf.vgg_layers import PIXEL_MEAN, WIDTHS
from fast_style.files import write_atomically
from fast_style.loss.vgg_weights import save_weights
from fast_style.pictures.images import read_picture
from fast_style.pictures.pixels import square
from fast_style.train_loss_network.classifier import LABEL_SMOOTHING, POOLINGS, Weights, fold
from fast_style.train_loss_network.packs import read_classes
from fast_style.train_loss_network.pictures import Pictures, read_pictures
from fast_style.train_loss_network.training import (
    Progress,
    Settings,
    Training,
    describe_hardware,
    train,
)

CALIBRATION_SIDE = 256
# With this value the published style weights, 50 to 250, fit: with 100, candy's weighted style loss
# on plain photos is about 6 times the content distance between two photos (measured on an earlier
# network).
MEAN_ACTIVATION = 50.0


def make_loss_network(args: argparse.Namespace, photos: list[Path]) -> None:
    """Trains a loss network and writes it with its card. args: of the program."""
    calibration = np.stack([square(read_picture(path).rgb, CALIBRATION_SIDE) for path in photos])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pictures, validation = read_pictures(args.data, device)
    print(f"{len(pictures):,} pictures to train on, {len(validation):,} to validate on", flush=True)
    settings = Settings(**{field.name: getattr(args, field.name) for field in fields(Settings)})
    training = Training(settings, read_classes(args.data), pictures)
    progress = train(training, validation, args.folder, args.steps, args.minutes)
    weights, layers = equalize(fold(training.classifier), torch.from_numpy(calibration))
    save_weights(args.output, numpy_weights(weights))
    card = write_card(args, training, validation, progress, layers, len(photos))
    print(f"{args.output} and its card {card} are written")


def features(weights: Weights, photos: Tensor, pooling: str) -> dict[str, Tensor]:
    """Returns the features {"block1_conv1": (N, C, h, w), ...} of folded weights.

    photos: (N, H, W, 3) RGB 0..255. pooling: a key of POOLINGS.
    """
    x = (photos.float() - torch.tensor(PIXEL_MEAN)).permute(0, 3, 1, 2)
    found: dict[str, Tensor] = {}
    for name, (kernel, bias) in weights.items():
        if found and name.endswith("conv1"):
            x = POOLINGS[pooling](x, 2)
        x = found[name] = functional.conv2d(x, kernel, bias, padding=1).relu()
    return found


def equalize(weights: Weights, photos: Tensor) -> tuple[Weights, dict[str, np.ndarray]]:
    """Returns the weights, each layer scaled to MEAN_ACTIVATION over photos, and statistics.

    photos: (N, H, W, 3) uint8. The factor of a layer is divided out of the next kernel, which does
    not change the function, because ReLU networks are positively homogeneous.
    The statistics of a layer over the photos are two numbers in 0..1: the part of its units that
    are above 0, and the part of the Gram matrix's Frobenius norm that comes from the outer product
    of the channels' means.
    """
    sums = {name: np.zeros(3) for name in weights}
    for photo in photos:
        for name, layer in features(weights, photo[None], "avg").items():
            pixels = layer[0].flatten(1)
            gram = pixels @ pixels.T / pixels.shape[1]
            of_means = pixels.mean(dim=1).square().sum() / gram.norm().clamp(min=1e-30)
            sums[name] += [float(s) for s in (pixels.mean(), (pixels > 0).float().mean(), of_means)]
    scaled, previous = {}, 1.0
    for name, (kernel, bias) in weights.items():
        factor = MEAN_ACTIVATION * len(photos) / sums[name][0]
        scaled[name] = (kernel * (factor / previous), bias * factor)
        previous = factor
    return scaled, {name: total[1:] / len(photos) for name, total in sums.items()}


def numpy_weights(weights: Weights) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns the weights as save_weights takes them, with kernels (3, 3, in, out)."""
    return {
        name: (kernel.permute(2, 3, 1, 0).numpy(), bias.numpy())
        for name, (kernel, bias) in weights.items()
    }


def write_card(
    args: argparse.Namespace,
    training: Training,
    validation: Pictures,
    progress: Progress,
    layers: dict[str, np.ndarray],
    photos: int,
) -> Path:
    """Writes the model card beside the weights and returns its path."""
    settings, classes = training.settings, training.classes
    digest = hashlib.sha256(args.output.read_bytes()).hexdigest()
    columns = zip(
        classes.sets,
        [[name for name, _ in classes.names].count(name) for name in classes.sets],
        training.counts(training.pictures).tolist(),
        training.counts(validation).tolist(),
        progress.accuracies,
        strict=True,
    )
    sets = "\n".join(
        f"| {name} | {kinds} | {trained:,} | {held_out:,} | {accuracy:.1%} |"
        for name, kinds, trained, held_out, accuracy in columns
    )
    activity = "\n".join(
        f"| {name} | {active:.0%} | {of_means:.0%} |" for name, (active, of_means) in layers.items()
    )
    pooling = {"avg": "average", "max": "maximum"}[settings.pooling]
    widths = ", ".join(map(str, WIDTHS[settings.loss_model]))
    crops = ", ".join(map(str, settings.crops))
    begun = f"from {settings.init_from}" if settings.init_from else "from random weights"
    card = f"""# {args.output.name}: a loss network

The {len(layers)} convolutions of `loss_model: {settings.loss_model}` (widths {widths}), trained
by this project as a classifier of several sets of pictures at once, with {pooling} pooling
(`pooling: {settings.pooling}`). Batch normalization and pixel scaling are folded in, so the input
is RGB 0..255 minus the VGG pixel mean. Every layer is scaled to a mean activation of
{MEAN_ACTIVATION:g} over {photos} photos (average pooling, {CALIBRATION_SIDE} pixels).

- Data: the sets below{f"; {args.terms}" if args.terms else ""}
- Training: {begun}, {progress.steps:,} steps of {settings.batch_size} pictures, an equal number on
  random crops scaled to each of {crops} pixels; mirrored, and with other brightness, contrast and
  saturation; a set is drawn from in proportion to the root of its size
- Loss: cross-entropy in each set's own classes, label smoothing {LABEL_SMOOTHING:g}
- Optimizer: Muon on kernels, AdamW on the rest; learning rate {settings.learning_rate:g} after a
  warm-up, with a linear decay to 0; seed {settings.seed}
- Hardware: {describe_hardware()}; {progress.seconds:,.0f} seconds in {training.precision}
- Date: {datetime.date.today().isoformat()}
- SHA-256: `{digest}`
- Licence: MIT, as the project

Accuracy is top-1 on whole validation pictures, among the classes of their own set.

| set | classes | training pictures | validation pictures | accuracy |
|---|---|---|---|---|
{sets}

Over the same photos: the part of a layer's units that are above 0, and the part of the Gram
matrix's norm that comes from the outer product of the channels' means.

| layer | active | means in the Gram matrix |
|---|---|---|
{activity}
"""
    file = args.output.with_suffix(".md")
    write_atomically(file, card.encode())
    return file
