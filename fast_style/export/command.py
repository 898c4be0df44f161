"""What export.py does: one or more models to one or more formats."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fast_style.errors import UserError
from fast_style.export import FORMATS, check_format, check_new, check_style, export, web_site
from fast_style.export.formats import Comparison
from fast_style.hardware import start_tensorflow
from fast_style.model_folder.layout import find_model_folder
from fast_style.model_folder.model import read_model
from fast_style.network.style_mix import name_in_style

WEB = web_site.FORMAT
KINDS = (*FORMATS, WEB)
EXPORTED = Path("exported")


@dataclass(frozen=True)
class Wanted:
    """The flags of export.py, which explains them.

    Raises UserError, before any work, for flags that do not go together, an output that exists and
    an archive that does not.
    """

    formats: Sequence[str]
    models: Sequence[str]
    style: str | None
    pixels: str
    half: bool
    output: Path | None
    onnxruntime_web: Path | None

    def __post_init__(self) -> None:
        site, archive = WEB in self.formats, self.onnxruntime_web
        several = len(self.formats) > 1 or (len(self.models) > 1 and not site)
        if self.output is not None and several:
            raise UserError("--output: is for one export; without it, all go to exported/NAME.*")
        if self.output is not None:
            check_new(self.output)
        if archive is not None and not site:
            raise UserError(f"--onnxruntime-web: is for --format {WEB}")
        if archive is not None and not archive.is_file():
            raise UserError(f"--onnxruntime-web {archive}: no such file")
        if self.pixels == "float" and site:
            raise UserError(f"--pixels float: the networks of --format {WEB} take uint8")
        for kind in self.formats:
            if kind != WEB:
                check_format(kind, self.half)


def export_models(wanted: Wanted) -> None:
    """Writes the exports, and prints where they are and how far off the network they are.

    Raises UserError as `export` and `export_site` do.
    """
    folders = [find_model_folder(name) for name in wanted.models]
    models = [read_model(folder) for folder in folders]
    for kind in wanted.formats:
        for model in models:
            check_style(model, kind, wanted.style)
    start_tensorflow()
    for kind in wanted.formats:
        if kind == WEB:
            _export_site(folders, wanted)
        else:
            for folder in folders:
                _export_model(folder, kind, wanted)


def _export_model(folder: Path, kind: str, wanted: Wanted) -> None:
    name = name_in_style(folder.name, wanted.style)
    output = wanted.output or EXPORTED / f"{name}{FORMATS[kind].ending}"
    pixels, half = wanted.pixels, wanted.half
    found = export(folder, output, kind, style=wanted.style, pixels=pixels, half=half)
    print(f"{output}: {FORMATS[kind].title}")
    for one in found:
        print(f"  {one.height:>3} x {one.width:<3}  {_worst([one])}")


def _export_site(folders: Sequence[Path], wanted: Wanted) -> None:
    output = wanted.output or EXPORTED / "site"
    archive, half = wanted.onnxruntime_web, wanted.half
    styles = web_site.export_site(folders, output, style=wanted.style, half=half, archive=archive)
    print(f"{output}: web site")
    for name, found in styles.items():
        print(f"  {name}: {_worst(found)}")


def _worst(found: Sequence[Comparison]) -> str:
    largest = max(one.largest_difference for one in found)
    return f"at most {largest:.4f} grey levels off the network"
