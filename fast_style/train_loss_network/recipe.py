"""The recipe of the built-in loss network: prune VGG16 to half its width, train, write a card."""

import hashlib
from pathlib import Path

import numpy as np

from fast_style import hardware
from fast_style.conf.config import IMAGENET, Config
from fast_style.conf.vgg_layers import WIDTHS, convolutions
from fast_style.errors import naming
from fast_style.files import make_folder, write_atomically
from fast_style.loss.vgg_weights import read_weights, save_weights
from fast_style.pictures.images import flatten_on_white, read_picture
from fast_style.pictures.pixels import square
from fast_style.pictures.training_pictures.content_images import ContentImages
from fast_style.train_loss_network.distillation import Distillation, features, train
from fast_style.train_loss_network.pruning import prune
from fast_style.training.provenance import provenance

TEACHER, STUDENT = "vgg_16", "vgg_16_half"
PRUNING_PICTURES = 320
PRUNING_PIXELS = PRUNING_PICTURES * 128**2  # in all; a layer's features of them need up to 1.3 GB
VALIDATION_SIDE = 256

Layers = dict[str, dict[str, float]]


def make_loss_network(
    config: Config,
    teacher: str,
    photos: list[Path],
    folder: Path,
    output: Path,
    *,
    terms: str | None = None,
    download: bool = False,
) -> None:
    """Prunes, trains, measures on photos, and writes the weights and their card.

    config: its keys for ContentImages, `steps`, and those of the learning rate. teacher: as for
    read_weights. folder: of the checkpoint, from which a stopped training continues. output: the
    .npz of the weights; the card is the .md beside it. terms: the card's text about the pictures.
    download: as for ContentImages.
    Raises UserError for wrong input and if the training diverges, KeyboardInterrupt after Ctrl-C.
    """
    make_folder(folder)
    with naming("--validation-images"):
        pictures = [flatten_on_white(read_picture(photo)) for photo in photos]
    validation = np.stack([square(rgb, VALIDATION_SIDE) for rgb in pictures])
    images = ContentImages(config, download=download)
    with naming(f"--teacher {teacher}: cannot be used as {TEACHER}"):
        weights = read_weights(TEACHER, teacher)
    wanted = min(PRUNING_PICTURES, PRUNING_PIXELS // config.image_size**2)
    batches = [images.batch(step) for step in range(max(1, -(-wanted // config.batch_size)))]
    widths = {layer: width for layer, (_, width) in convolutions(STUDENT).items()}
    student, chosen = prune(weights, widths, batches, config.seed)
    dtype = hardware.fastest_precision()
    distillation = Distillation(config, weights, student, chosen, dtype)
    pruned = distillation.measure(validation)
    checkpoint = folder / "checkpoint.npz"
    if checkpoint.exists():
        distillation.restore(checkpoint)
        print(f"continuing from step {distillation.step} of {config.steps} in {folder}")
    train(distillation, images, checkpoint)
    images.report_broken()
    student = distillation.weights()
    save_weights(output, student)
    measured = {"pruned": pruned, "trained": distillation.measure(validation)}
    for name, network in {"active": student, "teacher active": weights}.items():
        found = [features(network, photo[None]) for photo in validation]
        measured[name] = {
            layer: float(np.mean([np.mean(each[layer].numpy() > 0) for each in found]))
            for layer in chosen
        }
    card = write_card(config, teacher, measured, len(photos), output, terms, dtype)
    print(f"{output} and its card {card} are written")


def write_card(
    config: Config,
    teacher: str,
    measured: Layers,
    photos: int,
    output: Path,
    terms: str | None,
    dtype: str,
) -> Path:
    """Writes the card beside the weights and returns its path.

    measured: 'pruned' and 'trained' distances, and the fractions of activations above 0 of the
    student ('active') and the teacher ('teacher active'), each by layer.
    """
    made = provenance()
    rows = "\n".join(
        f"| {layer} | {measured['pruned'][layer]:.2f} | {measured['trained'][layer]:.2f} "
        f"| {measured['active'][layer]:.0%} | {measured['teacher active'][layer]:.0%} |"
        for layer in measured["trained"]
    )
    widths = ", ".join(map(str, WIDTHS[STUDENT]))
    source = "" if teacher == IMAGENET else f", {Path(teacher).name}"
    card = f"""# {output.name}: the built-in loss network

VGG16's 13 convolutions at half width ({widths}), trained by this project to have the
features of a whole VGG16 that was trained on ImageNet, with average pooling. Each channel stands
for a channel of that network. The input is RGB 0..255 minus the VGG pixel mean.

It exists so that styles can be trained without any download. ImageNet's VGG16 itself
(`loss_model: vgg_16`, `loss_model_file: imagenet`) is twice as wide.

- Teacher: VGG16 (Simonyan and Zisserman 2015){source}
- First weights: the channels that span each layer of the teacher best, and kernels for them by
  least squares (`fast_style/train_loss_network/pruning.py`)
- Training: {config.steps:,} steps of {config.batch_size} random crops of {config.image_size} pixels
- Loss: the sum over layers of the squared distance to the teacher's features over their square
- Optimizer: Adam, learning rate {config.learning_rate:g} of an array's size, half a cosine
- Seed {config.seed}, {dtype}
- Data: {terms or config.dataset}
- Hardware: {made["hardware"]}
- Date: {made["date"]}
- SHA-256: `{hashlib.sha256(output.read_bytes()).hexdigest()}`
- Licence: MIT, as the project

Over {photos} photos of {VALIDATION_SIDE} pixels that were not trained on: the squared distance to
the teacher's features as a fraction of their square, and the share of activations above 0.

| layer | distance after pruning | after training | active | teacher's active |
|---|---|---|---|---|
{rows}
"""
    file = output.with_suffix(".md")
    write_atomically(file, card.encode())
    return file
