"""Trains a small encoder of faces with the triplet loss (Schroff et al. 2015, "FaceNet")."""

import hashlib
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from tqdm import tqdm

from fast_style.errors import UserError, printable
from fast_style.files import make_folder, read_bytes
from fast_style.model_folder.npz import check_weights, read_arrays, write_arrays
from fast_style.model_folder.variables import assign_variables, variables_as_arrays
from fast_style.pictures.images import find_pictures
from fast_style.portraits.faces import CODE_SIZE, CROP, Encoder, the_face

SIDE, WIDTHS = 96, (32, 64, 128, 256)  # of the network's pictures, and of its convolutions
WEIGHTS = "encoder.npz"
MARGIN = 0.2  # of squared distances, as in the paper
PEOPLE_AT_ONCE, PICTURES_EACH, RATE = 12, 4, 1e-3
FEWEST, HELD_OUT, MOST_HELD_OUT = 4, 5, 50  # people; every fifth is held out


def triplet_loss(anchor: Any, positive: Any, negative: Any, margin: float = MARGIN) -> Any:
    """Returns the mean over N triplets of max(|a - p|^2 - |a - n|^2 + margin, 0).

    anchor, positive: (N, D) codes of unit length of two pictures of one person; negative: those of
    other persons.
    """
    near = ops.sum(ops.square(anchor - positive), axis=-1)
    far = ops.sum(ops.square(anchor - negative), axis=-1)
    return ops.mean(ops.maximum(near - far + margin, 0.0))


def semi_hard_triplets(people: Any, codes: Any) -> tuple[Any, Any, Any]:
    """Returns the rows of anchors, positives and negatives, for each pair of one person.

    The negative is the nearest one that is farther from the anchor than the positive, or, if none
    is, the farthest. people: (N, 1), a number for each of at least two people. codes: (N, D).
    """
    distance = ops.sum(ops.square(codes[:, None] - codes[None]), axis=-1)
    is_same = ops.equal(people, ops.transpose(people))
    itself = ops.eye(ops.shape(codes)[0], dtype="bool")
    anchor, positive = ops.nonzero(ops.logical_and(is_same, ops.logical_not(itself)))
    from_anchor = ops.take(distance, anchor, axis=0)
    to_positive = ops.take_along_axis(from_anchor, positive[:, None], axis=1)
    is_other = ops.logical_not(ops.take(is_same, anchor, axis=0))
    is_beyond = ops.logical_and(is_other, from_anchor > to_positive)
    nearest = ops.argmin(ops.where(is_beyond, from_anchor, float("inf")), axis=1)
    farthest = ops.argmax(ops.where(is_other, from_anchor, -1.0), axis=1)
    return anchor, positive, ops.where(ops.any(is_beyond, axis=1), nearest, farthest)


