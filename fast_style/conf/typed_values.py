"""Conversion of YAML values to the types of a dataclass's fields, and their limits."""

import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from fast_style.errors import nearest


class WrongValue(Exception):
    """What is wrong with a value and what would be right; the caller adds key and value."""


def convert(value: Any, hint: Any) -> Any:
    """A YAML value converted to the type hint of its key. Raises WrongValue where it cannot be."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        options = typing.get_args(hint)
        if value is None and type(None) in options:
            return None
        for option in options:
            if (typing.get_origin(option) or option) is type(value):
                return convert(value, option)
        return convert(value, options[0])
    if origin is Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise WrongValue(f"is not valid; {nearest(str(value), choices)}")
        return value
    if origin is list and typing.get_args(hint) != (str,):
        (items,) = typing.get_args(hint)
        if not isinstance(value, list):
            raise WrongValue("is not a list of whole numbers" if items is int else "is no list")
        return [convert(item, items) for item in value]
    if origin is list:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise WrongValue("is not a list of names")
        if len(set(value)) != len(value):
            raise WrongValue("names something twice")
        return value
    if origin is dict:
        _, items = typing.get_args(hint)
        try:
            return {str(key): convert(item, items) for key, item in value.items()}
        except WrongValue:
            kind = "numbers" if float in (items, *typing.get_args(items)) else "texts"
            raise WrongValue(f"is not a mapping of names to {kind}") from None
    if hint is bool:
        if not isinstance(value, bool):
            raise WrongValue("is not true or false")
        return value
    if hint is str:
        if not isinstance(value, str):
            raise WrongValue("is not a text; quote it if it is meant as one")
        return value
    if isinstance(value, bool):
        raise WrongValue("is not a number")
    if hint is int:
        if isinstance(value, int):
            return value
        raise WrongValue("is not a whole number")
    if isinstance(value, str):
        # YAML 1.1 reads 1e-3 as a text; it wants 1.0e-3.
        try:
            value = float(value)
        except ValueError:
            raise WrongValue("is not a number") from None
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise WrongValue("is not a finite number")
    return float(value)


def check_limits(value: Any, limits: Mapping[str, float]) -> None:
    """Raise WrongValue outside 'at_least', 'above' and 'at_most', as far as there are any."""
    if value is None:
        return
    if "at_least" in limits and value < limits["at_least"]:
        raise WrongValue(f"is too small; at least {limits['at_least']}")
    if "above" in limits and value <= limits["above"]:
        raise WrongValue(f"is too small; above {limits['above']}")
    if "at_most" in limits and value > limits["at_most"]:
        raise WrongValue(f"is too large; at most {limits['at_most']}")
