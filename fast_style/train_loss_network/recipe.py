"""How the built-in loss network is made: VGG16's convolutions at half width, on small pictures.

The network is trained as a classifier with batch normalization and a pooled linear head; then
batch normalization and pixel scaling are folded into the convolutions, every layer is scaled to
the same mean activation over photos, and the convolutions alone are written as float16 with a
model card.

Training is progressive: `--crops` names the side of the training crop of every epoch in turn, so
that most updates are made on small and cheap pictures. Shrinking blurs, and a network that has seen
nothing else fails on sharp pixels (42.7% of the pictures recognized when shrunk to 56 pixels, 21.0%
at their own 64), so the last epochs (`--sharp-crops`) show parts of them as they are; each is a
learning-rate cycle of its own.
"""

import argparse
import csv
import datetime
import hashlib
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from fast_style import hardware
from fast_style.errors import UserError
from fast_style.files import write_atomically
from fast_style.loss.loss_network import build_loss_network
from fast_style.loss.vgg_weights import save_weights
from fast_style.pictures.images import read_picture
from fast_style.pictures.pixels import square
from fast_style.vgg_layers import PIXEL_MEAN, convolutions, feature_name

LOSS_MODEL = "vgg_16_half"
PICTURE_SIDE = 64
NARROWEST_VIEW = 48
PIXEL_SCALE = 64.0
CALIBRATION_SIDE = 256
# Puts the published form of the objective into the range of the published style weights, 50 to
# 250: with 100, candy's weighted style loss on plain photos is about 6 times the content distance
# between two photos (measured on the network of epoch 4).
MEAN_ACTIVATION = 50.0
NORM_EPSILON = 1e-3

Weights = dict[str, tuple[np.ndarray, np.ndarray]]


def make_loss_network(args: argparse.Namespace, photos: list[Path]) -> None:
    """Train, fold and write it, with its card. args: as the program has them."""
    pictures = np.stack([square(read_picture(path).rgb, CALIBRATION_SIDE) for path in photos])
    weights = equalize(fold(train_classifier(args)), pictures, args.folder)
    save_weights(args.output, weights)
    write_card(args, args.output)
    print(f"{args.output} and its card are written")


@keras.saving.register_keras_serializable("fast_style")
class ConvolutionMuon(keras.optimizers.Muon):
    """Muon on convolution kernels seen as (height * width * inputs, outputs) matrices.

    Keras's Muon leaves everything that is not a matrix to AdamW; here the 4-D kernels take the
    Muon step and the rest (batch normalization, head) AdamW's. After 160 steps of 128 pictures it
    stood at 7.7% accuracy where SGD with momentum had not yet left chance (0.5%).
    """

    def _should_use_adamw(self, variable):
        return len(variable.shape) != 4

    def _muon_update_step(self, gradient, variable, lr, m):
        self.assign_add(m, gradient + m * (self.momentum - 1))
        update = gradient + self.momentum * m if self.nesterov else m
        matrix = tf.reshape(update, (-1, variable.shape[-1]))
        update = self.zeropower_via_newtonschulz5(matrix, self.ns_steps)
        scale = self.rms_rate * max(matrix.shape) ** 0.5
        self.assign_sub(variable, lr * scale * tf.reshape(update, variable.shape))

    def zeropower_via_newtonschulz5(self, x, steps: int):
        # X_k is a polynomial in A = X Xᵀ times X, so the iteration can run on the small matrix A
        # alone: less than half of the multiplications for a 256 x 2304 kernel.
        tall = x.shape[0] > x.shape[1]
        x = tf.transpose(x) if tall else x
        x = x / (tf.norm(x) + 1e-7)
        gram = tf.matmul(x, x, transpose_b=True)
        identity = tf.eye(gram.shape[0], dtype=x.dtype)
        product = identity
        for _ in range(steps):
            factor = self.muon_a * identity + self.muon_b * gram + self.muon_c * gram @ gram
            product = factor @ product
            gram = factor @ gram @ factor
        x = product @ x
        return tf.transpose(x) if tall else x


def build_classifier(classes: int) -> keras.Model:
    """(N, H, W, 3) RGB minus mean, divided by 64, to (N, classes) float32 logits."""
    x = inputs = keras.Input((None, None, 3))
    block = "block1"
    for name, (_, width) in convolutions(LOSS_MODEL).items():
        if not name.startswith(block):
            x = keras.layers.MaxPooling2D()(x)
            block = name.partition("_")[0]
        convolution = keras.layers.Conv2D(
            width, 3, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
        )
        x = convolution(x)
        norm = name.replace("conv", "norm")
        x = keras.layers.BatchNormalization(momentum=0.9, epsilon=NORM_EPSILON, name=norm)(x)
        x = keras.layers.ReLU()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(classes, dtype="float32", name="head")(x))


