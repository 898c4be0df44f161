"""The transformer network as an ONNX model, made from a model's arrays without Keras."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fast_style.any_style.predictor_graph import norms_of
from fast_style.any_style.statistics_graph import statistics_of
from fast_style.conf.config import Config
from fast_style.model_folder.model import NETWORK
from fast_style.network.architecture import Architecture
from fast_style.network.graph import PIXELS, UINT8, as_constant, stylized

OPSET = 18
IR_VERSION = 9  # as old as the opset, because runtimes refuse files of newer versions


def onnx_network(
    arrays: Mapping[str, np.ndarray], architecture: Architecture, pixels: str, half: bool
) -> onnx.ModelProto:
    """Returns a model of graph.stylized, with the input 'pictures' and the output 'stylized'.

    half: store the weights in float16. The arithmetic stays float32.
    """
    graph = OnnxGraph(half)
    last = stylized(graph.add, "pictures", arrays, architecture, pixels)
    return _whole(graph, last, pixels, [])


def onnx_network_for_any_style(
    arrays: Mapping[str, np.ndarray],
    architecture: Architecture,
    config: Config,
    pixels: str,
    half: bool,
) -> onnx.ModelProto:
    """Returns a model as onnx_network does, with 'style_image' as its second input.

    This is (1, S, S, 3) uint8 RGB; S is the conf's style_image_size. The graph has the loss network
    and the predictor too. arrays: of a model that takes any style. config: of its style images.
    Raises UserError as read_weights does.
    """
    graph, side = OnnxGraph(half), config.style_image_size or config.image_size
    own = {path.removeprefix(NETWORK): array for path, array in arrays.items()}
    statistics = statistics_of(graph.add, "style_image", side, config)
    norms = norms_of(graph.add, statistics, own, config)
    last = stylized(graph.add, "pictures", arrays, architecture, pixels, norms)
    style_image = helper.make_tensor_value_info("style_image", UINT8, [1, side, side, 3])
    return _whole(graph, last, pixels, [style_image])


def _whole(
    graph: "OnnxGraph", last: str, pixels: str, others: list[onnx.ValueInfoProto]
) -> onnx.ModelProto:
    """Returns the model whose output is `last`. others: inputs beside the pictures."""
    graph.nodes.append(helper.make_node("Identity", [last], ["stylized"], name="stylized"))
    shape: list[int | str | None] = ["batch", "height", "width", 3]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "transformer_network",
            [helper.make_tensor_value_info("pictures", PIXELS[pixels], shape), *others],
            [helper.make_tensor_value_info("stylized", PIXELS[pixels], shape)],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="fast-style",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


class OnnxGraph:
    """The nodes and constants of a graph. An output of a node is its name, a str."""

    def __init__(self, half: bool):
        self.half = half
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, operator: str, *inputs: Any, **attributes: Any) -> str:
        """Adds an operator: a graph.AddOperator."""
        names = [each if isinstance(each, str) else self._constant(each) for each in inputs]
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, names, [name], name=name, **attributes))
        return name

    def _constant(self, value: Any) -> str:
        array = as_constant(value)
        halved = self.half and array.dtype == np.float32 and array.ndim > 0
        name = f"constant_{len(self.constants)}"
        stored = array.astype(np.float16) if halved else array
        self.constants.append(numpy_helper.from_array(stored, name))
        return self.add("Cast", name, to=TensorProto.FLOAT) if halved else name
