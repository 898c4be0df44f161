"""Markdown about shipped models: the card of each, and a table of several."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from fast_style.files import read_bytes
from fast_style.measure.tables import iterations_in_words, likeness_cells
from fast_style.model_folder.layout import RESULT
from fast_style.model_folder.model import Model, read_model

TERMS = ("content", "style", "total")
LBFGS_FROM = ("noise", "content")  # the order of the columns


def card(folder: Path) -> str:
    """Returns a shipped model's card in Markdown: its training and its figures."""
    model, result = read_model(folder), _read_json(folder / RESULT)
    conf, name = model.conf, folder.name
    about = f"{len(model.styles)} styles: {', '.join(model.styles)}."
    style = f"--style {model.styles[0]} " if len(model.styles) > 1 else ""
    if model.takes_any_style:
        about = "Takes any style image, or a mix of several."
        if model.styles:
            about += f" Styles that it names: {', '.join(model.styles)}."
        style = "--style painting.jpg "
    lines = [
        f"# {name}",
        "",
        conf.get("artwork") or about,
        "",
        f"    python eval.py --model models/{name} {style}--image img/sample.jpg",
        f"    python train.py -c conf/{name}.yml",
        "",
        f"- Data: {result['data']}",
        f"- Steps: {result['steps']} at {conf['image_size']} pixels, batch {conf['batch_size']}, "
        f"{conf['optimizer']}, seed {conf['seed']}, {result['precision']}",
        f"- Network: {model.architecture.name}",
        f"- Begun from: {result['begun_from'] or 'random weights'}",
        f"- Minutes: {result['seconds'] / 60:.0f}",
        f"- Hardware: {result['hardware']}",
        f"- Date: {result['date']}",
        "- Versions: " + ", ".join(f"{k} {v}" for k, v in result["versions"].items()),
        f"- Weights: {result.get('weights', 'half precision')}, "
        f"SHA-256 `{result['weights_sha256']}`",
        *(f"- Style image of {k}: SHA-256 `{v}`" for k, v in result["style_image_sha256"].items()),
        "- Licence: MIT, as the project",
        "",
    ]
    return "\n".join([*lines, *_losses(model, result), *_measured(folder), *_flicker(folder)])


def _losses(model: Model, result: dict) -> list[str]:
    after, before = result["validation_after"], result["validation_before"]
    if not after:
        return []
    rows = []
    for style in model.styles:
        prefix = f"{style}/" if len(model.styles) > 1 else ""
        terms = [f"{prefix}{term}" for term in TERMS]
        begun = [f"{before[term]:.3f} → " if before else "" for term in terms]
        rows.append([style, *(b + f"{after[t]:.3f}" for b, t in zip(begun, terms, strict=True))])
    title = "Held-out photos, before the training where that was measured, and after it:"
    return [title, "", *_rows(["style", *TERMS], rows), ""]


def _measured(folder: Path) -> list[str]:
    found = _read_all(folder, "measure*.json")
    if not found:
        return []
    lines = []
    if any("likeness" in one for one in found):
        head = ["model", "strokes", "from fine to coarse", "palette", "scene"]
        rows = [[one["model"], *likeness_cells(one.get("likeness"))] for one in found]
        title = "Strokes and palette (photo 1, painting 0), and scene (photo 1):"
        lines += [title, "", *_rows(head, rows), ""]
    at_sizes = [(one["model"], size, at) for one in found for size, at in one["sizes"].items()]
    rows = []
    for model, size, at in at_sizes:
        art = at["artefacts"]
        grid = f"{art['grid']:.2f} (photo {art['grid_of_content']:.2f})"
        rows.append([model, size, grid, f"{art['frame']:.1f}"])
    lines += ["Checkerboards and frames:", "", *_rows(["model", "size", "grid", "frame"], rows), ""]
    rows = []
    for model, size, at in at_sizes:
        if "lbfgs_from" in at:
            equals = [iterations_in_words(at["lbfgs_from"][start]) for start in LBFGS_FROM]
            rows.append([model, size, f"{at['network']['total']['mean']:.3f}", *equals])
    if rows:
        head = ["model", "size", "total", "from noise", "from the content image"]
        title = "One pass in iterations of L-BFGS on the same objective:"
        lines += [title, "", *_rows(head, rows), ""]
    return lines


def _flicker(folder: Path) -> list[str]:
    found = _read_all(folder, "flicker*.json")
    lines = ["Flicker in clips, as the warping error in grey levels:", ""] if found else []
    for measured in found:
        width, height = measured["size"]
        clip = f"{measured['clip']}, {measured['frames']} frames of {width}x{height}"
        rows = [[row, f"{error:.2f}"] for row, error in measured["warping_error"].items()]
        lines += [*_rows([clip, "error"], rows), ""]
    return lines


def table(folders: Iterable[Path]) -> str:
    """Returns a table of models of one style: their trainings and their figures."""
    head = ["style", "steps", "minutes", *TERMS, "before", "strokes", "palette", "scene"]
    head += ["grid (photo)", "frame", "blotched", "faces found (same person)"]
    rows = []
    for folder in folders:
        model, result = read_model(folder), _read_json(folder / RESULT)
        after, before = result["validation_after"], result["validation_before"]
        cells = [model.name, str(result["steps"]), f"{result['seconds'] / 60:.0f}"]
        cells += [f"{after[term]:.3f}" for term in TERMS] if after else ["-"] * len(TERMS)
        cells += [f"{before['total']:.3f}"] if before else ["-"]
        rows.append([*cells, *_measured_cells(folder), _portrait_cell(folder)])
    return "\n".join(_rows(head, rows))


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Returns the lines of a Markdown table."""
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return [lines[0], "|" + "---|" * len(head), *lines[1:]]


def _measured_cells(folder: Path) -> list[str]:
    measured = _read_all(folder, "measure*.json")
    at_sizes = [at for one in measured for at in one["sizes"].values()]
    art = [at["artefacts"] for at in at_sizes]
    alike = [likeness_cells(one.get("likeness")) for one in measured]
    strokes, _, palettes, scenes = zip(*alike, strict=True) if alike else ((),) * 4
    grids = [f"{one['grid']:.2f} ({one['grid_of_content']:.2f})" for one in art]
    frames = [f"{one['frame']:.1f}" for one in art]
    blotched = [f"{one['blotched']:.1%}" for one in art]
    return [" / ".join(cells) for cells in (strokes, palettes, scenes, grids, frames, blotched)]


def _portrait_cell(folder: Path) -> str:
    """Returns the shares of faces that are found, and are of the same person, at full strength."""
    found = _read_all(folder, "portraits*.json")
    return " / ".join(f"{one['found'][-1]:.0%} ({one['same'][-1]:.0%})" for one in found)


def _read_all(folder: Path, pattern: str) -> list[dict]:
    return [_read_json(path) for path in sorted(folder.glob(pattern))]


def _read_json(path: Path) -> dict:
    return json.loads(read_bytes(path))
