"""The transformer network and its layers."""

import typing

import keras
import numpy as np
import pytest
import tensorflow as tf

from fast_style import hardware
from fast_style.conf.config import Config
from fast_style.network import avx2_convolution, fused_normalization
from fast_style.network.architecture import (
    ARCHITECTURES,
    BORDER,
    MEDIUM,
    OUTPUT_REACH,
    PAPER,
    SMALL,
    Architecture,
    architecture_of,
)
from fast_style.network.layers import (
    InstanceNormalization,
    ResizeConv2D,
    RowwiseConv2D,
    convolution,
    default_dtype,
    reflected,
    residual_block,
)
from fast_style.network.transformer_network import (
    CropLike,
    ReflectedBorder,
    build_transformer_network,
)

SIZES = [(1, 1), (1, 2), (2, 1), (3, 5), (4, 4), (7, 5), (10, 11), (33, 65), (3, 200), (64, 61)]


@pytest.fixture(scope="module", params=ARCHITECTURES)
def architecture(request: pytest.FixtureRequest) -> Architecture:
    return ARCHITECTURES[request.param]


@pytest.fixture(scope="module")
def network(architecture: Architecture) -> keras.Model:
    keras.utils.set_random_seed(3)
    return build_transformer_network(architecture)


def pictures(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    shape = (count, height, width, 3)
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


# The network


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_output_has_exactly_the_size_of_the_input(
    network: keras.Model, height: int, width: int
) -> None:
    stylized = np.asarray(network(pictures(1, height, width)))
    assert stylized.shape == (1, height, width, 3) and stylized.dtype == np.float32
    assert np.isfinite(stylized).all()


def test_a_compiled_network_of_unknown_size_does_the_same(network: keras.Model) -> None:
    spec = tf.TensorSpec((None, None, None, 3), tf.float32)
    compiled = tf.function(network, input_signature=[spec])
    for height, width in [(1, 1), (5, 7), (33, 18)]:
        batch = pictures(2, height, width)
        np.testing.assert_allclose(compiled(batch), network(batch), atol=0.01)


def test_the_form_that_trains_is_the_network_that_runs(
    network: keras.Model, architecture: Architecture, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = pictures(2, 21, 30)
    strides: list[int] = []
    convolve = avx2_convolution.convolve

    def noted(features, kernel, stride):
        strides.append(stride)
        return convolve(features, kernel, stride)

    monkeypatch.setattr(hardware, "trains_on_avx2", lambda: True)
    monkeypatch.setattr(avx2_convolution, "convolve", noted)
    trained, run = network(batch, training=True), network(batch)
    halvings = len(architecture.widths) - 1
    of_whole_size = 2 if architecture.widths[0] else 0
    unstrided = of_whole_size + 2 * architecture.blocks + halvings
    assert sorted(strides) == [1] * unstrided + [2] * halvings
    np.testing.assert_allclose(trained, run, atol=0.01)


def test_the_form_that_trains_in_bfloat16_normalizes_as_the_one_that_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer = InstanceNormalization(dtype="mixed_bfloat16")
    rng = np.random.default_rng(2)
    spread = rng.uniform(0.1, 30, (3, 1, 1, 8))
    features = tf.cast(rng.normal(3, 1, (3, 9, 14, 8)) * spread, tf.bfloat16)
    layer.build(features.shape)
    layer.scale.assign(rng.normal(1, 0.3, 8))
    layer.shift.assign(rng.normal(0, 0.3, 8))
    slope = rng.normal(0, 1, (14, 8)).astype(np.float32)
    calls = []
    normalize = fused_normalization.normalize

    def noted(*arguments):
        calls.append(arguments)
        return normalize(*arguments)

    monkeypatch.setattr(fused_normalization, "normalize", noted)
    found = {}
    for training in (False, True):
        with tf.GradientTape() as tape:
            tape.watch(features)
            normalized = layer(features, training=training)
            total = tf.reduce_sum(tf.cast(normalized, tf.float32) ** 2 * slope)
        variables = [features, layer.scale.value, layer.shift.value]
        found[training] = [normalized, *tape.gradient(total, variables)]
    assert len(calls) == 1
    for plain, fused in zip(found[False], found[True], strict=True):
        plain, fused = (np.asarray(tf.cast(x, tf.float32)) for x in (plain, fused))
        np.testing.assert_allclose(fused, plain, rtol=0.03, atol=0.01 * np.abs(plain).max())


@pytest.mark.parametrize(
    ("output", "least", "most"),
    [("tanh", 0.0, 255.0), ("scaled_tanh", -22.5, 277.5), ("linear", -np.inf, np.inf)],
)
def test_the_range_of_each_output(output: str, least: float, most: float) -> None:
    keras.utils.set_random_seed(4)
    network = build_transformer_network(architecture_of("paper", output))
    last = network.get_layer("conv_out")
    # Far into saturation, so that the ends of the range are reached.
    last.kernel.assign(last.kernel * 100)
    stylized = np.asarray(network(pictures(1, 16, 16)))
    if output == "linear":
        assert stylized.min() < -22.5 and stylized.max() > 277.5
    else:
        assert stylized.min() == pytest.approx(least, abs=1e-3)
        assert stylized.max() == pytest.approx(most, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "output"),
    [
        *(("paper", "tanh"), ("paper", "scaled_tanh"), ("paper", "linear")),
        *(("medium", "tanh"), ("medium", "scaled_tanh")),
    ],
)
def test_the_first_steps_of_adam_do_not_leave_the_range(name: str, output: str) -> None:
    keras.utils.set_random_seed(3)
    network = build_transformer_network(architecture_of(name, output))
    optimizer = keras.optimizers.Adam(1e-3)
    batch = pictures(1, 32, 32)
    for _ in range(3):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(255.0 - network(batch))
        variables = network.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
    stylized = np.asarray(network(batch))
    assert np.mean((stylized > 1) & (stylized < 254)) > 0.9


@pytest.mark.parametrize("grey", [0.0, 255.0])
def test_a_flat_picture_gives_finite_pixels(network: keras.Model, grey: float) -> None:
    stylized = np.asarray(network(np.full((1, 12, 20, 3), grey, np.float32)))
    assert np.isfinite(stylized).all()
    assert stylized.min() >= 0 and stylized.max() <= 255


def test_a_picture_does_not_depend_on_its_neighbours_in_the_batch(network: keras.Model) -> None:
    batch = pictures(3, 20, 13)
    others = pictures(3, 20, 13, seed=9)
    others[1] = batch[1]
    together = np.asarray(network(batch))
    np.testing.assert_allclose(network(others)[1], together[1], atol=0.01)
    np.testing.assert_allclose(network(batch[1:2])[0], together[1], atol=0.01)


def test_the_same_seed_gives_the_same_network_and_another_one_another() -> None:
    first, second, third = (_of_seed(seed).get_weights() for seed in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0], third[0])


