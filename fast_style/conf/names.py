"""Names of models and styles, which become names of files, of requests and of parts of a mix."""

import re

from fast_style.errors import UserError


def check_name(name: str, where: str = "") -> None:
    """Raise UserError, beginning with `where`, for a name that a model or a style cannot have."""
    if not re.fullmatch(r"[\w .-]+", name) or name != name.strip() or not name.strip("."):
        raise UserError(
            f"{where}{name!r} is not a name in letters, digits, spaces and . - _, "
            f"such as {as_name(name)!r}"
        )


def as_name(text: str) -> str:
    """A name that looks like the text: what no name has becomes _."""
    name = re.sub(r"\s*[^\w .-]+\s*", "_", text).strip()
    return name if name.strip(".") else "_"
