"""The objective's terms by their names, as people read them."""

from collections.abc import Mapping

NAMED_TERMS = ("total", "content", "style", "tv")


def in_one_line(terms: Mapping[str, float]) -> str:
    """The named terms for a progress bar or a message."""
    return " ".join(f"{name} {terms[name]:.4g}" for name in NAMED_TERMS)
