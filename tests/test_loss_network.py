"""The loss network and its weight files, against NumPy, Keras's own VGG, and every layout."""

import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file
from scipy.io import savemat

from fast_style.conf import locations
from fast_style.conf.vgg_layers import CONVOLUTIONS, convolutions, feature_name
from fast_style.errors import UserError
from fast_style.loss.loss_network import PIXEL_MEAN, build_loss_network
from fast_style.loss.vgg_weights import read_weights, save_weights

LAYERS = ("relu1_2", "relu3_3", "relu5_3")
NARROW = 8  # width of the fully connected layers in the files, which nothing may read


def random_weights(loss_model: str, seed: int = 0):
    """He-scaled, and exact in float16, so that every format can hold them without loss."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, (inputs, outputs) in convolutions(loss_model).items():
        kernel = rng.standard_normal((3, 3, inputs, outputs), np.float32) / np.sqrt(4.5 * inputs)
        bias = rng.standard_normal(outputs, np.float32)
        weights[name] = (
            kernel.astype(np.float16).astype(np.float32),
            bias.astype(np.float16).astype(np.float32),
        )
    return weights


def write_keras_applications(path: Path, weights, top: bool) -> None:
    """keras.applications' published files: legacy HDF5, Keras 1 names, kernels for BGR."""
    layers = {"input_1": []}
    block = 1
    for name, (kernel, bias) in weights.items():
        if not name.startswith(f"block{block}"):
            layers[f"block{block}_pool"] = []
            block += 1
        kernel = kernel[:, :, ::-1] if name == "block1_conv1" else kernel
        layers[name] = [kernel, bias]
    layers["block5_pool"] = []
    if top:
        layers["flatten"] = []
        for name in ("fc1", "fc2", "predictions"):
            layers[name] = [np.ones((NARROW, NARROW), np.float32), np.ones(NARROW, np.float32)]
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in layers]
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = b"1.2.0"
        for name, arrays in layers.items():
            group = file.create_group(name)
            names = [f"{name}_{part}_1:0" for part in ("W", "b")][: len(arrays)]
            group.attrs["weight_names"] = [part.encode() for part in names]
            for part, array in zip(names, arrays, strict=True):
                group[part] = array


def write_slim(path: Path, weights, scope: str, version: int) -> None:
    """TF-slim's checkpoint, by the saver that wrote the published ones."""
    values = {"global_step": np.int64(0), f"{scope}/mean_rgb": np.float32(PIXEL_MEAN)}
    for name, (kernel, bias) in weights.items():
        block, conv = name[5], name[-1]
        values[f"{scope}/conv{block}/conv{block}_{conv}/weights"] = kernel
        values[f"{scope}/conv{block}/conv{block}_{conv}/biases"] = bias
    for name, side in (("fc6", 7), ("fc7", 1), ("fc8", 1)):
        values[f"{scope}/{name}/weights"] = np.ones((side, side, NARROW, NARROW), np.float32)
        values[f"{scope}/{name}/biases"] = np.ones(NARROW, np.float32)
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        for name, value in values.items():
            variable = v1.get_variable(name, value.shape, value.dtype, use_resource=False)
            variable.load(value, session)
        v1.train.Saver(write_version=version).save(
            session, str(path), write_meta_graph=False, write_state=False
        )