def fold(classifier: keras.Model) -> Weights:
    """The classifier's convolutions with batch normalization and pixel scale folded in.

    Returns kernels (3, 3, in, out) and biases (out,) for RGB 0..255 minus the pixel mean.
    """
    weights = {}
    scale = 1 / PIXEL_SCALE
    for name in convolutions(LOSS_MODEL):
        (kernel,) = classifier.get_layer(name).get_weights()
        norm = classifier.get_layer(name.replace("conv", "norm"))
        gamma, beta, mean, variance = norm.get_weights()
        factor = gamma / np.sqrt(variance + NORM_EPSILON)
        weights[name] = (kernel * factor * scale, beta - mean * factor)
        scale = 1.0
    return weights


def equalize(weights: Weights, photos: np.ndarray, folder: Path) -> Weights:
    """Scale every layer to MEAN_ACTIVATION over photos (N, H, W, 3), with average pooling.

    ReLU networks are positively homogeneous, so a factor on one layer's output is taken back by
    the next layer's kernel and what the network computes stays the same.
    """
    file = folder / "folded.npz"
    save_weights(file, weights)
    network = build_loss_network(LOSS_MODEL, str(file), list(weights), "avg")
    totals = dict.fromkeys(network.output, 0.0)
    for photo in photos:
        for layer, features in network(photo[None].astype(np.float32)).items():
            totals[layer] += float(tf.reduce_mean(features))
    scaled, previous = {}, 1.0
    for name, (kernel, bias) in weights.items():
        factor = MEAN_ACTIVATION * len(photos) / totals[feature_name(name, LOSS_MODEL)]
        scaled[name] = (kernel * (factor / previous), bias * factor)
        previous = factor
    return scaled


def read_examples(data: str, split: str) -> tf.data.Dataset:
    """(JPEG bytes, label) pairs from a folder of TFRecords or from a TFDS classification set.

    TFRecords are SPLIT-*.tfrecord with the features `image` and `label`.
    Raises UserError where there are none.
    """
    if not Path(data).is_dir():
        import tensorflow_datasets as tfds

        examples = tfds.load(data, split=split, decoders={"image": tfds.decode.SkipDecoding()})
        return examples.map(lambda example: (example["image"], example["label"]))
    files = sorted(map(str, Path(data).glob(f"{split}-*.tfrecord")))
    if not files:
        raise UserError(f"--data {data}: holds no {split}-*.tfrecord")
    features = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
    }

    def parse(record):
        example = tf.io.parse_single_example(record, features)
        return example["image"], example["label"]

    records = tf.data.Dataset.from_tensor_slices(files).interleave(
        tf.data.TFRecordDataset, cycle_length=len(files), block_length=1
    )
    return records.map(parse)


def resize(pictures: tf.Tensor, side: int) -> tf.Tensor:
    """(N, H, W, 3) uint8 to (N, side, side, 3) float32 as build_classifier takes it."""
    resized = tf.image.resize(tf.cast(pictures, tf.float32), (side, side), antialias=True)
    return (resized - PIXEL_MEAN) / PIXEL_SCALE


def training_pictures(examples, args: argparse.Namespace, epoch: int) -> tf.data.Dataset:
    """Shuffled and flipped, in batches: at first views of 48 to 64 pixels that are
    shrunk to the epoch's crop, in the sharp epochs crops as they are."""
    crop = [*args.crops, *args.sharp_crops][epoch]

    def decode(jpeg, label):
        picture = tf.io.decode_jpeg(jpeg, channels=3)
        return tf.image.random_flip_left_right(picture), tf.one_hot(label, args.classes)

    def view(pictures, labels):
        side = tf.random.uniform((), NARROWEST_VIEW, PICTURE_SIDE + 1, tf.int32)
        side = side if epoch < len(args.crops) else crop
        views = tf.image.random_crop(pictures, (args.batch_size, side, side, 3))
        return resize(views, crop), labels

    return (
        examples.shuffle(8192, seed=args.seed + epoch)
        .map(decode, num_parallel_calls=tf.data.AUTOTUNE)
        .repeat()
        .batch(args.batch_size, drop_remainder=True)
        .map(view)
        .prefetch(2)
    )


def validation_pictures(examples, args: argparse.Namespace, epoch: int) -> tf.data.Dataset:
    """Whole pictures, at the size that shows objects as large as the training crops do."""
    side = PICTURE_SIDE
    if epoch < len(args.crops):
        side = round(args.crops[epoch] * PICTURE_SIDE * 2 / (NARROWEST_VIEW + PICTURE_SIDE))

    def decode(jpeg, label):
        return tf.io.decode_jpeg(jpeg, channels=3), tf.one_hot(label, args.classes)

    return examples.map(decode).batch(200).map(lambda x, y: (resize(x, side), y)).prefetch(1)


