"""The arrays of a network of several styles, and of a mix of them.

Every scale and shift of an instance normalization is (styles, C); all other arrays are shared. A
mix of styles is the same mix of these rows (Dumoulin et al. 2017, section 3.4). It gives a network
of a single style, which every runtime and format supports.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fast_style.errors import UserError, nearest

NORM_VARIABLES = ("scale", "shift")


def style_proportions(text: str, names: Sequence[str]) -> np.ndarray:
    """Returns (len(names),) float32 with the sum 1, from 'candy', or 'candy=0.6,wave=0.4'.

    Raises UserError for an unknown name or wrong shares.
    """
    given = named_shares(text)
    for name in given:
        if name not in names:
            raise UserError(f"--style {text}: there is no {name!r}; {nearest(name, list(names))}")
    return np.array([given.get(name, 0.0) for name in names], np.float32)


def named_shares(text: str) -> dict[str, float]:
    """Returns the share of each name, with the sum 1. Raises UserError for wrong shares."""
    shares: dict[str, float] = {}
    for part in text.split(","):
        before, separator, after = (piece.strip() for piece in part.rpartition("="))
        name, share = (before, after) if separator else (after, "1")
        try:
            shares[name] = shares.get(name, 0.0) + float(share)
        except ValueError:
            raise UserError(f"--style {text}: {share!r} is not a number, such as 0.6") from None
    given = np.array(list(shares.values()))
    if not np.isfinite(given).all() or (given < 0).any() or not given.any():
        raise UserError(f"--style {text}: shares must be at least 0, and not all 0")
    return {name: share / float(given.sum()) for name, share in shares.items()}


def name_in_style(name: str, style: str | None) -> str:
    """Returns the name for results of model folder `name` in `style`; None: its only style.

    A style image is named by its file without folder and ending, a style.npz by its folder.
    """
    if style is None:
        return name
    parts = [style] if Path(style).expanduser().is_file() else style.split(",")
    return f"{name}-{','.join(map(_without_folder, parts))}"


def _without_folder(part: str) -> str:
    name = re.sub(r"=[\d.e+-]+$", "", part.strip())
    share = part.strip().removeprefix(name)
    path = Path(name).expanduser()
    if "/" not in name and not path.is_file():  # the name of a style can have dots
        return name + share
    return (path.parent.name if path.name == "style.npz" else path.stem) + share


def mixed(arrays: Mapping[str, np.ndarray], proportions: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the arrays of one style, a mix, from those of several styles."""
    return {
        name: np.tensordot(proportions, array, axes=1) if is_norm(name) else array
        for name, array in arrays.items()
    }


def stacked(networks: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Returns the arrays of several styles from networks of one; the first has the shared ones."""
    return {
        name: np.stack([network[name] for network in networks]) if is_norm(name) else array
        for name, array in networks[0].items()
    }


def is_norm(path: str) -> bool:
    """Returns whether a path is that of an instance normalization's scale or shift."""
    return path.rpartition("/")[2] in NORM_VARIABLES
