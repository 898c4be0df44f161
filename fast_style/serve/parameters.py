"""The parameters and files of requests."""

from argparse import ArgumentTypeError
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from fast_style.command_line import at_least_1, factor, minutes, unit_interval
from fast_style.errors import UserError, nearest

ENDINGS = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "jpg": ".jpg"}  # by names of formats

Reader = Callable[[str], Any]


@dataclass
class Body:
    """The picture of a request, the other files of its form, and the parameters of the form."""

    picture: bytes
    files: dict[str, bytes] = field(default_factory=dict)  # by their names in the form
    texts: list[tuple[str, str]] = field(default_factory=list)


async def read_body(request: Request, *other_files: str) -> Body:
    """Reads a body that is a picture, or a form with one.

    other_files: what else the form may have, one file each; a file of any other name is the
    picture. Raises UserError if the form has other files than these.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return Body(await request.body())
    texts: list[tuple[str, str]] = []
    files: dict[str, list[bytes]] = {}
    async with request.form() as form:
        for key, value in form.multi_items():
            if isinstance(value, str):
                texts.append((key, value))
            else:
                files.setdefault(key if key in other_files else "", []).append(await value.read())
    if "" not in files or any(len(several) > 1 for several in files.values()):
        others = "".join(f", and at most one {name}" for name in other_files)
        raise UserError(f"the form must have one picture{others}")
    [picture] = files.pop("")
    return Body(picture, {name: several[0] for name, several in files.items()}, texts)


def read_parameters(
    given: Iterable[tuple[str, str]], readers: Mapping[str, Reader]
) -> dict[str, Any]:
    """Returns the values of the parameters of a query or a form.

    readers: for each parameter the function that reads its text. Raises UserError for a parameter
    that is unknown, given twice, or has a wrong value.
    """
    found: dict[str, Any] = {}
    for key, text in given:
        if key == "mask":
            raise UserError("mask: must be a file of the form, next to the picture")
        if key not in readers:
            raise UserError(f"unknown parameter {key!r}; {nearest(key, readers)}")
        if key in found:
            raise UserError(f"{key}: is given twice")
        try:
            found[key] = readers[key](text)
        except (ValueError, ArgumentTypeError) as error:
            raise UserError(f"{key}: {error}") from None
    return found


def _choice(values: Mapping[str, Any]) -> Reader:
    def read(text: str) -> Any:
        if text.lower() not in values:
            raise ValueError(f"{text} is not one of {', '.join(values)}")
        return values[text.lower()]

    return read


def _quality(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= 100:
        return int(text)
    raise ValueError(f"{text} is not between 1 and 100")


_YES_OR_NO = _choice({"true": True, "false": False, "1": True, "0": False})

# The parameters of requests. Most are arguments of Stylization and read_prediction.
STYLIZATION: dict[str, Reader] = {
    "strength": unit_interval,
    "preserve_color": _YES_OR_NO,
    "max_size": at_least_1,
    "scale": factor,
    "protect_faces": unit_interval,
    "style": str,
    "format": _choice(ENDINGS),
    "quality": _quality,
}
PREDICTION: dict[str, Reader] = {
    "max_value": _choice({"255": 255, "1": 1, "255.0": 255, "1.0": 1}),
    "style": str,
}
NEW_STYLE: dict[str, Reader] = {
    "name": str,
    "learn": _YES_OR_NO,
    "minutes": minutes,
}
LEARN: dict[str, Reader] = {"minutes": minutes}
