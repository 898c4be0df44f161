"""The objective's terms by their names, as people read them."""

from collections.abc import Mapping


def named_terms(terms: Mapping[str, float]) -> dict[str, float]:
    """Of what PerceptualLoss returns: the total, and the unweighted terms that it adds up."""
    names = [name.removeprefix("weighted/") for name in terms if name.startswith("weighted/")]
    return {name: terms[name] for name in ("total", *names)}


def in_one_line(terms: Mapping[str, float]) -> str:
    """The named terms for a progress bar or a message."""
    return " ".join(f"{name} {value:.4g}" for name, value in named_terms(terms).items())
