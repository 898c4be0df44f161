"""OpenVINO: an .xml file, and a .bin file of weights beside it."""

from pathlib import Path

from fast_style.export.formats import ExportOptions, Run
from fast_style.model_folder.model import Model


def write(model: Model, network, path: Path, options: ExportOptions) -> None:
    import openvino

    from fast_style.runtimes.openvino_network import openvino_network

    made = openvino_network(model.arrays, model.architecture, options.pixels)
    for key, text in options.metadata.items():
        made.set_rt_info(text, ["fast_style", key])
    try:
        openvino.save_model(made, path, compress_to_fp16=options.half)
    except RuntimeError as error:  # this is how OpenVINO reports a full disk
        raise OSError(f"OpenVINO: {error}; is the disk full?") from error


def load(path: Path, pixels: str) -> Run:
    from fast_style.runtimes.openvino_network import compile_for_cpu, core

    run = compile_for_cpu(core().read_model(path), "float32")
    return lambda pictures: run(pictures)["stylized"]
