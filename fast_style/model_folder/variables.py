"""Keras variables to NumPy arrays by path, as .npz files hold them, and back."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from fast_style.errors import UserError


def variables_as_arrays(prefix: str, variables: Iterable) -> dict[str, np.ndarray]:
    """Returns the values of Keras variables as {"PREFIX/path": array}."""
    return {f"{prefix}/{variable.path}": np.asarray(variable) for variable in variables}


def assign_variables(prefix: str, variables: Iterable, arrays: dict[str, np.ndarray], source: Path):
    """Assigns each Keras variable the array of its path, as variables_as_arrays names it.

    Raises UserError, naming `source`, for an array that is missing or has another shape.
    """
    for variable in variables:
        saved = arrays.get(f"{prefix}/{variable.path}")
        if saved is None or tuple(saved.shape) != tuple(variable.shape):
            found = "is missing" if saved is None else f"has shape {saved.shape}"
            raise UserError(
                f"{source}: {variable.path} of shape {tuple(variable.shape)} is needed, "
                f"but {found}; the file is of another network"
            )
        variable.assign(saved)


def of_network(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the arrays of the transformer network, without those of an optimizer."""
    return {name: array for name, array in arrays.items() if name.startswith("network/")}
