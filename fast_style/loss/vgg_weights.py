"""Weights of a VGG's convolutions: reads the published file formats and our own, writes our own.

A file's content decides its format. Each reader returns `block1_conv1/kernel`, (3, 3, in, out),
`block1_conv1/bias`, (out,), and so on.
"""

import hashlib
import math
import os
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from fast_style.conf.config import IMAGENET
from fast_style.conf.vgg_layers import CONVOLUTIONS, PIXEL_MEAN, convolutions
from fast_style.errors import UserError, check_installed, naming, reason
from fast_style.files import make_folder, read_bytes, replacement
from fast_style.loss.matlab_file import check_inflated_size
from fast_style.model_folder.npz import check_weights, read_arrays

Arrays = dict[str, np.ndarray]
Weights = dict[str, tuple[np.ndarray, np.ndarray]]

TORCHVISION_MEAN = (0.485, 0.456, 0.406)  # RGB of 0..1
TORCHVISION_STD = (0.229, 0.224, 0.225)

FORMATS = "a Keras .h5, a TF-slim .ckpt, a matconvnet .mat, a .safetensors or a fast-style .npz"
MOST_VALUES = 3 * 3 * 512 * 512  # in one array of a VGG


def read_weights(loss_model: str, weights: str) -> Weights:
    """Returns the kernel and bias of every convolution, for RGB of 0..255 minus `PIXEL_MEAN`.

    weights: `imagenet`, which Keras downloads once, or a file: Keras's `.h5` (with or without the
    fully connected layers), TF-slim's checkpoint (a V1 file or a V2 index), matconvnet's `.mat`,
    torchvision's weights as `.safetensors`, or our own `.npz`.

    The result is {"block1_conv1": (kernel, bias), ...}, from the first convolution to the deepest:
    float32 kernels (3, 3, in, out), float32 biases (out,). Raises UserError if the file is missing,
    damaged, in an unknown format, or not of this `loss_model`.
    """
    layers = convolutions(loss_model)
    arrays = _read_imagenet(loss_model) if weights == IMAGENET else _read_file(weights)
    _check(arrays, loss_model, weights)
    return {layer: (arrays[f"{layer}/kernel"], arrays[f"{layer}/bias"]) for layer in layers}


def fingerprint(kernel: np.ndarray) -> str:
    """Returns a hash of a loss network by its first kernel, in 16 hexadecimal digits."""
    return hashlib.sha256(np.asarray(kernel, np.float32).tobytes()).hexdigest()[:16]


def weights_sha256(weights: str) -> str | None:
    """Returns the hash of the file that `read_weights` reads; None for imagenet or without a file.

    Of a V2 checkpoint, the index is hashed, which contains checksums of the arrays.
    """
    file = Path(weights)
    if weights == IMAGENET or not file.is_file():
        return None
    return hashlib.sha256(read_bytes(file)).hexdigest()


