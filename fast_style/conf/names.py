"""Names of models and styles, which are used in file names, requests and mixes of styles."""

import re

from fast_style.errors import UserError


def check_name(name: str, where: str = "") -> None:
    """Raises UserError, beginning with `where`, if a model or style cannot have the name."""
    if not re.fullmatch(r"[\w .-]+", name) or name != name.strip() or not name.strip("."):
        raise UserError(
            f"{where}{name!r} is not a name in letters, digits, spaces and . - _, "
            f"such as {as_name(name)!r}"
        )


def as_name(text: str) -> str:
    """Returns the text with _ for characters that names cannot have."""
    name = re.sub(r"\s*[^\w .-]+\s*", "_", text).strip()
    return name if name.strip(".") else "_"
