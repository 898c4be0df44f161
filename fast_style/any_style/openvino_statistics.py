"""The statistics of a style image in OpenVINO, without TensorFlow."""

from collections.abc import Mapping, Sequence

import numpy as np
import openvino
from openvino import opset13 as ops

from fast_style.any_style.statistics_graph import statistics_of
from fast_style.conf.config import Config
from fast_style.runtimes.openvino_network import add_operator, compile_for_cpu


def layer_statistics(
    config: Config, paintings: Sequence[np.ndarray]
) -> Mapping[str, tuple[np.ndarray, ...]]:
    """Returns what PerceptualLoss.statistics does for the style layers of a conf.

    They are computed in float32. paintings: of one style, each (S, S, 3) uint8 RGB; their
    statistics are averaged. Raises UserError as read_weights does.
    """
    found: dict[str, tuple[np.ndarray, ...]] = {}
    for painting in paintings:
        pictures = ops.parameter([1, *painting.shape], openvino.Type.u8, name="style_image")
        named = statistics_of(add_operator, pictures, len(painting), config)
        results = [ops.result(each) for pair in named.values() for each in pair]
        run = compile_for_cpu(openvino.Model(results, [pictures], "style_statistics"), "float32")
        outputs = run([painting[None]])
        arrays = iter([outputs[number] / len(paintings) for number in range(len(results))])
        for name in named:
            pair = (next(arrays), next(arrays))
            before = found.get(name, (0.0, 0.0))
            found[name] = (pair[0] + before[0], pair[1] + before[1])
    return found