def read_crops(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns the faces, (N, 150, 150, 3) uint8, and whose they are, (N,) str.

    People are named by the sub-folders. A broken picture, one without exactly one face, and the
    only one of a person are left out, and listed on stderr.
    Raises UserError for fewer than four people.
    """
    if folder.is_file():
        raise UserError(f"--people {folder}: is a file; name a folder with a sub-folder a person")
    paths = find_pictures(folder)
    left_out: dict[int, str] = {}
    crops: dict[int, np.ndarray] = {}
    for row, path in enumerate(tqdm(paths, unit=" pictures")):
        try:
            crops[row] = the_face(str(path)).crop
        except UserError as error:
            left_out[row] = str(error)
    people = np.array([path.relative_to(folder).parts[0] for path in paths])
    names, counts = np.unique(people[list(crops)], return_counts=True)
    for row in [row for row in crops if people[row] not in names[counts > 1]]:
        left_out[row] = printable(f"{paths[row]}: is the only face of {people[row]}")
    for _, reason in sorted(left_out.items()):
        print(f"left out: {reason}", file=sys.stderr)
    kept = [row for row in crops if row not in left_out]
    print(f"{len(kept)} faces of {(counts > 1).sum()} people; {len(left_out)} pictures left out")
    if (counts > 1).sum() < FEWEST:
        raise UserError(f"{folder}: needs sub-folders of {FEWEST} people, with two faces each")
    return np.stack([crops[row] for row in kept]), people[kept]


def train(crops: np.ndarray, people: np.ndarray, output: Path, steps: int) -> None:
    """Trains an encoder and writes it to the folder `output`. Raises UserError.

    crops, people: as read_crops returns them. Every fifth person is held out, and about half of
    fewer than ten; the threshold is the best one for pairs of their pictures.
    """
    keras.utils.set_random_seed(0)
    network = _network()
    rate = keras.optimizers.schedules.CosineDecay(RATE, steps)
    network.compile(keras.optimizers.Adam(rate), _loss)
    names = np.unique(people)
    held_out = np.isin(people, names[:: min(HELD_OUT, len(names) // 2)][:MOST_HELD_OUT])
    trained, batches = crops[~held_out], _batches(people[~held_out], steps)
    for rows, of in (progress := tqdm(batches, total=steps, unit=" steps")):
        loss = network.train_on_batch(trained[rows], of)
        progress.set_postfix(loss=float(loss), refresh=False)
    codes = network.predict(crops[held_out], verbose=0)
    threshold, right = best_threshold(codes, people[held_out])
    arrays = variables_as_arrays("encoder", network.weights)
    write_arrays(output / WEIGHTS, arrays | {"threshold": np.array(threshold, np.float32)})
    print(
        f"{output}: the best threshold for {len(np.unique(people[held_out]))} held-out people is "
        f"{threshold:.2f}; it is right about {right:.1%} of the pairs"
    )


def make_encoder_folder(output: Path) -> None:
    """Makes the folder for an encoder. Raises UserError if it cannot be made or has one already."""
    if (output / WEIGHTS).exists():
        # The databases of an encoder that is replaced could never be read again.
        raise UserError(f"--output {output}: has an encoder already; name another folder")
    make_folder(output)


def read_encoder(folder: Path) -> Encoder:
    """Returns the encoder that `train` wrote. Raises UserError if it is missing or damaged."""
    path, network = folder / WEIGHTS, _network()
    arrays = read_arrays(path)
    check_weights(arrays, str(path))
    assign_variables("encoder", network.weights, arrays, path)
    if arrays.get("threshold", np.zeros(2)).shape != ():
        raise UserError(f"{path}: has no threshold; train the encoder again")
    name = hashlib.sha256(read_bytes(path)).hexdigest()[:16]
    return Encoder(name, float(arrays["threshold"]), partial(network.predict, verbose=0))


def best_threshold(codes: np.ndarray, people: np.ndarray) -> tuple[float, float]:
    """Returns the threshold that is right about most pairs, and their share.

    The pairs of one person and those of two count alike, however many they are.
    codes: (N, D) of unit length. people: (N,), whose they are.
    """
    first, second = np.triu_indices(len(people), 1)
    is_same = people[first] == people[second]
    distances = np.sqrt(np.maximum(2 - 2 * (codes @ codes.T)[first, second], 0))
    at = np.unique(distances)
    same, other = (
        np.searchsorted(np.sort(distances[kind]), at, side="right") / kind.sum()
        for kind in (is_same, ~is_same)
    )
    right = (same + 1 - other) / 2
    return float(at[right.argmax()]), float(right.max())


def _network() -> keras.Model:
    """Returns a network from (N, 150, 150, 3) crops of 0..255 to (N, 128) codes of unit length."""
    crops = keras.Input((CROP, CROP, 3))
    x = layers.Resizing(SIDE, SIDE, antialias=True)(crops)
    # The random layers only act in training.
    x = layers.RandomFlip("horizontal")(x)
    x = layers.RandomBrightness(0.15, value_range=(0, 255))(x)
    x = layers.RandomContrast(0.3, value_range=(0, 255))(x)
    x = layers.Rescaling(1 / 127.5, -1)(x)
    for width in WIDTHS:
        x = layers.Conv2D(width, 3, 2, "same", use_bias=False, name=f"conv{width}")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"norm{width}")(x)
        x = layers.ReLU()(x)
    # Not averaged over the places: in an aligned crop, each has its part of the face.
    x = layers.Dropout(0.3)(layers.Flatten()(x))
    x = layers.Dense(CODE_SIZE, name="code")(x)
    return keras.Model(crops, layers.UnitNormalization()(x))


def _loss(people: Any, codes: Any) -> Any:
    triplets = semi_hard_triplets(people, codes)
    return triplet_loss(*(ops.take(codes, rows, axis=0) for rows in triplets))


def _batches(people: np.ndarray, steps: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the rows of a batch, and the number of the person in each, (N, 1)."""
    rng = np.random.default_rng(0)
    of = [np.nonzero(people == name)[0] for name in np.unique(people)]
    for _ in range(steps):
        chosen = rng.permutation(len(of))[:PEOPLE_AT_ONCE]
        rows = [rng.choice(of[n], PICTURES_EACH, len(of[n]) < PICTURES_EACH) for n in chosen]
        yield np.concatenate(rows), np.repeat(chosen, PICTURES_EACH)[:, None]