def _of_seed(seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return build_transformer_network()


def test_the_number_of_parameters() -> None:
    ends = 9 * 9 * 3 * 32 + 2 * 32 + 9 * 9 * 32 * 3 + 3
    down = 3 * 3 * 32 * 64 + 2 * 64 + 3 * 3 * 64 * 128 + 2 * 128
    residual = 5 * 2 * (3 * 3 * 128 * 128 + 2 * 128)
    up = 3 * 3 * 128 * 64 + 2 * 64 + 3 * 3 * 64 * 32 + 2 * 32
    assert ends + down + residual + up == 1_677_635
    assert build_transformer_network(PAPER).count_params() == 1_677_635
    ends = 9 * 9 * 3 * 16 + 2 * 16 + 9 * 9 * 16 * 3 + 3
    down_or_up = 9 * (16 * 48 + 48 * 96 + 96 * 128)
    norms = 2 * (48 + 96 + 128) + 2 * (96 + 48 + 16)
    medium = build_transformer_network(MEDIUM)
    assert medium.count_params() == ends + 2 * down_or_up + norms + residual
    down_or_up = 9 * (3 * 24 + 24 * 48 + 48 * 64)
    norms = 2 * (24 + 48 + 64) + 2 * (48 + 24)
    residual = 5 * 2 * (3 * 3 * 64 * 64 + 2 * 64)
    assert build_transformer_network(SMALL).count_params() == (
        2 * down_or_up + norms + 3 + residual
    )


def test_a_conf_may_name_every_architecture_and_output() -> None:
    hints = typing.get_type_hints(Config)
    assert typing.get_args(hints["network"]) == tuple(ARCHITECTURES)
    assert set(typing.get_args(hints["output"])) == set(OUTPUT_REACH)


def test_a_clone_from_the_configuration_is_the_same_network(network: keras.Model) -> None:
    clone = keras.Model.from_config(network.get_config())
    clone.set_weights(network.get_weights())
    batch = pictures(1, 9, 14)
    np.testing.assert_array_equal(clone(batch), network(batch))


def test_bfloat16_takes_and_gives_float32_and_keeps_float32_variables(
    network: keras.Model, architecture: Architecture
) -> None:
    with default_dtype("mixed_bfloat16"):
        narrow = build_transformer_network(architecture)
    assert {variable.dtype for variable in narrow.weights} == {"float32"}
    assert narrow.get_layer("residual3_conv1").compute_dtype == "bfloat16"
    narrow.set_weights(network.get_weights())
    batch = pictures(1, 17, 22)
    stylized = narrow(batch)
    assert narrow.input.dtype == "float32" and stylized.dtype == tf.float32
    difference = np.abs(np.asarray(stylized) - np.asarray(network(batch)))
    assert difference.mean() < 3


def test_the_default_dtype_comes_back_even_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), default_dtype("mixed_bfloat16"):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        _ = 1 / 0
    assert keras.config.dtype_policy().name == "float32"