def begin_cycle(model: keras.Model, learning_rate: float, steps: int, warmup: int) -> None:
    """Give the classifier a fresh optimizer whose rate falls to 0 as half a cosine in `steps`."""
    schedule = keras.optimizers.schedules.CosineDecay(
        learning_rate / 10, steps - warmup, warmup_target=learning_rate, warmup_steps=warmup
    )
    model.compile(
        optimizer=ConvolutionMuon(
            schedule, weight_decay=0.1, adam_weight_decay=0.1, momentum=0.9, ns_steps=4
        ),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
        metrics=["accuracy"],
    )


def train_classifier(args: argparse.Namespace) -> keras.Model:
    """The trained classifier, from the newest epoch in `--folder` on."""
    checkpoint = args.folder / "classifier.keras"
    history = args.folder / "history.csv"
    args.folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(args.seed)
    keras.config.set_dtype_policy(hardware.DTYPE_POLICIES[hardware.fastest_precision()])
    steps = args.pictures // args.batch_size
    crops = [*args.crops, *args.sharp_crops]
    done = len(_epochs(history)) if checkpoint.exists() else 0
    model = keras.saving.load_model(checkpoint) if done else build_classifier(args.classes)
    if done < len(crops):
        train = read_examples(args.data, "train").cache()
        validation = read_examples(args.data, "validation").cache()
    for epoch in range(done, len(crops)):
        print(f"epoch {epoch + 1} of {len(crops)}, crops of {crops[epoch]} pixels", flush=True)
        if epoch == 0:
            begin_cycle(model, args.learning_rate, steps * len(args.crops), steps // 4)
        if epoch >= len(args.crops):
            begin_cycle(model, args.sharp_learning_rate, steps, steps // 20)
        model.fit(
            training_pictures(train, args, epoch),
            validation_data=validation_pictures(validation, args, epoch),
            steps_per_epoch=steps,
            epochs=epoch + 1,
            initial_epoch=epoch,
            callbacks=[keras.callbacks.CSVLogger(history, append=epoch > 0)],
        )
        model.save(args.folder / "saving.keras")
        (args.folder / "saving.keras").replace(checkpoint)
    return model


def _epochs(history: Path) -> list[dict[str, str]]:
    with open(history, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_card(args: argparse.Namespace, weights_file: Path) -> None:
    """The model card beside the weights: data, epochs, accuracy, hardware, date, hash."""
    crops = [*args.crops, *args.sharp_crops]
    epochs = _epochs(args.folder / "history.csv")
    digest = hashlib.sha256(weights_file.read_bytes()).hexdigest()
    rows = "\n".join(
        f"| {number} | {crop} | {float(epoch['accuracy']):.1%} "
        f"| {float(epoch['val_accuracy']):.1%} |"
        for number, (crop, epoch) in enumerate(zip(crops, epochs, strict=True), start=1)
    )
    card = f"""# {weights_file.name}: the built-in loss network

VGG16's 13 convolutions at half width (32, 64, 128, 256, 256), trained by this project as an
object classifier; batch normalization and pixel scaling are folded in, so the input is RGB 0..255
minus the VGG pixel mean. Every layer is scaled to a mean activation of {MEAN_ACTIVATION:g} over
photos (average pooling, {CALIBRATION_SIDE} pixels).

It exists so that styles can be trained without any download. ImageNet's full VGG16
(`loss_model: vgg_16`, `loss_model_file: imagenet`) knows more textures and larger structures.

- Top-1 accuracy: {float(epochs[-1]["val_accuracy"]):.1%} on the validation pictures
- Data: {args.data_name}; {args.pictures:,} pictures an epoch, {args.classes} classes
- Optimizer: Muon on kernels, AdamW on the rest, batch {args.batch_size}, weight decay 0.1, label
  smoothing 0.1, seed {args.seed}; half a cosine from {args.learning_rate:g} down to 0 over the
  epochs with shrunken pictures, and from {args.sharp_learning_rate:g} in each epoch with sharp ones
- Hardware: {hardware.describe()}
- Date: {datetime.date.today().isoformat()}
- SHA-256: `{digest}`
- Licence: MIT, as the project

Validation is on whole pictures, at first shrunk so that objects are as large as in the crops, in
the last {len(args.sharp_crops)} epochs at their own 64 pixels.

| epoch | crop | training accuracy | validation accuracy |
|---|---|---|---|
{rows}
"""
    write_atomically(weights_file.with_suffix(".md"), card.encode())