def write_matconvnet(path: Path, weights, generation: int, mean=PIXEL_MEAN) -> None:
    """imagenet-vgg-verydeep's cells: generation 1 (filters), 2 (beta 16), 3 (meta, beta 17)."""
    average = np.broadcast_to(np.array(mean), (224, 224, 3))
    fully = {
        f"fc{i}": (np.ones((1, 1, NARROW, NARROW), np.float32), np.ones(NARROW, np.float32))
        for i in (6, 7, 8)
    }
    layers = []
    for name, (kernel, bias) in {**weights, **fully}.items():
        pad, stride = np.ones((1, 4)), np.ones((1, 2))
        name = name.replace("block", "conv").replace("_conv", "_") if "block" in name else name
        if name.endswith("_1") and name != "conv1_1":
            layers.append({"name": f"pool{int(name[4]) - 1}", "type": "pool", "method": "max"})
        cell = np.empty((1, 2), object)
        cell[0, 0] = kernel
        cell[0, 1] = bias.reshape((1, -1) if generation < 3 else (-1, 1))
        if generation == 1:
            layer = {"type": "conv", "name": name, "filters": kernel, "biases": cell[0, 1]}
            layer |= {"stride": stride, "pad": pad}
        elif generation == 2:
            layer = {"weights": cell, "pad": pad, "type": "conv", "name": name, "stride": stride}
        else:
            layer = {"name": name, "type": "conv", "weights": cell, "size": kernel.shape}
            layer |= {"pad": pad, "stride": stride, "precious": 0, "dilate": 1, "opts": {}}
        layers += [layer, {"type": "relu", "name": name.replace("conv", "relu")}]
    cells = np.empty((1, len(layers)), object)
    cells[0, :] = layers
    classes = {"name": np.array([["n01440764", "n01443537"]], object)}
    normalization = {"imageSize": [224.0, 224.0, 3.0], "averageImage": average}
    if generation == 3:
        average = np.reshape(mean, (1, 1, 3))
        meta = {"inputs": {"name": "data"}, "classes": classes}
        meta["normalization"] = {**normalization, "averageImage": average}
        savemat(path, {"layers": cells, "meta": meta})
    else:
        savemat(path, {"layers": cells, "classes": classes, "normalization": normalization})


def write_torchvision(path: Path, weights) -> None:
    """As torchvision numbers its VGG16, for (RGB / 255 - mean) / std of the same mean colour."""
    numbers = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    tensors = {"pre_logits.fc1.weight": np.zeros((4, 512, 7, 7), np.float32)}
    std = 255 * np.array([0.229, 0.224, 0.225])
    moved = (255 * np.array([0.485, 0.456, 0.406]) - PIXEL_MEAN) @ weights["block1_conv1"][0].sum(
        axis=(0, 1)
    )
    for number, (name, (kernel, bias)) in zip(numbers, weights.items(), strict=True):
        first = name == "block1_conv1"
        kernel = kernel * std[:, None] if first else kernel
        bias = bias + moved if first else bias
        tensors[f"features.{number}.weight"] = np.float32(kernel.transpose(3, 2, 0, 1))
        tensors[f"features.{number}.bias"] = np.float32(bias)
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, path)


def keras_vgg16(weights) -> keras.Model:
    model = keras.applications.VGG16(weights=None, include_top=False)
    for name, (kernel, bias) in weights.items():
        kernel = kernel[:, :, ::-1] if name == "block1_conv1" else kernel
        model.get_layer(name).set_weights([kernel, bias])
    return model


@pytest.fixture(scope="module")
def weights():
    return random_weights("vgg_16")


@pytest.fixture(scope="module")
def files(tmp_path_factory, weights) -> dict[str, str]:
    """One set of VGG16 weights in every layout: name of the layout to what a conf would say."""
    folder = tmp_path_factory.mktemp("weights")
    saver = tf.compat.v1.train.SaverDef
    save_weights(folder / "ours.npz", weights)
    write_keras_applications(folder / "notop.h5", weights, top=False)
    write_keras_applications(folder / "full.h5", weights, top=True)
    model = keras_vgg16(weights)
    model.save(folder / "model.h5")
    write_slim(folder / "v1.ckpt", weights, "vgg_16", saver.V1)
    write_slim(folder / "v2.ckpt", weights, "vgg_16", saver.V2)
    write_torchvision(folder / "torchvision.safetensors", weights)
    for generation in (1, 2, 3):
        write_matconvnet(folder / f"generation{generation}.mat", weights, generation)
    names = ["ours.npz", "notop.h5", "full.h5", "model.h5", "v1.ckpt", "v2.ckpt", "v2.ckpt.index"]
    names += ["v2.ckpt.data-00000-of-00001", *(f"generation{i}.mat" for i in (1, 2, 3))]
    names += ["torchvision.safetensors"]
    return {name: str(folder / name) for name in names}


