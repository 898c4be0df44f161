"""The styles that a server has, each loaded when it is first asked for and kept."""

import threading
from dataclasses import dataclass
from pathlib import Path

from fast_style.checkpoints import WEIGHTS, Model, read_model
from fast_style.errors import UserError
from fast_style.locations import by_its_name, locate
from fast_style.stylize import Stylizer


@dataclass(frozen=True)
class Style:
    """A name that requests use, and where its network is."""

    name: str
    folder: Path
    style: str  # in the folder
    artwork: str


class Models:
    """The styles of some model folders: those of one style by the folder's name, others by theirs.

    Where two have one name, the network of that style alone counts, and before it the one that
    comes first.
    """

    def __init__(
        self,
        folders: list[Path],
        runtime: str = "auto",
        precision: str = "auto",
        max_memory: int | None = None,
    ):
        """folders: model folders, or folders of such. Raises UserError where there are none.

        The others are Stylizer's arguments.
        """
        found = [model for folder in folders for model in _models_in(locate(str(folder)))]
        if not found:
            raise UserError(f"--models {' '.join(map(str, folders))}: no model folders there")
        self.styles: dict[str, Style] = {}
        for folder, model in sorted(found, key=lambda one: len(one[1].styles) > 1):
            for style in model.styles:
                name = folder.name if len(model.styles) == 1 else style
                self.styles.setdefault(name, Style(name, folder, style, _artwork(model)))
        self.runtime, self.precision, self.max_memory = runtime, precision, max_memory
        self._latest: Stylizer | None = None
        self._loaded: dict[str, Stylizer] = {}
        self._lock = threading.Lock()

    def stylizer(self, name: str) -> Stylizer:
        """Only the one that was asked for last keeps memory between pictures.

        Raises KeyError for an unknown name.
        """
        with self._lock:
            if name not in self._loaded:
                style = self.styles[name]
                self._loaded[name] = Stylizer(
                    style.folder, self.runtime, self.precision, style.style, self.max_memory
                )
            asked_for = self._loaded[name]
            if self._latest not in (None, asked_for):
                self._latest.release()
            self._latest = asked_for
            return asked_for


def _models_in(folder: Path) -> list[tuple[Path, Model]]:
    if (folder / WEIGHTS).exists():
        return [(by_its_name(folder), read_model(folder))]
    return [(path.parent, read_model(path.parent)) for path in sorted(folder.glob(f"*/{WEIGHTS}"))]


def _artwork(model: Model) -> str:
    return str(model.conf.get("artwork") or "")
