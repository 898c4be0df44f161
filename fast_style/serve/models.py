"""The styles of a server. Each is loaded by the first request for it, and kept."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fast_style.any_style.chosen_style import in_style
from fast_style.conf.locations import by_its_name, locate
from fast_style.errors import UserError
from fast_style.loss.style_statistics import read_style_statistics, statistics_file
from fast_style.model_folder.layout import WEIGHTS
from fast_style.model_folder.model import NETWORK, Model, read_model
from fast_style.network.style_mix import named_shares, style_proportions
from fast_style.network.style_predictor import PREDICTOR, features
from fast_style.serve.own_styles import OwnStyle, OwnStyles
from fast_style.stylize.stylizer import Stylizer, chosen_runtime

MIXES_KEPT = 8
"""How many networks of mixes and of own styles, of 20 MB each, stay loaded: requests can name any
number of them."""


@dataclass(frozen=True)
class Style:
    """A style or a mix of a model folder."""

    name: str  # in requests
    folder: Path
    style: str  # its name in the folder, or a mix
    artwork: str = ""
    version: int = 0  # of an own style, and of a mix with one: other versions look different


class Models:
    """The styles of some model folders, and the networks that are loaded.

    The style of a folder with one style has the folder's name. The styles of a folder with several
    have their own names, and the folder's name is for mixes. If several styles have the same name,
    the first one is used; folders with one style come before those with several. A folder whose
    network takes any style mixes all styles whose statistics are there.
    """

    def __init__(
        self,
        folders: list[Path],
        runtime: str = "auto",
        precision: str = "auto",
        max_memory: int | None = None,
        own: OwnStyles | None = None,
    ):
        """folders: model folders, or folders of model folders. own: styles that can be added to.
        The others are Stylizer's arguments.

        Raises UserError if there are no model folders, and as chosen_runtime does.
        """
        found = [model for folder in folders for model in _models_in(locate(str(folder)))]
        if not found:
            raise UserError(f"--models {' '.join(map(str, folders))}: no model folders there")
        self.own = own
        if own is not None:  # those are found by their paintings
            found = [one for one in found if one[0].resolve() not in _folders(own)]
        self.styles: dict[str, Style] = {}
        self.takes_any: dict[str, Model] = {
            folder.name: model for folder, model in found if model.takes_any_style
        }
        found = [one for one in found if not one[1].takes_any_style]
        self.mixable: dict[str, tuple[Path, list[str]]] = {}  # folders of several styles, and these
        for folder, model in sorted(found, key=lambda one: len(one[1].styles) > 1):
            if len(model.styles) > 1:
                self.mixable.setdefault(folder.name, (folder, model.styles))
            for style in model.styles:
                name = folder.name if len(model.styles) == 1 else style
                artwork = str(model.conf.get("artwork") or "")
                self.styles.setdefault(name, Style(name, folder, style, artwork))
        self.statistics: dict[str, Path] = {}  # files of the styles that takes_any can mix
        if self.takes_any:
            self.statistics = self._statistics_files()
        self.runtime = chosen_runtime(runtime, precision)
        self.precision, self.max_memory = precision, max_memory
        self._loaded: dict[Style, Stylizer] = {}  # the latest last
        self._lock = threading.Lock()

    def find(self, name: str, mix: str | None = None) -> Style:
        """Returns the style called `name`, or a style or a mix of the model folder `name`.

        mix: such as 'candy', 'candy:0.6,wave:0.4' or 'candy=0.6,wave=0.4'.
        Raises KeyError for an unknown name, UserError for a mix that the folder does not have.
        """
        own = self.own_styles()
        if mix is None and name in own:
            return Style(name, own[name].folder, "", version=own[name].version)
        if name in self.takes_any:
            return self._mix_of_any(name, mix)
        if mix is None and name in self.styles:
            return self.styles[name]
        if name not in self.mixable and (name in self.styles or name in own):
            several = ", ".join([*self.mixable, *self.takes_any]) or "no model here"
            raise UserError(f"style={mix}: {name} has one style; {several} can be mixed")
        folder, styles = self.mixable[name]
        if mix is None:
            raise UserError(
                f"{name} has several styles; style= takes one of {', '.join(styles)}, or a "
                f"mix: style={styles[0]}:0.6,{styles[1]}:0.4"
            )
        return Style(name, folder, _checked_mix(mix, styles))

    def stylizer(self, name: str, mix: str | None = None) -> Stylizer:
        """Returns the stylizer of the style that `find` returns, and loads it if necessary.

        Only the latest stylizer keeps memory between pictures. Raises KeyError and UserError as
        `find` does.
        """
        style = self.find(name, mix)
        with self._lock:
            latest = next(reversed(self._loaded.values()), None)
            stylizer = self._loaded.pop(style, None) or self._load(style)
            self._loaded[style] = stylizer
            mixes = [one for one in self._loaded if one not in self.styles.values()]
            for oldest in mixes[:-MIXES_KEPT]:
                del self._loaded[oldest]
            if latest is not None and latest is not stylizer:
                latest.release()
            return stylizer

    def stylizer_of_image(self, name: str, style_image: Path) -> Stylizer:
        """Returns the stylizer of a style image. name: a model that takes any style.

        Raises UserError if the image cannot be a style, as one of a single colour cannot.
        """
        return self._predicted(self.takes_any[name], {str(style_image): 1.0})

    def own_styles(self) -> dict[str, OwnStyle]:
        """Returns the styles that have been added, by name."""
        return {} if self.own is None else self.own.all()

    def mixing(self, name: str) -> list[str]:
        """Returns the names of the folders that can mix a style with others."""
        several = [folder for folder, (_, styles) in self.mixable.items() if name in styles]
        is_known = name in self.statistics or name in self.own_styles()
        return [*several, *self.takes_any] if is_known else several

    def _load(self, style: Style) -> Stylizer:
        if style.name in self.takes_any:
            shares = named_shares(style.style)
            files = {str(self._statistics_file(name)): share for name, share in shares.items()}
            return self._predicted(self.takes_any[style.name], files)
        own = self.own_styles().get(style.name)
        if own is not None and own.newest == own.painting:
            return self._predicted(next(iter(self.takes_any.values())), {str(own.painting): 1.0})
        in_folder = style.style or None
        return Stylizer(style.folder, self.runtime, self.precision, in_folder, self.max_memory)

    def _predicted(self, model: Model, shares: Mapping[str, float]) -> Stylizer:
        predicted = in_style(model, shares, self.runtime)
        return Stylizer(predicted, self.runtime, self.precision, max_memory=self.max_memory)

    def _mix_of_any(self, name: str, mix: str | None) -> Style:
        folder = self.takes_any[name].source.parent
        # Never a name of a file: only styles that are served.
        names = [*self.statistics, *self.own_styles()]
        if mix is None:
            raise UserError(
                f"{name} takes any style: send a style image as the file `style` of a form, or "
                f"style= one of {', '.join(names) or 'none here'}"
            )
        mix = _checked_mix(mix, names)
        used = named_shares(mix)
        versions = [own.version for one, own in self.own_styles().items() if one in used]
        return Style(name, folder, mix, version=max(versions, default=0))

    def _statistics_file(self, name: str) -> Path:
        own = self.own_styles().get(name)
        return self.statistics[name] if own is None else own.painting

    def _statistics_files(self) -> dict[str, Path]:
        """Returns the statistics of styles that every network in takes_any can read, by name."""
        files = {}
        for name, style in self.styles.items():
            several = style.name != style.folder.name
            files[name] = style.folder / statistics_file(style.style if several else None)
        for model in self.takes_any.values():
            for name in model.styles:
                file = statistics_file(name)
                files.setdefault(name, model.source.with_name(file))
        return {name: path for name, path in files.items() if self._can_be_read(path)}

    def _can_be_read(self, statistics: Path) -> bool:
        if not statistics.is_file():
            return False
        try:
            read = read_style_statistics(statistics)
            sizes = {features(read.arrays, np).shape[1]}
        except (UserError, ValueError):  # damaged, or with other terms
            return False
        centres = (model.arrays[f"{NETWORK}{PREDICTOR}centre"] for model in self.takes_any.values())
        return all(sizes == {len(centre)} for centre in centres)


def _checked_mix(mix: str, names: Sequence[str]) -> str:
    """Returns a mix as --style writes it. Raises UserError if it is not one of `names`."""
    mix = mix.replace(":", "=")
    try:
        style_proportions(mix, names)
    except UserError as error:
        raise UserError(str(error).removeprefix("--")) from None
    return mix


def _folders(own: OwnStyles) -> set[Path]:
    return {style.folder.resolve() for style in own.all().values()}


def _models_in(folder: Path) -> list[tuple[Path, Model]]:
    if (folder / WEIGHTS).exists():
        return [(by_its_name(folder), read_model(folder))]
    return [(path.parent, read_model(path.parent)) for path in sorted(folder.glob(f"*/{WEIGHTS}"))]
