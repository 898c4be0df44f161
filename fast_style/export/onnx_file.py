"""ONNX, run by ONNX Runtime."""

from pathlib import Path

import onnx
import onnxruntime

from fast_style.checkpoints import Model
from fast_style.export import Order, Run
from fast_style.export.onnx_network import onnx_network


def write(model: Model, network, path: Path, order: Order) -> None:
    made = onnx_network(model.arrays, model.output, order.pixels, order.half)
    onnx.helper.set_model_props(made, order.metadata)
    onnx.save(made, path)


def load(path: Path, pixels: str) -> Run:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda pictures: session.run(["stylized"], {"pictures": pictures})[0]