def save_weights(path: str | Path, weights: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Writes `weights`, as `read_weights` returns them, as a float16 `.npz` without pickle.

    Equal weights give equal bytes on every machine, so that a published SHA-256 stays valid. There
    is no compression, because its output depends on the version of zlib. Raises UserError if the
    file cannot be written, ValueError if a value does not fit in float16.
    """
    arrays = {}
    for layer, (kernel, bias) in sorted(weights.items()):
        for name, array in ((f"{layer}/kernel", kernel), (f"{layer}/bias", bias)):
            with np.errstate(over="ignore"):
                arrays[name] = np.asarray(array, np.float16)
            if not np.isfinite(arrays[name]).all():
                raise ValueError(f"{name} contains a value that is not finite in float16")
    path = Path(path)
    make_folder(path.parent)
    with replacement(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            with archive.open(entry, "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def _read_imagenet(loss_model: str) -> Arrays:
    if loss_model == "vgg_16_half":
        raise UserError(
            "loss_model_file: 'imagenet' has no vgg_16_half; it has its own file, "
            "pretrained/vgg_16_half.npz"
        )
    import keras

    build = {"vgg_16": keras.applications.VGG16, "vgg_19": keras.applications.VGG19}[loss_model]
    try:
        model = build(weights="imagenet", include_top=False)  # checks the hash of the file
    except Exception as error:  # Keras raises a bare Exception if the download fails
        name = f"{loss_model.replace('_', '')}_weights_tf_dim_ordering_tf_kernels_notop.h5"
        raise UserError(
            f"loss_model_file: 'imagenet' cannot be fetched ({reason(error)}); put {name} into "
            f"{os.environ.get('KERAS_HOME', '~/.keras')}/models/, or set loss_model: vgg_16_half, "
            "which needs no download"
        ) from error
    arrays = {}
    for layer in model.layers:
        if layer.weights:
            arrays[f"{layer.name}/kernel"], arrays[f"{layer.name}/bias"] = layer.get_weights()
    return _bgr_to_rgb(arrays)


def _read_file(weights: str) -> Arrays:
    file = Path(weights)
    is_index = file.suffix == ".index"
    path = file.with_suffix("") if is_index else file
    if file.is_dir():
        raise UserError(f"loss_model_file: {weights!r} is a folder; give {FORMATS} file in it")
    if not file.is_file():
        raise UserError(
            f"loss_model_file: no file {weights!r}, neither here nor in the project's folder; "
            f"give imagenet, pretrained/vgg_16_half.npz, or {FORMATS} file"
        )
    try:
        read = _read_slim if is_index else _reader_of(path)
        arrays = {} if read is None else read(path)
        arrays = {name: np.array(array, np.float32, order="C") for name, array in arrays.items()}
    except UserError:
        raise
    # Four libraries parse these files, and each has its own exceptions for a damaged one.
    except Exception as error:
        raise UserError(
            f"loss_model_file: {weights!r} is damaged or incomplete ({reason(error)}); "
            "fetch or copy it again"
        ) from error
    if not arrays:
        raise UserError(
            f"loss_model_file: {weights!r} is damaged or holds no VGG; it must be {FORMATS} file"
        )
    return arrays


def _reader_of(path: Path) -> Callable[[Path], Arrays] | None:
    """Returns the reader for a file's first bytes, or last: a V1 checkpoint is a LevelDB table."""
    with path.open("rb") as file:
        head = file.read(8)
        file.seek(max(0, path.stat().st_size - 8))
        tail = file.read()
    if tail == bytes.fromhex("57fb808b247547db"):
        return _read_slim
    if head[7:8] == b"\0" and path.suffix == ".safetensors":
        return _read_torchvision
    readers = {b"PK\3\4": _read_npz, b"\x89HDF\r\n\x1a\n": _read_keras, b"MATLAB": _read_matconvnet}
    return next((reader for magic, reader in readers.items() if head.startswith(magic)), None)


def _read_npz(path: Path) -> Arrays:
    pattern = r"block\d_conv\d/(kernel|bias)"
    with naming("loss_model_file"):
        arrays = read_arrays(path)
    return {name: array for name, array in arrays.items() if re.fullmatch(pattern, name)}


def _read_keras(path: Path) -> Arrays:
    """Reads Keras's weights (groups named by layer) or model file (the same under model_weights).

    Every Keras version names the arrays differently, so the number of dimensions distinguishes
    kernel and bias. Keras's VGGs come from Caffe and take BGR.
    """
    import h5py

    arrays = {}

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        layer = re.search(r"(?:^|/)(block\d_conv\d)/", name)
        if layer and isinstance(item, h5py.Dataset):
            _check_size(item.shape, name)
            if item.external or item.is_virtual:
                raise ValueError(f"{name} is in another file")
            arrays[f"{layer[1]}/{'kernel' if item.ndim == 4 else 'bias'}"] = item[()]

    with h5py.File(path, "r") as file:
        inside = file.get("model_weights", getlink=True)
        hard = isinstance(inside, h5py.HardLink)  # other links lead to other files
        (file["model_weights"] if hard else file).visititems(visit)
    return _bgr_to_rgb(arrays)


def _read_slim(path: Path) -> Arrays:
    """Reads TF-slim's convolutions, such as vgg_16/conv3/conv3_1/weights, which take RGB.

    path: a V1 file or the prefix of a V2 checkpoint.
    """
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(path))
    arrays = {}
    for name, shape in reader.get_variable_to_shape_map().items():
        variable = re.search(r"(?:^|/)conv(\d)/conv\1_(\d)/(weights|biases)$", name)
        if variable:
            _check_size(shape, name)
            part = {"weights": "kernel", "biases": "bias"}[variable[3]]
            arrays[f"block{variable[1]}_conv{variable[2]}/{part}"] = reader.get_tensor(name)
    return arrays


