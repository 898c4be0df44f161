"""Plots as files. Matplotlib is an optional extra, and is imported only when it is used."""

import io
from pathlib import Path
from typing import Any

from fast_style.files import write_atomically


def subplots(*how_many: int, **how: Any) -> tuple[Any, Any]:
    """Returns Matplotlib's figure and axes, without a window."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    return pyplot.subplots(*how_many, layout="constrained", **how)


def write_figure(figure: Any, path: Path) -> None:
    """Writes the figure as a PNG and closes it. Raises UserError as write_atomically does."""
    from matplotlib import pyplot

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    pyplot.close(figure)
    write_atomically(path, buffer.getvalue())