# The layers


@pytest.mark.parametrize("multiple", [4, 8])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_border_mirrors_as_numpy_does_at_any_size(
    height: int, width: int, multiple: int
) -> None:
    batch = pictures(2, height, width)
    border = ReflectedBorder(multiple)
    found = np.asarray(border(batch))
    pad = [(BORDER, BORDER + -side % multiple) for side in (height, width)]
    np.testing.assert_array_equal(found, np.pad(batch, ((0, 0), *pad, (0, 0)), mode="reflect"))
    assert found.shape[1] % multiple == 0 and found.shape[2] % multiple == 0


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_crop_gives_back_the_pixels_that_the_border_was_put_around(
    height: int, width: int
) -> None:
    batch = pictures(2, height, width)
    np.testing.assert_array_equal(CropLike()([ReflectedBorder(4)(batch), batch]), batch)


def test_reflection_padding_is_numpys() -> None:
    features = pictures(2, 6, 7)
    expected = np.pad(features, ((0, 0), (4, 4), (4, 4), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(reflected(features, 4), expected)
    assert reflected(keras.KerasTensor((2, None, 7, 3)), 4).shape == (2, None, 15, 3)


def test_instance_normalization_is_numpys() -> None:
    layer = InstanceNormalization()
    features = pictures(3, 6, 5)
    layer.build(features.shape)
    scale, shift = np.float32([2.0, -1.0, 0.5]), np.float32([0.0, 3.0, -7.0])
    layer.set_weights([scale, shift])
    expected = np.empty_like(features)
    for n in range(3):
        for c in range(3):
            channel = features[n, :, :, c].astype(np.float64)
            normal = (channel - channel.mean()) / np.sqrt(channel.var() + 1e-5)
            expected[n, :, :, c] = normal * scale[c] + shift[c]
    np.testing.assert_allclose(layer(features), expected, atol=1e-4)


def test_instance_normalization_of_a_flat_channel_is_its_shift() -> None:
    layer = InstanceNormalization()
    layer.build((1, 4, 4, 2))
    layer.set_weights([np.float32([5.0, 5.0]), np.float32([0.25, -0.5])])
    flat = np.tile(np.float32([3.0, 0.0]), (1, 4, 4, 1))
    np.testing.assert_allclose(layer(flat), np.tile([0.25, -0.5], (1, 4, 4, 1)), atol=1e-2)


def test_instance_normalization_computes_in_float32_under_bfloat16() -> None:
    layer = InstanceNormalization(dtype="mixed_bfloat16")
    features = np.tile(np.float32([[-1.0, 1.0], [1.0, -1.0]])[None, :, :, None], (1, 8, 8, 1))
    layer.build(features.shape)
    # bfloat16 would round the scale to 1, and the result to 0.
    layer.set_weights([np.float32([1 + 2**-9]), np.float32([-1.0])])
    normal = np.asarray(tf.cast(layer(features), tf.float32))
    assert normal.max() == pytest.approx(2**-9, rel=0.02)


def test_instance_normalization_statistics_survive_bfloat16() -> None:
    # Of 4,096 numbers a bfloat16 sum loses most, once it is 256 times as large as one of them.
    features = np.random.default_rng(0).normal(4, 0.5, (1, 64, 64, 1))
    layer = InstanceNormalization(dtype="mixed_bfloat16")
    normal = np.asarray(tf.cast(layer(tf.cast(features, tf.bfloat16)), tf.float32))
    assert normal.mean() == pytest.approx(0, abs=0.01)
    assert normal.std() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("doubling", ["nearest", "bilinear"])
def test_a_resize_convolution_is_one_of_the_doubled_picture(doubling: str, training: bool) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, 5, 4, 3)).astype(np.float32)
    layer = ResizeConv2D(6, 3, use_bias=False, doubling=doubling)
    # Of a mirrored picture, as Pillow and TensorFlow repeat pixels beyond the edge.
    mirrored = np.pad(features, ((0, 0), (1, 1), (1, 1), (0, 0)), "symmetric")
    doubled = tf.image.resize(mirrored, (14, 12), doubling).numpy()[:, 1:-1, 1:-1]
    found = np.asarray(layer(features, training=training))
    windows = np.lib.stride_tricks.sliding_window_view(doubled, (3, 3), axis=(1, 2))
    expected = np.einsum("nhwcuv,uvcf->nhwf", windows, np.asarray(layer.kernel))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert layer.compute_output_shape(features.shape) == found.shape


