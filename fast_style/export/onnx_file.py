"""ONNX, run in ONNX Runtime."""

from pathlib import Path

from fast_style.export.formats import ExportOptions, Run
from fast_style.model_folder.model import Model


def write(model: Model, network, path: Path, options: ExportOptions) -> None:
    import onnx

    from fast_style.export.onnx_network import onnx_network

    made = onnx_network(model.arrays, model.architecture, options.pixels, options.half)
    onnx.helper.set_model_props(made, options.metadata)
    onnx.save(made, path)


def load(path: Path, pixels: str) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda pictures: session.run(["stylized"], {"pictures": pictures})[0]
