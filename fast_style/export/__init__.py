"""Exports a trained network to the formats of other programs.

Every export is compared with the network before it is put in place.
"""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import yaml

from fast_style import __version__
from fast_style.any_style.chosen_style import in_style
from fast_style.conf.config import PLACE_KEYS
from fast_style.errors import UserError, check_installed, naming_os_errors
from fast_style.export import litert_file, onnx_file, openvino_file, saved_model
from fast_style.export.formats import Comparison, ExportOptions, Format, Run
from fast_style.export.saved_model import tensorflow_finds
from fast_style.files import flush, flush_folder
from fast_style.model_folder.model import Model, build_network, read_model

SIZES = ((256, 256), (181, 243), (1, 5))
BATCH = 2

FORMATS = {
    "saved_model": Format("SavedModel", "", saved_model.write, saved_model.load, keeps_half=False),
    "onnx": Format(
        "ONNX", ".onnx", onnx_file.write, onnx_file.load, ("onnx", "onnxruntime"), "onnx"
    ),
    "openvino": Format(
        "OpenVINO", ".xml", openvino_file.write, openvino_file.load, ("openvino",), "cpu"
    ),
    "litert": Format(
        "LiteRT", ".tflite", litert_file.write, litert_file.load, ("ai_edge_litert",), "litert"
    ),
}


def export(
    model_folder: Path,
    output: Path,
    kind: str = "saved_model",
    *,
    style: str | None = None,
    pixels: str = "uint8",
    half: bool = False,
) -> list[Comparison]:
    """Writes the model to `output`, a folder for a SavedModel, else a file, and compares it.

    The export takes pictures of any N, H and W. kind: a key of FORMATS. style: as in in_style. If
    the model takes any style, None gives an ONNX file whose second input is the style image.
    pixels, half: as in ExportOptions; a SavedModel has signatures for both pixels. The comparisons
    are also written to a JSON file, beside a file and inside a SavedModel.
    Raises UserError, before any work, for what the format cannot do, a missing package, and an
    output that exists; RuntimeError if the pixels differ from those of the network.
    """
    wanted = FORMATS[kind]
    check_format(kind, half)
    check_new(output)
    if kind == "saved_model" and not tensorflow_finds(output):
        raise UserError(
            f"--output {output}: TensorFlow finds no SavedModel if the path has a [; name another"
        )
    if output.suffix != wanted.ending and wanted.ending:
        raise UserError(f"--output {output}: for {wanted.title} the name ends in {wanted.ending}")
    model = read_model(model_folder)
    check_style(model, kind, style)
    takes_style_image = model.takes_any_style and style is None
    if not takes_style_image:
        model = in_style(model, style)
    conf = {key: value for key, value in model.conf.items() if key not in PLACE_KEYS}
    metadata = {
        "style": model.name,
        "artwork": str(model.conf.get("artwork") or ""),
        "version": f"fast-style {__version__}",
        "licence": "MIT",
        "conf": yaml.safe_dump(conf, sort_keys=False, allow_unicode=True),
    }
    with unfinished(output) as path:
        options = ExportOptions(pixels, half, metadata)
        if takes_style_image:
            pairs = onnx_file.write_for_any_style(model, path, options)
        else:
            network = build_network(model)
            wanted.write(model, network, path, options)
            pairs = [(wanted.load(path, pixels), network)]
        found = [one for pair in pairs for one in compare(*pair, pixels)]
        worst = float(np.max([one.largest_difference for one in found]))  # NaN if one is
        if not worst <= (2.0 if half else 1.0):
            raise RuntimeError(f"the {wanted.title} is {worst:.2f} grey levels off the network")
        _write_comparisons(found, path)
    return found


def check_new(output: Path) -> None:
    """Raises UserError if the output of an export exists, except as an empty folder."""
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise UserError(f"--output {output}: exists already; name a new one")


@contextlib.contextmanager
def unfinished(output: Path) -> Iterator[Path]:
    """Yields a path for the block to write an export to, and others beside it.

    After the block, all of them are put in place. If it fails, they are removed. Raises UserError
    if the disk refuses them.
    """
    with naming_os_errors(f"--output {output}", "written"):
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=".export-") as temporary:
            path = Path(temporary) / output.name
            yield path
            _put_in_place(path, output)


def check_format(kind: str, half: bool) -> None:
    """Raises UserError if the format cannot store float16, or one of its packages is missing."""
    wanted = FORMATS[kind]
    if half and not wanted.keeps_half:
        able = ", ".join(name for name, one in FORMATS.items() if one.keeps_half)
        raise UserError(f"--half: a {wanted.title} stores float32 weights; use {able}")
    check_installed(f"--format {kind}: needs", wanted.extra, *wanted.packages)


def check_style(model: Model, kind: str, style: str | None) -> None:
    """Raises UserError if the format needs a style to be named."""
    if model.takes_any_style and style is None and kind != "onnx":
        raise UserError(
            f"--format {kind}: only onnx takes the style image as an input; name one with --style"
        )


def compare(run: Run, network, pixels: str) -> list[Comparison]:
    """Compares `run` with the network on batches of noise of several SIZES.

    Raises RuntimeError if `run` returns another shape or dtype than it gets.
    """
    rng = np.random.default_rng(0)
    found = []
    for height, width in SIZES:
        pictures = rng.integers(0, 256, (BATCH, height, width, 3), dtype=np.uint8)
        expected = np.clip(np.asarray(network(pictures.astype(np.float32))), 0, 255)
        if pixels == "uint8":
            given, expected = pictures, np.rint(expected)
        else:
            given = pictures.astype(np.float32)
        stylized = run(given)
        if stylized.shape != given.shape or stylized.dtype != given.dtype:
            raise RuntimeError(
                f"{given.dtype} {given.shape} became {stylized.dtype} {stylized.shape}"
            )
        off = float(np.abs(stylized.astype(np.float32) - expected).max())
        found.append(Comparison(height, width, off))
    return found


def _write_comparisons(found: list[Comparison], path: Path) -> None:
    figures = path / "agreement.json" if path.is_dir() else path.with_name(f"{path.name}.json")
    figures.write_text(json.dumps([asdict(one) for one in found], indent=2))


def _put_in_place(unfinished: Path, output: Path) -> None:
    """Moves the files of an export into place, the output last: if it exists, it is complete."""
    others = [path for path in unfinished.parent.iterdir() if path != unfinished]
    placed: list[Path] = []
    flush(unfinished.parent)
    try:
        for path in [*others, unfinished]:
            placed.append(path.replace(output.with_name(path.name)))
    except OSError:
        for path in placed:
            path.unlink(missing_ok=True)
        raise
    flush_folder(output.parent)
