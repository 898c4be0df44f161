"""The accuracy of an encoder on pairs of pictures from a public set of faces.

    python -m tests.stress.portraits_pairs --people FOLDER --roc roc.png

FOLDER has a sub-folder of pictures for each person. Half of the pairs are of one person; they are
drawn at random, the same ones every time. The ROC has a point at the encoder's threshold.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from fast_style.pictures.plots import subplots, write_figure
from fast_style.portraits.faces import dlib_encoder
from fast_style.portraits.training import read_crops, read_encoder

CROPS_AT_ONCE = 16


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--people", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, help="folder of a trained one; default: dlib's")
    parser.add_argument("--pairs", type=int, default=1000, help="of each kind, at most")
    parser.add_argument("--roc", type=Path, help="the plot, a PNG")
    args = parser.parse_args()
    encoder = read_encoder(args.encoder) if args.encoder else dlib_encoder()
    crops, people = read_crops(args.people)
    parts = [crops[at : at + CROPS_AT_ONCE] for at in range(0, len(crops), CROPS_AT_ONCE)]
    codes = np.concatenate([encoder.codes(part) for part in parts])
    same, other = distances_of_pairs(codes, people, args.pairs)
    at = encoder.threshold
    right = (np.sum(same <= at) + np.sum(other > at)) / (len(same) + len(other))
    print(f"{right:.2%} of {len(same) + len(other)} pairs are classified correctly at {at:.2f}")
    print(f"{np.mean(same <= at):.2%} of the pairs of one person are taken for one")
    print(f"{np.mean(other <= at):.2%} of the pairs of two people are taken for one")
    false, true = roc(same, other)
    area = float(np.trapezoid(true, false))
    print(f"area under the ROC: {area:.4f}")
    if args.roc:
        figure, axes = subplots(figsize=(5, 5))
        axes.plot(false, true, label=f"area {area:.4f}")
        axes.plot(np.mean(other <= at), np.mean(same <= at), "o", label=f"threshold {at:.2f}")
        axes.set(xlabel="pairs of two people taken for one", ylabel="pairs of one person found")
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right")
        write_figure(figure, args.roc)
    return 0


def distances_of_pairs(
    codes: np.ndarray, people: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Distances of pairs of one person and of two, as many of each: at most `most`."""
    first, second = np.triu_indices(len(people), 1)
    is_same = people[first] == people[second]
    rng = np.random.default_rng(0)
    kinds = [rng.permutation(np.nonzero(kind)[0]) for kind in (is_same, ~is_same)]
    most = min(most, *map(len, kinds))
    one, two = (
        np.linalg.norm(codes[first[kind[:most]]] - codes[second[kind[:most]]], axis=-1)
        for kind in kinds
    )
    return one, two


def roc(same: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rates of false and of true positives at all thresholds."""
    at = np.concatenate([[-1.0], np.unique(np.concatenate([same, other]))])
    rates = [np.searchsorted(np.sort(kind), at, side="right") / len(kind) for kind in (other, same)]
    return rates[0], rates[1]


if __name__ == "__main__":
    sys.exit(main())
