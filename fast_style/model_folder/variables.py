"""Keras variables as arrays by their paths, which is how .npz files hold them."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from fast_style.errors import UserError


def variables_as_arrays(prefix: str, variables: Iterable) -> dict[str, np.ndarray]:
    """Keras variables as 'PREFIX/path' to array."""
    return {f"{prefix}/{variable.path}": np.asarray(variable) for variable in variables}


def assign_variables(prefix: str, variables: Iterable, arrays: dict[str, np.ndarray], source: Path):
    """Give Keras variables the values saved under their paths; UserError where one does not fit."""
    for variable in variables:
        saved = arrays.get(f"{prefix}/{variable.path}")
        if saved is None or tuple(saved.shape) != tuple(variable.shape):
            found = "lacks it" if saved is None else f"has it with shape {saved.shape}"
            raise UserError(
                f"{source}: {variable.path} of shape {tuple(variable.shape)} is wanted, the file "
                f"{found}; it was written for another network"
            )
        variable.assign(saved)


def of_network(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Those of the transformer network alone."""
    return {name: array for name, array in arrays.items() if name.startswith("network/")}
