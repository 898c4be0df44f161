"""OpenVINO's .xml, with its weights in a .bin beside it."""

from pathlib import Path

import openvino

from fast_style.checkpoints import Model
from fast_style.export import Order, Run
from fast_style.runtimes.openvino_network import compile_for_cpu, core, exportable_network


def write(model: Model, network, path: Path, order: Order) -> None:
    made = exportable_network(model.arrays, model.output, order.pixels)
    for key, words in order.metadata.items():
        made.set_rt_info(words, ["fast_style", key])
    try:
        openvino.save_model(made, path, compress_to_fp16=order.half)
    except RuntimeError as error:  # which is all that it says of a full disk
        raise OSError(f"OpenVINO says {error}; is there room for it?") from error


def load(path: Path, pixels: str) -> Run:
    run = compile_for_cpu(core().read_model(path), "float32")
    return lambda pictures: run(pictures)["stylized"]