@pytest.fixture(scope="module")
def half(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("half") / "half.npz"
    save_weights(path, random_weights("vgg_16_half", seed=1))
    return str(path)


def picture(height: int, width: int, seed: int = 2) -> np.ndarray:
    shape = (1, height, width, 3)
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


def features(network: keras.Model, pictures: np.ndarray) -> dict[str, np.ndarray]:
    return {name: keras.ops.convert_to_numpy(x) for name, x in network(pictures).items()}


@pytest.fixture(scope="module")
def reference(weights):
    """What Keras's own VGG16 with Keras's own preprocessing makes of the picture."""
    model = keras_vgg16(weights)
    convolution = {"relu1_2": "block1_conv2", "relu3_3": "block3_conv3", "relu5_3": "block5_conv3"}
    outputs = {name: model.get_layer(convolution[name]).output for name in LAYERS}
    pixels = keras.applications.vgg16.preprocess_input(picture(32, 35).copy())
    return features(keras.Model(model.input, outputs), pixels)


@pytest.mark.parametrize(
    "layout",
    [
        *("ours.npz", "notop.h5", "full.h5", "model.h5", "v1.ckpt", "v2.ckpt", "v2.ckpt.index"),
        *("v2.ckpt.data-00000-of-00001", "generation1.mat", "generation2.mat", "generation3.mat"),
        "torchvision.safetensors",
    ],
)
def test_every_layout_gives_the_features_of_keras_vgg16(files, layout, reference):
    network = build_loss_network("vgg_16", str(locations.locate_weights(files[layout])), LAYERS)
    found = features(network, picture(32, 35))
    assert set(found) == set(LAYERS)
    for name in LAYERS:
        assert reference[name].std() > 1
        np.testing.assert_allclose(found[name], reference[name], rtol=1e-4, atol=1e-3)


def test_imagenet_is_what_keras_applications_gives(files, weights, monkeypatch):
    vgg16 = keras.applications.VGG16
    monkeypatch.setattr(
        keras.applications,
        "VGG16",
        lambda weights, include_top: vgg16(
            weights={"imagenet": files["notop.h5"]}[weights], include_top=include_top
        ),
    )
    found = read_weights("vgg_16", "imagenet")
    assert list(found) == list(weights)
    for name, (kernel, bias) in weights.items():
        assert found[name][0].dtype == found[name][1].dtype == np.float32
        np.testing.assert_array_equal(found[name][0], kernel)
        np.testing.assert_array_equal(found[name][1], bias)


def test_a_different_mean_in_a_mat_file_moves_into_the_first_bias(tmp_path, weights):
    write_matconvnet(tmp_path / "other.mat", weights, 3, mean=(120.0, 110.0, 101.0))
    network = build_loss_network("vgg_16", str(tmp_path / "other.mat"), ["relu1_1"])
    pixels = picture(9, 9)
    kernel, bias = weights["block1_conv1"]
    shifted = np.pad(pixels - np.float32((120, 110, 101)), [(0, 0), (1, 1), (1, 1), (0, 0)])
    expected = np.maximum(convolve(shifted, kernel) + bias, 0)
    found = features(network, pixels)["relu1_1"]
    np.testing.assert_allclose(found[:, 1:-1, 1:-1], expected[:, 1:-1, 1:-1], atol=1e-2)


def convolve(padded: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    height, width = padded.shape[1] - 2, padded.shape[2] - 2
    result = np.zeros((len(padded), height, width, kernel.shape[-1]))
    for i in range(3):
        for j in range(3):
            result += padded[:, i : i + height, j : j + width].astype(np.float64) @ kernel[i, j]
    return result


def pool(x: np.ndarray, reduce) -> np.ndarray:
    n, height, width, channels = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    return reduce(x.reshape(n, height // 2, 2, width // 2, 2, channels), axis=(2, 4))


@pytest.mark.parametrize(("pooling", "reduce"), [("max", np.max), ("avg", np.mean)])
def test_features_equal_numpy(half, pooling, reduce):
    network = build_loss_network("vgg_16_half", half, ["relu2_1", "relu1_2"], pooling)
    pixels = picture(6, 7)
    x = pixels - np.float32(PIXEL_MEAN)
    expected = {}
    for name, (kernel, bias) in list(random_weights("vgg_16_half", seed=1).items())[:3]:
        x = pool(x, reduce) if name == "block2_conv1" else x
        padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
        x = expected[feature_name(name, "vgg_16_half")] = np.maximum(
            convolve(padded, kernel) + bias, 0
        )
    found = features(network, pixels)
    assert set(found) == {"relu1_2", "relu2_1"}
    assert found["relu1_2"].shape == (1, 6, 7, 32)
    assert found["relu2_1"].shape == (1, 3, 3, 64)
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-3)


def test_network_ends_at_the_deepest_layer_and_is_frozen(half):
    network = build_loss_network("vgg_16_half", half, ["relu3_1", "relu2_2"])
    names = [layer.name for layer in network.layers]
    assert set(network.output) == {"relu2_2", "relu3_1"}
    assert names[-2:] == ["block2_pool", "block3_conv1"]
    assert network.trainable_variables == []
    pixels = picture(8, 8)
    np.testing.assert_array_equal(
        network(pixels, training=True)["relu3_1"], network(pixels, training=False)["relu3_1"]
    )


def test_gradient_reaches_the_pixels(half):
    network = build_loss_network("vgg_16_half", half, ["relu2_1"])
    pixels = tf.Variable(picture(8, 8))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(network(pixels)["relu2_1"])
    assert np.abs(tape.gradient(loss, pixels)).min() > 0


def test_bfloat16_subtracts_the_mean_in_float32(half):
    network = build_loss_network("vgg_16_half", half, ["relu1_1"], dtype="mixed_bfloat16")
    # Rounded to bfloat16, such pixels and the mean would differ by 0 or 0.5 in place of 0.3.
    pixels = np.broadcast_to(np.float32(PIXEL_MEAN) + np.float32(0.3), (1, 8, 8, 3))
    found = network(pixels)["relu1_1"]
    kernel, bias = random_weights("vgg_16_half", seed=1)["block1_conv1"]
    expected = np.maximum(convolve(np.full((1, 10, 10, 3), 0.3), kernel) + bias, 0)
    assert found.dtype == tf.bfloat16
    inside = tf.cast(found, tf.float32)[:, 1:-1, 1:-1]
    np.testing.assert_allclose(inside, expected[:, 1:-1, 1:-1], rtol=0.01, atol=0.02)


def test_vgg_19_has_its_own_depth(tmp_path):
    zeros = {
        name: (np.zeros((3, 3, *channels), np.float16), np.full(channels[1], 0.5, np.float16))
        for name, channels in convolutions("vgg_19").items()
    }
    path = str(tmp_path / "vgg_19.npz")
    save_weights(path, zeros)
    network = build_loss_network("vgg_19", path, ["relu3_4", "relu5_4"])
    found = features(network, picture(16, 16))
    assert found["relu3_4"].shape == (1, 4, 4, 256)
    assert found["relu5_4"].shape == (1, 1, 1, 512)
    np.testing.assert_array_equal(found["relu5_4"], 0.5)
    with pytest.raises(
        UserError, match=r"holds vgg_19, and loss_model is 'vgg_16'; set loss_model"
    ):
        read_weights("vgg_16", path)


@pytest.mark.parametrize(
    "name",
    ["conv3_3", "relu3_3", "block3_conv3", "vgg_16/conv3/conv3_3", "vgg_19/conv3/conv3_3"],
)
@pytest.mark.parametrize("loss_model", CONVOLUTIONS)
def test_spellings_of_a_layer(name, loss_model):
    assert feature_name(name, loss_model) == "relu3_3"


@pytest.mark.parametrize(
    ("name", "loss_model", "nearest"),
    [
        ("conv3_4", "vgg_16", "conv3_3"),
        ("relu9_1", "vgg_16_half", "relu5_1"),
        ("vgg_16/conv3/conv4_3", "vgg_16", "vgg_16/conv4/conv4_3"),
        ("block4_conv9", "vgg_19", "block4_conv4"),
        ("rely2_2", "vgg_16", "relu2_2"),
        ("pixels", "vgg_16", "relu5_3"),
    ],
)
def test_unknown_layer_is_named_with_the_nearest(name, loss_model, nearest):
    with pytest.raises(UserError) as error:
        feature_name(name, loss_model)
    assert repr(name) in str(error.value)
    assert loss_model in str(error.value)
    assert nearest in str(error.value)


def test_layer_names_need_no_tensorflow():
    code = (
        "import sys; from fast_style.conf.vgg_layers import feature_name; feature_name('relu1_1', "
        "'vgg_16'); sys.exit(any(m in sys.modules for m in ('tensorflow', 'keras', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=locations.PROJECT).returncode == 0


def test_saved_file_is_the_same_bytes_and_values_every_time(tmp_path, monkeypatch):
    weights = random_weights("vgg_16_half")
    save_weights(tmp_path / "a.npz", weights)
    monkeypatch.setattr("time.time", lambda: 2e9)
    save_weights(tmp_path / "new" / "b.npz", dict(reversed(weights.items())))
    digests = {
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (tmp_path / "a.npz", tmp_path / "new" / "b.npz")
    }
    assert len(digests) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "new"]
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert file["block5_conv3/kernel"].dtype == np.float16
        assert len(file.files) == 26
    np.testing.assert_array_equal(
        read_weights("vgg_16_half", str(tmp_path / "a.npz"))["block5_conv3"][0],
        weights["block5_conv3"][0],
    )


def test_unwritable_or_overflowing_weights_leave_no_file(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be made"):
        save_weights(tmp_path / "file" / "a.npz", {})
    with pytest.raises(ValueError, match="block1_conv1/bias"):
        save_weights(tmp_path / "a.npz", {"block1_conv1": (np.zeros(1), np.array([1e6]))})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_paths_are_found_here_and_in_the_project(tmp_path, monkeypatch):
    project, here = tmp_path / "project", tmp_path / "here"
    for folder in (project, here):
        folder.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(locations, "PROJECT", project)
    assert locations.locate("a.npz") == Path("a.npz")
    (project / "a.npz").touch()
    assert locations.locate("a.npz") == project / "a.npz"
    (here / "a.npz").touch()
    assert locations.locate("a.npz") == Path("a.npz")
    assert locations.locate(str(project / "a.npz")) == project / "a.npz"
    assert locations.locate("~/b") == Path.home() / "b"
    index = project / "v2.ckpt.index"
    index.touch()
    for name in ("v2.ckpt", "v2.ckpt.index", "v2.ckpt.data-00000-of-00001"):
        assert locations.locate_weights(name) == index
    assert locations.locate_weights("a.npz") == Path("a.npz")


def message(loss_model: str, path: object) -> str:
    """The one line that a person gets for these weights."""
    with pytest.raises(UserError) as error:
        read_weights(loss_model, str(locations.locate_weights(str(path))))
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "layout", ["ours.npz", "notop.h5", "v1.ckpt", "generation1.mat", "generation3.mat"]
)
@pytest.mark.parametrize("size", [4, 100, 1_000_000])
def test_truncated_file(files, layout, size, tmp_path):
    path = tmp_path / layout
    with open(files[layout], "rb") as file:
        path.write_bytes(file.read(size))
    assert "damaged" in message("vgg_16", path)


@pytest.mark.parametrize("part", ["index", "data-00000-of-00001"])
def test_truncated_v2_checkpoint(files, part, tmp_path):
    for suffix in ("index", "data-00000-of-00001"):
        shutil.copy(f"{files['v2.ckpt']}.{suffix}", tmp_path / f"v2.ckpt.{suffix}")
    with open(tmp_path / f"v2.ckpt.{part}", "r+b") as file:
        file.truncate(200)
    assert "damaged" in message("vgg_16", tmp_path / "v2.ckpt")
    (tmp_path / f"v2.ckpt.{part}").unlink()
    message("vgg_16", tmp_path / "v2.ckpt")


def test_wrong_files(half, tmp_path):
    (tmp_path / "text.h5").write_text("not weights\n")
    (tmp_path / "empty.npz").touch()
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["dense/kernel"] = np.zeros((3, 3))
    np.savez(tmp_path / "pickle.npz", **{"block1_conv1/kernel": np.array([{}], object)})
    assert "no file" in message("vgg_16", tmp_path / "absent.npz")
    assert "is a folder" in message("vgg_16", tmp_path)
    for name in ("text.h5", "empty.npz", "other.h5"):
        assert "holds no VGG" in message("vgg_16", tmp_path / name)
    assert "damaged" in message("vgg_16", tmp_path / "pickle.npz")
    assert "set loss_model: vgg_16_half" in message("vgg_16", half)


def change(path: str, target: Path, **changes) -> Path:
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    for name, array in changes.items():
        arrays[name.replace("__", "/")] = array
    np.savez(target, **{name: array for name, array in arrays.items() if array is not None})
    return target


def test_wrong_contents(half, tmp_path):
    target = tmp_path / "changed.npz"
    change(half, target, block4_conv2__bias=None)
    assert "lacks block4_conv2/bias of vgg_16_half" in message("vgg_16_half", target)
    change(half, target, block1_conv1__kernel=np.zeros((32, 3, 3, 3)))
    assert "(32, 3, 3, 3); vgg_16_half needs (3, 3, 3, 32)" in message("vgg_16_half", target)
    change(half, target, block5_conv3__bias=np.full(256, np.nan))
    assert "block5_conv3/bias holds values that are not finite" in message("vgg_16_half", target)
    change(half, target, block5_conv4__bias=np.zeros(256))
    assert "block5_conv4/bias, which vgg_16_half does not have" in message("vgg_16_half", target)


def test_damage_inside_an_npz_is_found(half, tmp_path):
    path = tmp_path / "flipped.npz"
    shutil.copy(half, path)
    with zipfile.ZipFile(path) as archive:
        offset = archive.getinfo("block3_conv1/kernel.npy").header_offset + 1000
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))
    assert "damaged" in message("vgg_16_half", path)


def test_mat_without_scipy(files, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    assert "pip install 'fast-style[weights]'" in message("vgg_16", files["generation3.mat"])


@pytest.mark.parametrize(("loss_model", "build"), [("vgg_16", "VGG16"), ("vgg_19", "VGG19")])
def test_imagenet_offline_says_which_file_goes_where(loss_model, build, monkeypatch):
    def offline(**_):
        raise Exception("URL fetch failure on an address: None\n[Errno -3] no network")

    monkeypatch.setattr(keras.applications, build, offline)
    monkeypatch.setenv("KERAS_HOME", "/home/of/keras")
    said = message(loss_model, "imagenet")
    assert f"put {build.lower()}_weights_tf_dim_ordering_tf_kernels_notop.h5 into " in said
    assert "/home/of/keras/models/" in said
    assert "loss_model: vgg_16_half" in said


def test_the_half_network_is_not_in_imagenet():
    assert "pretrained/vgg_16_half.npz" in message("vgg_16_half", "imagenet")
