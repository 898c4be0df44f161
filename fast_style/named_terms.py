"""The objective's terms by their names, as people read them."""

from collections.abc import Mapping

NAMED_TERMS = ("total", "content", "style", "tv", "temporal")


def in_one_line(terms: Mapping[str, float]) -> str:
    """Those of the named terms that there are, for a progress bar or a message."""
    return " ".join(f"{name} {terms[name]:.4g}" for name in NAMED_TERMS if name in terms)
