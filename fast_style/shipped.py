"""The styles in pretrained/: small on disk, with a card, and a picture to check them against."""

import hashlib
import json
from pathlib import Path

import numpy as np
import yaml

from fast_style.checkpoints import (
    CONF,
    RESULT,
    WEIGHTS,
    Model,
    read_model,
    write_arrays,
    write_result,
)
from fast_style.config import PLACE_KEYS
from fast_style.errors import UserError
from fast_style.files import read_bytes, write_atomically
from fast_style.locations import PROJECT
from fast_style.pictures.images import Picture, read_picture, write_picture
from fast_style.pictures.pixels import fit_within
from fast_style.stylize import Stylizer

SHIPPED = PROJECT / "pretrained"
CARD = "card.md"
REFERENCE = PROJECT / "img" / "sample.jpg"
REFERENCE_SIZE = 160
RECORDED = "sample{}.png"
MOST_BYTES = 4_000_000
# In float32 on another CPU single pixels round the other way.
MOST_GREY_LEVELS_OFF = 0.5


def ship(folder: Path, data: str, target: Path) -> None:
    """Put a finished model folder into `target`, with half-precision weights and a card.

    data: the words for what it was trained on, as the folder that its conf names stays here.
    Raises UserError where the training is not finished or the weights are too large.
    """
    model = read_model(folder)
    if not (folder / RESULT).exists():
        raise UserError(f"{folder}: has no {RESULT}; its training is not finished")
    arrays = {name: array.astype(np.float16) for name, array in model.arrays.items()}
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise UserError(f"{folder}: has weights that half precision cannot hold")
    size = sum(array.nbytes for array in arrays.values())
    if size > MOST_BYTES:
        raise UserError(f"{folder}: has {size} bytes of weights, {MOST_BYTES} are allowed")
    target.mkdir(parents=True, exist_ok=True)
    write_arrays(target / WEIGHTS, arrays)
    begun_from = Path(model.conf.get("init_from") or "").name
    conf = {key: value for key, value in model.conf.items() if key not in PLACE_KEYS}
    conf_text = yaml.safe_dump(conf, sort_keys=False, allow_unicode=True)
    write_atomically(target / CONF, conf_text.encode())
    result = json.loads(read_bytes(folder / RESULT))
    result |= {"data": data, "weights_sha256": _sha256(target / WEIGHTS), "begun_from": begun_from}
    write_result(target, result)
    for measured in folder.glob("measure*.json"):
        write_atomically(target / measured.name, measured.read_bytes())
    for style in model.styles:
        picture = Picture(rgb=_reference_stylized(target, style), alpha=None, icc_profile=None)
        write_picture(_recorded(target, model, style), picture)
    write_atomically(target / CARD, card(target).encode())


def shipped_models() -> list[Path]:
    """The model folders in pretrained/."""
    return sorted(path.parent for path in SHIPPED.glob(f"*/{WEIGHTS}"))


def check(folder: Path) -> list[str]:
    """What is wrong with a shipped model, a line each: its hash, or what it makes of a picture."""
    wrong = []
    model = read_model(folder)
    recorded = json.loads(read_bytes(folder / RESULT))["weights_sha256"]
    found = _sha256(folder / WEIGHTS)
    if found != recorded:
        wrong.append(f"{folder / WEIGHTS}: SHA-256 {found}, recorded is {recorded}")
    for style in model.styles:
        expected = read_picture(_recorded(folder, model, style)).rgb.astype(np.float32)
        off = float(np.abs(_reference_stylized(folder, style) - expected).mean())
        if off > MOST_GREY_LEVELS_OFF:
            wrong.append(f"{folder}: {style} is {off:.2f} grey levels off the recorded picture")
    return wrong


def card(folder: Path) -> str:
    """A shipped model's card: how it was made and how good it is, in Markdown."""
    model, result = read_model(folder), json.loads(read_bytes(folder / RESULT))
    conf, name = model.conf, folder.name
    lines = [
        f"# {name}",
        "",
        conf.get("artwork") or f"{len(model.styles)} styles: {', '.join(model.styles)}.",
        "",
        f"    python eval.py --model models/{name} {_example_style(model)}--image img/sample.jpg",
        f"    python train.py -c conf/{name}.yml",
        "",
        f"- Data: {result['data']}",
        f"- Steps: {result['steps']} at {conf['image_size']} pixels, batch {conf['batch_size']}, "
        f"{conf['optimizer']}, seed {conf['seed']}, {result['precision']}",
        f"- Begun from: {result['begun_from'] or 'random weights'}",
        f"- Minutes: {result['seconds'] / 60:.0f}",
        f"- Hardware: {result['hardware']}",
        f"- Date: {result['date']}",
        "- Versions: " + ", ".join(f"{k} {v}" for k, v in result["versions"].items()),
        f"- Weights: half precision, SHA-256 `{result['weights_sha256']}`",
        *(f"- Style image of {k}: SHA-256 `{v}`" for k, v in result["style_image_sha256"].items()),
        "- Licence: MIT, as the project",
        "",
    ]
    return "\n".join([*lines, *_losses(model, result), *_measured(folder)])


def _example_style(model: Model) -> str:
    return f"--style {model.styles[0]} " if len(model.styles) > 1 else ""


def _losses(model: Model, result: dict) -> list[str]:
    after, before = result["validation_after"], result["validation_before"]
    if not after:
        return []
    lines = ["Held-out photos, before the training where that was measured, and after it:", ""]
    lines += ["| style | content | style | total |", "|---|---|---|---|"]
    for style in model.styles:
        prefix = f"{style}/" if len(model.styles) > 1 else ""
        terms = [f"{prefix}{term}" for term in ("content", "style", "total")]
        begun = [f"{before[term]:.3f} → " if before else "" for term in terms]
        cells = [b + f"{after[term]:.3f}" for b, term in zip(begun, terms, strict=True)]
        lines.append(f"| {style} | {' | '.join(cells)} |")
    return [*lines, ""]


def _measured(folder: Path) -> list[str]:
    paths = sorted(folder.glob("measure*.json"))
    if not paths:
        return []
    lines = ["One pass in iterations of L-BFGS, and what the objective does not see:", ""]
    lines += ["| model | size | total | from noise | from the content image | grid | frame |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for path in paths:
        measured = json.loads(read_bytes(path))
        for size, at in measured["sizes"].items():
            equals = [
                at["lbfgs_from"][start]["equals_iterations"] for start in ("noise", "content")
            ]
            art = at["artefacts"]
            lines.append(
                f"| {measured['model']} | {size} | {at['network']['total']['mean']:.3f} "
                f"| {equals[0]:.0f} | {equals[1]:.0f} "
                f"| {art['grid']:.2f} (photo {art['grid_of_content']:.2f}) | {art['frame']:.1f} |"
            )
    return [*lines, ""]


def _reference_stylized(folder: Path, style: str) -> np.ndarray:
    # Not what is fastest here, but what every machine has.
    stylizer = Stylizer(folder, "tensorflow", "float32", style)
    return stylizer(fit_within(read_picture(REFERENCE), REFERENCE_SIZE).rgb)


def _recorded(folder: Path, model: Model, style: str) -> Path:
    return folder / RECORDED.format(f"-{style}" if len(model.styles) > 1 else "")


def _sha256(path: Path) -> str:
    return hashlib.sha256(read_bytes(path)).hexdigest()