def _read_matconvnet(path: Path) -> Arrays:
    """Reads matconvnet's imagenet-vgg-verydeep files of all three generations.

    Layers have `filters` and `biases` in the oldest, `weights` with both in the others. The mean is
    in `normalization`, or in `meta.normalization` since beta 17. matconvnet's Caffe importer
    (utils/import-caffe.py) transposes the kernels to (height, width, in, out) and flips the first
    to RGB; much published code that reads these files swaps height and width again.

    If the file's mean is not PIXEL_MEAN, the difference is added to the first bias. This is exact
    except at the outermost pixels, where the zero padding means the mean colour.
    """
    check_installed(f"loss_model_file: reading {str(path)!r} needs", "weights", "scipy")
    from scipy.io import loadmat

    check_inflated_size(path)
    file = loadmat(path, simplify_cells=True)
    arrays = {}
    for layer in np.atleast_1d(file.get("layers", [])):
        name = re.fullmatch(r"conv(\d)_(\d)", str(layer["name"]))
        if name:
            parts = layer["weights"] if "weights" in layer else (layer["filters"], layer["biases"])
            arrays[f"block{name[1]}_conv{name[2]}/kernel"] = parts[0]
            arrays[f"block{name[1]}_conv{name[2]}/bias"] = parts[1]
    if "block1_conv1/kernel" in arrays:
        average = file.get("meta", file)["normalization"]["averageImage"]
        mean = np.reshape(average, (-1, 3)).mean(axis=0, dtype=np.float64)
        _move_mean(arrays, mean)
    return arrays


def _read_torchvision(path: Path) -> Arrays:
    """Reads torchvision's VGGs, with layers numbered `features.N`, as timm publishes them.

    They take (RGB / 255 - mean) / std. The first kernel is scaled, and the difference of the means
    is added to the first bias, as for matconvnet's files.
    """
    check_installed(f"loss_model_file: reading {str(path)!r} needs", "weights", "safetensors")
    from safetensors import safe_open

    found = {}
    with safe_open(path, "numpy") as file:
        for key in file.keys():  # noqa: SIM118 (it is no mapping)
            if name := re.fullmatch(r"features\.(\d{1,3})\.(weight|bias)", key):
                _check_size(file.get_slice(key).get_shape(), key)
                found[int(name[1]), name[2]] = file.get_tensor(key)
    numbers = sorted({number for number, _ in found})
    network = next((n for n in CONVOLUTIONS if sum(CONVOLUTIONS[n]) == len(numbers)), "vgg_16")
    arrays = {}
    for layer, number in zip(convolutions(network), numbers, strict=False):
        arrays[f"{layer}/kernel"] = found[number, "weight"].transpose(2, 3, 1, 0)
        arrays[f"{layer}/bias"] = found[number, "bias"]
    if arrays:
        std = 255 * np.array(TORCHVISION_STD)
        arrays["block1_conv1/kernel"] = arrays["block1_conv1/kernel"] / std[:, None]
        _move_mean(arrays, 255 * np.array(TORCHVISION_MEAN))
    return arrays


def _check_size(shape: Sequence[int], name: str) -> None:
    # Checked before reading: a few bytes of a file can expand to any number of equal values.
    if math.prod(shape) > MOST_VALUES:
        raise ValueError(f"{name} has shape {tuple(shape)}, larger than any in a VGG")


def _move_mean(arrays: Arrays, mean: np.ndarray) -> None:
    """Changes weights for RGB minus `mean` into weights for RGB minus PIXEL_MEAN, in place."""
    per_colour = arrays["block1_conv1/kernel"].sum(axis=(0, 1), dtype=np.float64)
    arrays["block1_conv1/bias"] = arrays["block1_conv1/bias"] + (PIXEL_MEAN - mean) @ per_colour


def _bgr_to_rgb(arrays: Arrays) -> Arrays:
    first = "block1_conv1/kernel"
    return {name: a[:, :, ::-1] if name == first else a for name, a in arrays.items()}


def _check(arrays: Arrays, loss_model: str, weights: str) -> None:
    found = {name: array.shape for name, array in arrays.items()}
    expected = _shapes(loss_model)
    where = f"loss_model_file: {weights!r}"
    for other in CONVOLUTIONS:
        if other != loss_model and found == _shapes(other):
            raise UserError(
                f"{where} holds {other}, and loss_model is {loss_model!r}; set loss_model: {other}"
            )
    for name, shape in expected.items():
        if name not in found:
            raise UserError(f"{where} lacks {name} of {loss_model}; it must hold every layer")
        if found[name] != shape:
            raise UserError(f"{where}: {name} has shape {found[name]}; {loss_model} needs {shape}")
    check_weights(arrays, where)
    for name in found:
        if name not in expected:
            raise UserError(f"{where} holds {name}, which {loss_model} does not have")


def _shapes(loss_model: str) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, (inputs, outputs) in convolutions(loss_model).items():
        shapes[f"{layer}/kernel"] = (3, 3, inputs, outputs)
        shapes[f"{layer}/bias"] = (outputs,)
    return shapes
