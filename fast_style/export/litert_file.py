"""LiteRT (formerly TensorFlow Lite), a .tflite file."""

import json
import os
from pathlib import Path

import numpy as np

from fast_style.export.formats import ExportOptions, Run
from fast_style.model_folder.model import Model

METADATA = "fast_style"
FILE_IDENTIFIER = b"TFL3"


def write(model: Model, network, path: Path, options: ExportOptions) -> None:
    import tensorflow as tf

    element = tf.uint8 if options.pixels == "uint8" else tf.float32
    shape = (None, None, None, 3)

    @tf.function(input_signature=[tf.TensorSpec(shape, element, name="pictures")])
    def stylize(pictures):
        stylized = tf.clip_by_value(network(tf.cast(pictures, tf.float32)), 0.0, 255.0)
        if options.pixels == "uint8":
            stylized = tf.cast(tf.round(stylized), tf.uint8)
        return {"stylized": stylized}

    # The converter only includes variables that a tf.Module has.
    module = tf.Module()
    module.variables_of_the_network = [variable.value for variable in network.variables]
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [stylize.get_concrete_function()], module
    )
    if options.half:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    path.write_bytes(_with_metadata(converter.convert(), options.metadata))


def load(path: Path, pixels: str) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=os.cpu_count())
    [given], [made] = interpreter.get_input_details(), interpreter.get_output_details()

    def run(pictures: np.ndarray) -> np.ndarray:
        interpreter.resize_tensor_input(given["index"], pictures.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], pictures)
        interpreter.invoke()
        return interpreter.get_tensor(made["index"])

    return run


def _with_metadata(model: bytes, metadata: dict[str, str]) -> bytes:
    """Returns the model with the metadata as JSON, in a buffer named METADATA."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    content = schema.ModelT.InitFromPackedBuf(model, 0)
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(json.dumps(metadata).encode(), np.uint8)
    entry.name, entry.buffer = METADATA, len(content.buffers)
    content.buffers.append(buffer)
    content.metadata = [*(content.metadata or []), entry]
    builder = flatbuffers.Builder(len(model))
    builder.Finish(content.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())
