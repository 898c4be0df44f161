"""A trained network in the formats that other programs run.

Every export is compared with the network before it is put in place.
"""

import json
import tempfile
import time
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import yaml

from fast_style import __version__
from fast_style.conf.config import PLACE_KEYS
from fast_style.errors import UserError
from fast_style.export import litert_file, onnx_file, openvino_file, saved_model
from fast_style.export.formats import Comparison, ExportOptions, Format, Run
from fast_style.export.saved_model import tensorflow_finds
from fast_style.files import flush, flush_folder
from fast_style.model_folder.model import load_network, read_model

SIZES = ((256, 256), (181, 243), (1, 5))
BATCH = 2
MOST_GREY_LEVELS_OFF = {"float32": 1.0, "float16": 2.0}

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
    """Write the model as `output`, a folder for a SavedModel, else a file; compare it at SIZES.

    The export takes pictures of any N, H and W. kind: a key of FORMATS. style: of a model of
    several, a name or a mix such as 'candy=0.6,wave=0.4'. pixels, half: as in ExportOptions; a
    SavedModel has signatures for both pixels. The comparisons are also written, beside a file and
    inside a SavedModel.
    Raises UserError, before any work, for what the format cannot do, for a missing package and
    where the output exists; RuntimeError where the format's own runtime gives other pixels than the
    network.
    """
    wanted = FORMATS[kind]
    check_format(kind, half)
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise UserError(f"--output {output}: is there already; name a new one")
    if kind == "saved_model" and not tensorflow_finds(output):
        raise UserError(
            f"--output {output}: TensorFlow finds no SavedModel where a path has a [; name another"
        )
    if output.suffix != wanted.ending and wanted.ending:
        raise UserError(f"--output {output}: for {wanted.title} the name ends in {wanted.ending}")
    model = read_model(model_folder).in_style(style)
    network = load_network(model_folder, style=style)
    conf = {key: value for key, value in model.conf.items() if key not in PLACE_KEYS}
    metadata = {
        "style": model.name,
        "artwork": str(model.conf.get("artwork") or ""),
        "version": f"fast-style {__version__}",
        "licence": "MIT",
        "conf": yaml.safe_dump(conf, sort_keys=False, allow_unicode=True),
    }
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=".export-") as temporary:
            unfinished = Path(temporary) / output.name
            wanted.write(model, network, unfinished, ExportOptions(pixels, half, metadata))
            found = compare(wanted.load(unfinished, pixels), network, pixels)
            check_comparisons(found, wanted.title, "float16" if half else "float32")
            _write_comparisons(found, unfinished)
            _put_in_place(unfinished, output)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"--output {output}: cannot be written: {reason}") from error
    return found


def check_format(kind: str, half: bool) -> None:
    """Raise UserError where the format cannot store float16, or its packages are missing."""
    wanted = FORMATS[kind]
    if half and not wanted.keeps_half:
        able = ", ".join(name for name, one in FORMATS.items() if one.keeps_half)
        raise UserError(f"--half: a {wanted.title} keeps float32 weights; {able} can do without")
    missing = [package for package in wanted.packages if not find_spec(package)]
    if missing:
        raise UserError(
            f"--format {kind}: needs {' and '.join(missing)}; "
            f"pip install 'fast-style[{wanted.extra}]'"
        )


def compare(run: Run, network, pixels: str) -> list[Comparison]:
    """Batches of noise of several sizes through `run` and through the network."""
    rng = np.random.default_rng(0)
    found = []
    for height, width in SIZES:
        pictures = rng.integers(0, 256, (BATCH, height, width, 3), dtype=np.uint8)
        expected = np.clip(np.asarray(network(pictures.astype(np.float32))), 0, 255)
        if pixels == "uint8":
            expected = np.rint(expected)
        given = pictures if pixels == "uint8" else pictures.astype(np.float32)
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            stylized = run(given)
            seconds.append(time.perf_counter() - started)
        if stylized.shape != given.shape or stylized.dtype != given.dtype:
            raise RuntimeError(
                f"{stylized.dtype} of shape {stylized.shape} of {given.dtype} {given.shape}"
            )
        off = float(np.abs(stylized.astype(np.float32) - expected).max())
        found.append(Comparison(height, width, off, float(np.median(seconds))))
    return found


def check_comparisons(found: list[Comparison], title: str, precision: str) -> None:
    """Raise RuntimeError where one is too far off for weights of that precision."""
    worst = max(one.largest_difference for one in found)
    if not worst <= MOST_GREY_LEVELS_OFF[precision]:
        raise RuntimeError(f"the {title} is {worst:.2f} grey levels off the network")


def _write_comparisons(found: list[Comparison], path: Path) -> None:
    figures = path / "agreement.json" if path.is_dir() else path.with_name(f"{path.name}.json")
    figures.write_text(json.dumps([asdict(one) for one in found], indent=2))


def _put_in_place(unfinished: Path, output: Path) -> None:
    """Move the files of an export into place, the output last: where it exists, it is complete."""
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
