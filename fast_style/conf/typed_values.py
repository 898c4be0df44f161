"""Conversion of YAML values to the types of a dataclass's fields, and their limits."""

import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from fast_style.errors import nearest


class WrongValue(Exception):
    """A value is wrong. The message says what would be right; the caller adds key and value."""


def kinds_of(hint: Any) -> dict[Any, Any]:
    """Returns the hints of a union's members by type; of any other hint, this one alone."""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    members = typing.get_args(hint) if union else (hint,)
    return {typing.get_origin(member) or member: member for member in members}


def convert(value: Any, hint: Any) -> Any:
    """Converts a YAML value to the type hint of its key. Raises WrongValue if it cannot."""
    kinds = kinds_of(hint)
    if value is None and types.NoneType in kinds:
        return None
    # For a union, the message is about the first type.
    hint = kinds.get(type(value), next(iter(kinds.values())))
    origin = typing.get_origin(hint)
    if origin is Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise WrongValue(f"is not valid; {nearest(str(value), choices)}")
        return value
    if origin in (list, dict):
        return _convert_items(value, origin, typing.get_args(hint)[-1])
    if hint in _NOT:
        if not isinstance(value, hint):
            raise WrongValue(_NOT[hint])
        return value
    if isinstance(value, bool):
        raise WrongValue("is not a number")
    if hint is int:
        if isinstance(value, int):
            return value
        raise WrongValue("is not a whole number")
    if isinstance(value, str):
        # YAML 1.1 reads 1e-3 as a text, unlike 1.0e-3.
        try:
            value = float(value)
        except ValueError:
            raise WrongValue("is not a number") from None
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise WrongValue("is not a finite number")
    return float(value)


_NOT = {bool: "is not true or false", str: "is not a text; quote it if it is meant as one"}


def _convert_items(value: Any, kind: Any, hint: Any) -> Any:
    try:
        if type(value) is not kind:
            raise WrongValue
        if kind is dict:
            return {str(key): convert(item, hint) for key, item in value.items()}
        items = [convert(item, hint) for item in value]
    except WrongValue:
        if kind is list:
            what = f"list of {'whole numbers' if hint is int else 'names'}"
        else:
            what = f"mapping of names to {'numbers' if float in kinds_of(hint) else 'texts'}"
        raise WrongValue(f"is not a {what}") from None
    if hint is str and len(set(items)) != len(items):
        raise WrongValue("names something twice")
    return items


def check_limits(value: Any, limits: Mapping[str, float]) -> None:
    """Raises WrongValue if the value is outside the limits 'at_least', 'above' and 'at_most'."""
    if value is None:
        return
    if "at_least" in limits and value < limits["at_least"]:
        raise WrongValue(f"is too small; at least {limits['at_least']}")
    if "above" in limits and value <= limits["above"]:
        raise WrongValue(f"is too small; above {limits['above']}")
    if "at_most" in limits and value > limits["at_most"]:
        raise WrongValue(f"is too large; at most {limits['at_most']}")
