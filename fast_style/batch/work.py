"""What is done to every picture of a collection, and the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fast_style.any_style.chosen_style import in_style
from fast_style.batch.stores import Store
from fast_style.errors import UserError
from fast_style.model_folder.layout import find_model_folder
from fast_style.model_folder.model import Model, read_model
from fast_style.network.style_mix import name_in_style
from fast_style.stylize.stylization import Stylization
from fast_style.stylize.stylizer import chosen_runtime


@dataclass(frozen=True)
class Work:
    """What is done to every picture, and where the stylized images are written."""

    models: Mapping[str, Model]  # of one style each, by the suffix of the images' names
    output: Store
    folder: str
    most_pixels: int
    runtime: str = "auto"
    precision: str = "auto"
    how: Stylization = Stylization()


@dataclass
class Report:
    """The results of one or several pictures."""

    pictures: int = 0
    made: int = 0  # stylized images, one for each model
    already_done: int = 0  # stylized images that existed before
    broken: list[tuple[str, str]] = field(default_factory=list)  # names and reasons

    def add(self, other: Report) -> None:
        self.pictures += other.pictures
        self.made += other.made
        self.already_done += other.already_done
        self.broken += other.broken


def models_by_name(
    models: Sequence[str], styles: Sequence[str], runtime: str = "auto", precision: str = "auto"
) -> dict[str, Model]:
    """Returns models of one style each, by the suffix of their stylized images' names.

    A model of several styles, or one that takes any style, is returned once for each of `styles`.
    runtime, precision: as for Stylizer. The runtime reads style images.
    Raises UserError if two would have the same suffix, and as in_style and Stylizer do.
    """
    runtime = chosen_runtime(runtime, precision)
    folders = [find_model_folder(name) for name in models]
    read = [read_model(folder) for folder in folders]
    if styles and len(read) > 1 and not any(model.has_choice for model in read):
        raise UserError(f"--style {styles[0]}: each of the models has one style")
    named: dict[str, Model] = {}
    for folder, model in zip(folders, read, strict=True):
        chosen = bool(styles) and (len(read) == 1 or model.has_choice)
        for style in styles if chosen else [None]:
            name = name_in_style(folder.name, style)
            if name in named:
                raise UserError(f"--model: two would write pictures named NAME-{name}")
            named[name] = in_style(model, style, runtime)
    return named
