"""How the built-in loss network is made.

A classifier is trained on several sets of pictures at once; batch normalization and pixel scaling
are folded into its convolutions, every layer is scaled to the same mean activation over photos,
and the convolutions alone are written as float16, with a model card.
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
    device,
    train,
)

CALIBRATION_SIDE = 256
# Puts the published form of the objective into the range of the published style weights, 50 to
# 250: with 100, candy's weighted style loss on plain photos is about 6 times the content distance
# between two photos (measured on an earlier network).
MEAN_ACTIVATION = 50.0


def make_loss_network(args: argparse.Namespace, photos: list[Path]) -> None:
    """Train, fold and write it, with its card. args: as the program has them."""
    calibration = np.stack([square(read_picture(path).rgb, CALIBRATION_SIDE) for path in photos])
    pictures, validation = read_pictures(args.data, device())
    print(f"{len(pictures):,} pictures to train on, {len(validation):,} to validate on", flush=True)
    settings = Settings(**{field.name: getattr(args, field.name) for field in fields(Settings)})
    training = Training(settings, read_classes(args.data), pictures)
    progress = train(training, validation, args.folder, args.steps, args.minutes)
    weights, layers = equalize(fold(training.classifier), torch.from_numpy(calibration))
    save_weights(args.output, numpy_weights(weights))
    card = write_card(args, training, validation, progress, layers, len(photos))
    print(f"{args.output} and its card {card} are written")


def features(weights: Weights, photos: Tensor, pooling: str) -> dict[str, Tensor]:
    """What folded weights make of (N, H, W, 3) RGB of 0..255: {"block1_conv1": (N, C, h, w)}."""
    x = (photos.float() - torch.tensor(PIXEL_MEAN)).permute(0, 3, 1, 2)
    found: dict[str, Tensor] = {}
    for name, (kernel, bias) in weights.items():
        if found and name.endswith("conv1"):
            x = POOLINGS[pooling](x, 2)
        x = found[name] = functional.conv2d(x, kernel, bias, padding=1).relu()
    return found


def equalize(weights: Weights, photos: Tensor) -> tuple[Weights, dict[str, np.ndarray]]:
    """Scale every layer to MEAN_ACTIVATION over photos (N, H, W, 3) uint8, average pooling.

    ReLU networks are positively homogeneous, so a factor on one layer's output is taken back by
    the next layer's kernel and what the network computes stays the same.

    Also returns for each layer two statistics over the photos, in 0..1: the part of its units
    that are above 0, and the part of the Gram matrix's Frobenius norm that the outer product of
    the channels' means has.
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
    """As save_weights takes them: kernels (3, 3, in, out)."""
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
    """The model card beside the weights: data, accuracy, settings, hardware, date, hash."""
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
    sparse = f"; sparsity {settings.sparsity:g}" if settings.sparsity else ""
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
- Loss: cross-entropy in each set's own classes, label smoothing {LABEL_SMOOTHING:g}{sparse}
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

Over the same photos: how many of a layer's units are above 0, and which part of the Gram matrix's
norm the outer product of the channels' means has.

| layer | active | means in the Gram matrix |
|---|---|---|
{activity}
"""
    file = args.output.with_suffix(".md")
    write_atomically(file, card.encode())
    return file