@pytest.mark.parametrize("kernel", [3, 9])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_keeps_the_size_or_halves_it_rounding_up(kernel: int, stride: int) -> None:
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, convolution(inputs, 4, kernel, stride, name="c"))
    for height, width in [(8, 12), (7, 13)]:
        found = model(pictures(1, height, width)).shape
        assert found == (1, -(-height // stride), -(-width // stride), 4)


@pytest.mark.parametrize(("height", "width"), [(9, 9), (12, 17)])
def test_a_rowwise_convolution_is_a_convolution(height: int, width: int) -> None:
    batch = np.random.default_rng(1).normal(size=(2, height, width, 5)).astype(np.float32)
    plain, rowwise = keras.layers.Conv2D(3, 9), RowwiseConv2D(3, 9)
    expected = plain(batch)
    rowwise.build(batch.shape)
    rowwise.set_weights([plain.get_weights()[0], np.float32([1, 2, 3])])
    np.testing.assert_allclose(rowwise(batch), expected + np.float32([1, 2, 3]), atol=1e-4)


def test_a_residual_block_whose_last_scale_is_zero_is_the_identity() -> None:
    inputs = keras.Input((None, None, 3))
    block = keras.Model(inputs, residual_block(inputs, 3, name="r"))
    features = pictures(1, 6, 6)
    assert not np.allclose(block(features), features)
    block.get_layer("r_conv2_norm").scale.assign([0.0, 0.0, 0.0])
    np.testing.assert_array_equal(block(features), features)
