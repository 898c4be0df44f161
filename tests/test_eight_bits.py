"""Passes that multiply in 8 bits, and the ranges of features that they need."""

from pathlib import Path

import numpy as np
import pytest

from fast_style import Stylizer, errors, hardware
from fast_style.conf.locations import PROJECT
from fast_style.errors import UserError
from fast_style.model_folder.model import read_model
from fast_style.network.architecture import Architecture
from fast_style.network.feature_ranges import DEVIATIONS, feature_ranges
from fast_style.pictures.images import flatten_on_white, read_picture
from fast_style.pictures.pixels import square
from fast_style.serve.models import Models

SHIPPED = PROJECT / "pretrained"
TINY = Architecture("tiny", (4, 6, 8), blocks=2, ends=3)


def _sample(side: int) -> np.ndarray:
    return square(flatten_on_white(read_picture(PROJECT / "img" / "sample.jpg")), side)


@pytest.mark.parametrize("name", ["live", "candy_fast", "candy"])
def test_8_bits_change_a_picture_little(name: str) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is an optional extra")
    picture = _sample(128)
    stylized = (Stylizer(name, "openvino", each)(picture) for each in ("float32", "int8"))
    exact, rounded = (picture.astype(int) for picture in stylized)
    assert 0 < np.abs(rounded - exact).mean() < 3


def test_all_convolutions_but_the_first_multiply_8_bits(trained_model: Path) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is an optional extra")
    in_8_bits = Stylizer(trained_model, "openvino", "int8")
    in_8_bits(_sample(32))
    layers = in_8_bits.network.whole.compiled.get_runtime_model().get_ops()  # type: ignore[attr-defined]
    kinds = [
        layer.get_rt_info()["runtimePrecision"].astype(str)
        for layer in layers
        if layer.get_rt_info()["layerType"] == "Convolution"
    ]
    assert len(kinds) == 16 and sum(kind in ("i8", "u8") for kind in kinds) == 15


def test_a_range_is_8_deviations_from_the_mean() -> None:
    rng = np.random.default_rng(0)
    arrays = {
        f"network/{name}_norm/{value}": rng.normal(0, 1, channels).astype(np.float32)
        for name, channels in (
            *(("conv1", 4), ("conv2", 6), ("conv3", 8), ("upsample1", 6), ("upsample2", 4)),
            *((f"residual{number}_conv{of}", 8) for number in (1, 2) for of in (1, 2)),
        )
        for value in ("scale", "shift")
    }
    ranges = feature_ranges(arrays, TINY)
    convolutions = {name.split("/")[1].removesuffix("_norm") for name in arrays} | {"conv_out"}
    assert ranges.keys() == convolutions - {"conv1"}

    scale, shift = (arrays[f"network/conv1_norm/{value}"] for value in ("scale", "shift"))
    low, high = ranges["conv2"]
    np.testing.assert_array_equal(low, 0)
    np.testing.assert_allclose(high, np.maximum(shift + DEVIATIONS * np.abs(scale), 1e-3))

    # After two blocks, the features are the sum of three normalized ones.
    parts = ("conv3", "residual1_conv2", "residual2_conv2")
    mean = sum(arrays[f"network/{part}_norm/shift"] for part in parts)
    variance = sum(arrays[f"network/{part}_norm/scale"] ** 2 for part in parts)
    low, high = ranges["upsample1"]
    np.testing.assert_allclose(high, np.abs(mean) + DEVIATIONS * np.sqrt(variance), rtol=1e-6)
    np.testing.assert_array_equal(low, -high)


def test_a_channel_that_is_0_everywhere_and_a_filter_of_zeros_are_no_harm() -> None:
    pytest.importorskip("openvino", reason="OpenVINO is an optional extra")
    from fast_style.runtimes.openvino_network import OpenVinoNetwork

    model = read_model(SHIPPED / "live")
    arrays = {name: array.copy() for name, array in model.arrays.items()}
    arrays["network/conv2_norm/scale"][0] = 0
    arrays["network/conv2_norm/shift"][0] = -1
    arrays["network/residual1_conv1/kernel"][..., 3] = 0
    exact, rounded = (
        OpenVinoNetwork(arrays, model.architecture, precision)(_sample(64)).astype(int)
        for precision in ("float32", "int8")
    )
    assert 0 < np.abs(rounded - exact).mean() < 3


@pytest.mark.parametrize("broken", ["missing", "of 7 values"])
def test_arrays_of_another_network_are_refused(broken: str) -> None:
    model = read_model(SHIPPED / "live")
    arrays = dict(model.arrays)
    values = arrays.pop("network/conv3_norm/shift")
    if broken != "missing":
        arrays["network/conv3_norm/shift"] = values[:7]
    with pytest.raises(UserError, match=r"conv3_norm/shift of shape \(48,\) is needed, but "):
        feature_ranges(arrays, model.architecture)


def test_a_picture_in_rows_is_the_same_as_with_floats(trained_model: Path) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is an optional extra")
    picture = _sample(64)
    of_8_bits, floats = (
        np.concatenate(list(Stylizer(trained_model, "openvino", each).network.in_rows(picture, 16)))
        for each in ("int8", "auto")
    )
    np.testing.assert_array_equal(of_8_bits, floats)


def test_tensorflow_has_no_8_bits(trained_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for use in (Stylizer, lambda *how: Models([trained_model], *how[1:])):
        with pytest.raises(UserError, match=r"^--precision int8: needs --runtime openvino$"):
            use(trained_model, "tensorflow", "int8")
    monkeypatch.setattr(errors, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"^--precision int8 needs openvino: pip install"):
        Stylizer(trained_model, "auto", "int8")


def test_where_amx_is_hidden_openvino_multiplies_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    openvino = pytest.importorskip("openvino", reason="OpenVINO is an optional extra")
    from fast_style.runtimes.openvino_network import core, float_type

    monkeypatch.setattr(hardware, "hides_amx", lambda: True)
    assert float_type("auto") == float_type("int8") == float_type("float32") == openvino.Type.f32
    has_bfloat16 = "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    assert (float_type("bfloat16") == openvino.Type.bf16) == has_bfloat16
