"""The terms of the objective by name, for logs and messages."""

from collections.abc import Mapping


def named_terms(terms: Mapping[str, float]) -> dict[str, float]:
    """Returns the total and its unweighted terms, from what PerceptualLoss returns."""
    names = [name.removeprefix("weighted/") for name in terms if name.startswith("weighted/")]
    return {name: terms[name] for name in ("total", *names)}


def in_one_line(terms: Mapping[str, float]) -> str:
    """Returns the named terms as one line for a progress bar or a message."""
    return " ".join(f"{name} {value:.4g}" for name, value in named_terms(terms).items())
