"""What one description makes in every library, of any widths: the same network."""

import numpy as np
import pytest

from fast_style.model_folder.variables import variables_as_arrays
from fast_style.network.architecture import ARCHITECTURES, BORDER, Architecture
from fast_style.network.transformer_network import build_transformer_network
from fast_style.runtimes.streaming import stylize_rows
from fast_style.runtimes.tensorflow_rows import TensorFlowRows
from tests.conftest import Photo

SIZES = [(1, 7), (33, 65), (70, 21)]


@pytest.fixture(scope="module", params=[(8, 16), (4, 8, 8, 8, 12), (0, 8, 12)], ids=str)
def architecture(request: pytest.FixtureRequest) -> Architecture:
    return Architecture("other", request.param, blocks=1, output="scaled_tanh")


@pytest.fixture(scope="module")
def network(architecture: Architecture):
    return build_transformer_network(architecture)


@pytest.fixture
def expected(network, photo: Photo) -> dict[tuple[int, int], np.ndarray]:
    return {
        size: np.clip(np.asarray(network(photo(*size)[None].astype(np.float32)))[0], 0, 255)
        for size in SIZES
    }


def agree(found: np.ndarray, wanted: np.ndarray) -> None:
    assert found.shape == wanted.shape and found.dtype == np.uint8
    assert np.abs(found - wanted).max() <= 0.6  # rounded to a byte


def test_openvino(architecture: Architecture, network, expected, photo: Photo) -> None:
    runtime = pytest.importorskip("fast_style.runtimes.openvino_network")
    arrays = variables_as_arrays("network", network.variables)
    run = runtime.OpenVinoNetwork(arrays, architecture, "float32")
    for size, wanted in expected.items():
        agree(run(photo(*size)), wanted)


def test_onnx(architecture: Architecture, network, expected, photo: Photo) -> None:
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    from fast_style.export.onnx_network import onnx_network

    arrays = variables_as_arrays("network", network.variables)
    file = onnx_network(arrays, architecture, "uint8", half=False).SerializeToString()
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for size, wanted in expected.items():
        [[found]] = session.run(["stylized"], {"pictures": photo(*size)[None]})
        agree(found, wanted)


@pytest.mark.parametrize("runtime", ["tensorflow", "openvino"])
def test_rows(architecture: Architecture, network, expected, photo: Photo, runtime: str) -> None:
    operations = TensorFlowRows("float32")
    if runtime == "openvino":
        pytest.importorskip("openvino")
        from fast_style.runtimes.openvino_rows import OpenVinoRows

        operations = OpenVinoRows("float32")
    arrays = variables_as_arrays("network", network.variables)
    for size, wanted in expected.items():
        parts = stylize_rows(arrays, architecture, operations, photo(*size), 16)
        agree(np.concatenate(list(parts)), wanted)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_cut_begins_on_the_grid(name: str) -> None:
    architecture = ARCHITECTURES[name]
    assert BORDER % architecture.downsampling == 0
    for side in range(1, 20):
        assert (side + sum(architecture.borders(side))) % architecture.downsampling == 0
    assert architecture.pixels_with_border(1, 9) == (
        (49 + -49 % architecture.downsampling) * (57 + -57 % architecture.downsampling)
    )
