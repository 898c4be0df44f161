"""The styles of a server. Each is loaded by the first request for it, and kept."""

import threading
from dataclasses import dataclass
from pathlib import Path

from fast_style.conf.locations import by_its_name, locate
from fast_style.errors import UserError
from fast_style.model_folder.layout import WEIGHTS
from fast_style.model_folder.model import Model, read_model
from fast_style.network.style_mix import style_proportions
from fast_style.stylize.stylizer import Stylizer

MIXES_KEPT = 8
"""How many networks of mixes, of 20 MB each, stay loaded: requests can name any number of them."""


@dataclass(frozen=True)
class Style:
    """A style or a mix of a model folder."""

    name: str  # in requests
    folder: Path
    style: str  # its name in the folder, or a mix
    artwork: str = ""


class Models:
    """The styles of some model folders, and the networks that are loaded.

    The style of a folder with one style has the folder's name. The styles of a folder with several
    have their own names, and the folder's name is for mixes. If several styles have the same name,
    the first one is used; folders with one style come before those with several.
    """

    def __init__(
        self,
        folders: list[Path],
        runtime: str = "auto",
        precision: str = "auto",
        max_memory: int | None = None,
    ):
        """folders: model folders, or folders of model folders. The others are Stylizer's arguments.

        Raises UserError if there are no model folders.
        """
        found = [model for folder in folders for model in _models_in(locate(str(folder)))]
        if not found:
            raise UserError(f"--models {' '.join(map(str, folders))}: no model folders there")
        self.styles: dict[str, Style] = {}
        self.mixable: dict[str, tuple[Path, list[str]]] = {}  # folders of several styles, and these
        for folder, model in sorted(found, key=lambda one: len(one[1].styles) > 1):
            if len(model.styles) > 1:
                self.mixable.setdefault(folder.name, (folder, model.styles))
            for style in model.styles:
                name = folder.name if len(model.styles) == 1 else style
                artwork = str(model.conf.get("artwork") or "")
                self.styles.setdefault(name, Style(name, folder, style, artwork))
        self.runtime, self.precision, self.max_memory = runtime, precision, max_memory
        self._loaded: dict[Style, Stylizer] = {}  # the latest last
        self._lock = threading.Lock()

    def find(self, name: str, mix: str | None = None) -> Style:
        """Returns the style called `name`, or a style or a mix of the model folder `name`.

        mix: such as 'candy', 'candy:0.6,wave:0.4' or 'candy=0.6,wave=0.4'.
        Raises KeyError for an unknown name, UserError for a mix that the folder does not have.
        """
        if mix is None and name in self.styles:
            return self.styles[name]
        if name in self.styles and name not in self.mixable:
            several = ", ".join(self.mixable) or "no model here"
            raise UserError(f"style={mix}: {name} has one style; {several} can be mixed")
        folder, styles = self.mixable[name]
        if mix is None:
            raise UserError(
                f"{name} has several styles; style= takes one of {', '.join(styles)}, or a "
                f"mix: style={styles[0]}:0.6,{styles[1]}:0.4"
            )
        mix = mix.replace(":", "=")
        try:
            style_proportions(mix, styles)
        except UserError as error:
            raise UserError(str(error).removeprefix("--")) from None
        return Style(name, folder, mix)

    def stylizer(self, name: str, mix: str | None = None) -> Stylizer:
        """Returns the stylizer of the style that `find` returns, and loads it if necessary.

        Only the latest stylizer keeps memory between pictures. Raises KeyError and UserError as
        `find` does.
        """
        style = self.find(name, mix)
        with self._lock:
            latest = next(reversed(self._loaded.values()), None)
            stylizer = self._loaded.pop(style, None) or Stylizer(
                style.folder, self.runtime, self.precision, style.style, self.max_memory
            )
            self._loaded[style] = stylizer
            mixes = [one for one in self._loaded if one not in self.styles.values()]
            for oldest in mixes[:-MIXES_KEPT]:
                del self._loaded[oldest]
            if latest is not None and latest is not stylizer:
                latest.release()
            return stylizer


def _models_in(folder: Path) -> list[tuple[Path, Model]]:
    if (folder / WEIGHTS).exists():
        return [(by_its_name(folder), read_model(folder))]
    return [(path.parent, read_model(path.parent)) for path in sorted(folder.glob(f"*/{WEIGHTS}"))]
