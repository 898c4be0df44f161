"""The styles in pretrained/: small files with a card, and a picture to check them."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fast_style.conf.conf_file import as_yaml
from fast_style.conf.config import PLACE_KEYS, files_in, named_images
from fast_style.conf.locations import PROJECT
from fast_style.errors import UserError
from fast_style.files import read_bytes, write_atomically
from fast_style.loss.style_statistics import statistics_file
from fast_style.model_folder.eight_bit_weights import dequantized, quantized
from fast_style.model_folder.layout import CONF, RESULT, SHIPPED, STATISTICS, WEIGHTS
from fast_style.model_folder.model import Model, read_model, write_result
from fast_style.model_folder.npz import write_arrays
from fast_style.pictures.images import Picture, read_picture, write_picture
from fast_style.pictures.pixels import fit_within
from fast_style.stylize.stylizer import Stylizer
from fast_style.zoo.cards import card

Arrays = Mapping[str, np.ndarray]

CARD = "card.md"
REFERENCE = PROJECT / "img" / "sample.jpg"
REFERENCE_SIZE = 160
RECORDED = "sample{}.png"
REFERENCE_STYLE = PROJECT / "img" / "candy.jpg"  # of a model for any style that names none
MOST_BYTES = 4_000_000  # of the weights of one style, as they are shipped
MOST_PREDICTOR_BYTES = 4_000_000  # of a model that takes any style
MOST_GREY_LEVELS_OFF = 0.5  # float32 rounds single pixels differently on another CPU
MOST_GREY_LEVELS_BY_8_BITS = 1.0


def ship(folder: Path, data: str, target: Path) -> None:
    """Copies a finished model folder to `target`, with small weights and a card.

    The weights have 8 bits, or half precision if 8 bits change the reference picture by more than a
    grey level on average. data: a description of the training pictures, for the card.
    Raises UserError, and writes nothing, if the training is not finished or the weights are too
    large.
    """
    model = read_model(folder)
    if not (folder / RESULT).exists():
        raise UserError(f"{folder}: has no {RESULT}; its training is not finished")
    weights, pack = _smallest(model)
    if model.takes_any_style:
        arrays, most = model.arrays, MOST_BYTES + MOST_PREDICTOR_BYTES
    else:
        arrays, most = model.in_style_like(model.styles[0]).arrays, MOST_BYTES
    size = sum(array.nbytes for array in pack(arrays).values())
    if size > most:
        raise UserError(
            f"{folder}: has {size:,} bytes of weights in {weights}, {most:,} are allowed"
        )
    target.mkdir(parents=True, exist_ok=True)
    for pattern in ("measure*.json", "portraits*.json", "flicker*.json", STATISTICS):
        for known in folder.glob(pattern):
            write_atomically(target / known.name, known.read_bytes())
    conf = {key: value for key, value in model.conf.items() if key not in PLACE_KEYS}
    conf |= _style_images_without_places(model, target)
    write_atomically(target / CONF, as_yaml(conf).encode())
    write_arrays(target / WEIGHTS, pack(model.arrays))
    result = json.loads(read_bytes(folder / RESULT))
    result |= {
        "data": data,
        "weights": weights,
        "weights_sha256": _sha256(target / WEIGHTS),
        "begun_from": Path(model.conf.get("init_from") or "").name,
    }
    write_result(target, result)
    for style in _reference_styles(model):
        stylized = _reference_stylized(target, style)
        write_picture(_recorded(target, model, style), Picture(stylized))
    write_atomically(target / CARD, card(target).encode())


def check(folder: Path) -> list[str]:
    """Returns the problems of a shipped model: a wrong hash, or another picture than recorded."""
    wrong = []
    model = read_model(folder)
    recorded = json.loads(read_bytes(folder / RESULT))["weights_sha256"]
    found = _sha256(folder / WEIGHTS)
    if found != recorded:
        wrong.append(f"{folder / WEIGHTS}: SHA-256 {found}, recorded is {recorded}")
    for style in _reference_styles(model):
        expected = read_picture(_recorded(folder, model, style)).rgb.astype(np.float32)
        off = float(np.abs(_reference_stylized(folder, style) - expected).mean())
        if off > MOST_GREY_LEVELS_OFF:
            wrong.append(f"{folder}: {style} is {off:.2f} grey levels off the recorded picture")
    return wrong


def _style_images_without_places(model: Model, target: Path) -> dict[str, Any]:
    """Returns keys of the conf with shipped statistics instead of pictures of this machine."""

    def shipped(image: Any, name: str | None) -> Any:
        file = target / statistics_file(name)
        of_this_machine = any(Path(one).expanduser().is_absolute() for one in files_in(image))
        if not (of_this_machine and file.exists()):
            return image
        return f"{SHIPPED.name}/{target.name}/{file.name}"

    several = model.conf.get("style_images")
    given = {None: model.conf.get("style_image")} if several is None else named_images(several)
    found = {name: shipped(image, name) for name, image in given.items()}
    if found == given:
        return {}
    images = {"style_image": found[None]} if several is None else {"style_images": found}
    return images | {"style_image_sha256": None}  # a hash is that of the picture


def _smallest(model: Model) -> tuple[str, Callable[[Arrays], dict[str, np.ndarray]]]:
    """Returns the name of the smallest good format of the weights, and its function."""
    eight_bits = dataclasses.replace(model, arrays=dequantized(quantized(model.arrays)))
    off = max(_grey_levels_off(model, eight_bits, style) for style in _reference_styles(model))
    if off <= MOST_GREY_LEVELS_BY_8_BITS:
        return "8 bits", quantized
    print(f"{model.name}: half precision, as 8 bits are {off:.2f} grey levels off")
    return "half precision", _halves


def _reference_styles(model: Model) -> list[str]:
    return model.styles or [str(REFERENCE_STYLE)]


def _halves(arrays: Arrays) -> dict[str, np.ndarray]:
    return {name: array.astype(np.float16) for name, array in arrays.items()}


def _reference_stylized(model: Path | Model, style: str) -> np.ndarray:
    # Not the fastest runtime, but one that every machine has.
    stylizer = Stylizer(model, "tensorflow", "float32", style)
    return stylizer(fit_within(read_picture(REFERENCE), REFERENCE_SIZE).rgb)


def _grey_levels_off(model: Model, other: Model, style: str) -> float:
    """Returns the mean difference of two models on the reference picture."""
    one, two = (_reference_stylized(each, style).astype(np.float32) for each in (model, other))
    return float(np.abs(one - two).mean())


def _recorded(folder: Path, model: Model, style: str) -> Path:
    return folder / RECORDED.format(f"-{style}" if len(model.styles) > 1 else "")


def _sha256(path: Path) -> str:
    return hashlib.sha256(read_bytes(path)).hexdigest()
