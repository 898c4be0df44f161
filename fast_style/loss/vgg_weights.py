"""Weights of a VGG's convolutions: every published file format in, our own out.

A file is recognized by its content. Inside, each reader names its arrays as our own format does:
`block1_conv1/kernel`, (3, 3, in, out), and `block1_conv1/bias`, (out,).
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
from fast_style.errors import UserError, naming
from fast_style.files import make_folder, read_bytes, replacement
from fast_style.loss.matlab_file import check_inflated_size
from fast_style.model_folder.npz import check_weights, read_arrays

Arrays = dict[str, np.ndarray]
Weights = dict[str, tuple[np.ndarray, np.ndarray]]

# By Keras, of the files without the fully connected layers.
PUBLISHED_MD5 = {
    "vgg_16": "6d6bbae143d832006294945121d1f1fc",
    "vgg_19": "253f8cb515780f3b799900260a226db6",
}
TORCHVISION_MEAN = (0.485, 0.456, 0.406)  # RGB of 0..1
TORCHVISION_STD = (0.229, 0.224, 0.225)

FORMATS = "a Keras .h5, a TF-slim .ckpt, a matconvnet .mat, a .safetensors or a fast-style .npz"


_MOST_VALUES = 3 * 3 * 512 * 512  # of an array of a VGG


def read_weights(loss_model: str, weights: str) -> Weights:
    """Kernel and bias of every convolution, for RGB of 0..255 minus `PIXEL_MEAN`.

    `weights` is `imagenet`, which Keras downloads once, or a file: Keras's `.h5` (with or without
    the fully connected layers), TF-slim's checkpoint (a V1 file, or a V2 index), matconvnet's
    `.mat`, torchvision's weights as `.safetensors`, or our own `.npz`.

    Returns {"block1_conv1": (kernel, bias), ...}, from the first convolution to the deepest;
    float32 kernels (3, 3, in, out), float32 biases (out,). Raises UserError where the file is
    missing, damaged, of another kind, or not of this `loss_model`.
    """
    layers = convolutions(loss_model)
    arrays = _read_imagenet(loss_model) if weights == IMAGENET else _read_file(weights)
    _check(arrays, loss_model, weights)
    return {layer: (arrays[f"{layer}/kernel"], arrays[f"{layer}/bias"]) for layer in layers}


def weights_sha256(weights: str) -> str | None:
    """The hash of the file that `read_weights` would read; None for imagenet, which has its own.

    Of a V2 checkpoint it is that of the index, in which the arrays' checksums are.
    """
    file = Path(weights)
    if weights == IMAGENET or not file.is_file():
        return None
    return hashlib.sha256(read_bytes(file)).hexdigest()


def save_weights(path: str | Path, weights: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Write `weights`, as `read_weights` returns them, as a float16 `.npz` that needs no pickle.

    Equal weights give equal bytes on every machine, so that a published SHA-256 stays true; hence
    no compression, whose output depends on the zlib at hand. The file appears whole or not at all.
    Raises UserError where it cannot be written, ValueError where a value does not fit in float16.
    """
    arrays = {}
    for layer, (kernel, bias) in sorted(weights.items()):
        with np.errstate(over="ignore"):
            arrays[f"{layer}/kernel"] = np.asarray(kernel, np.float16)
            arrays[f"{layer}/bias"] = np.asarray(bias, np.float16)
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds a value that is not finite in float16")
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
    home = os.environ.get("KERAS_HOME", "~/.keras")
    name = f"{loss_model.replace('_', '')}_weights_tf_dim_ordering_tf_kernels_notop.h5"
    path, published = Path(home).expanduser() / "models" / name, PUBLISHED_MD5[loss_model]
    if path.exists() and _md5(path) != published:
        raise UserError(
            f"loss_model_file: 'imagenet' is kept in {path}, which has the MD5 {_md5(path)}, and "
            f"Keras publishes {published}; remove that file, and it is fetched again"
        )
    try:
        model = build(weights="imagenet", include_top=False)
    # Keras raises a bare Exception where it cannot download.
    except Exception as error:
        # It checks the hash, and keeps what it fetched all the same.
        if path.exists() and _md5(path) != published:
            path.unlink()
        raise UserError(
            f"loss_model_file: 'imagenet' cannot be fetched ({_reason(error)}); put {name} into "
            f"{home}/models/, or take loss_model: vgg_16_half, which works without"
        ) from error
    arrays = {}
    for layer in model.layers:
        if layer.weights:
            arrays[f"{layer.name}/kernel"], arrays[f"{layer.name}/bias"] = layer.get_weights()
    return _bgr_to_rgb(arrays)


def _md5(path: Path) -> str:
    return hashlib.md5(read_bytes(path), usedforsecurity=False).hexdigest()


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
            f"loss_model_file: {weights!r} is damaged or incomplete ({_reason(error)}); "
            "fetch or copy it again"
        ) from error
    if not arrays:
        raise UserError(
            f"loss_model_file: {weights!r} is damaged or holds no VGG; it must be {FORMATS} file"
        )
    return arrays


def _reader_of(path: Path) -> Callable[[Path], Arrays] | None:
    """The reader for the file's first bytes, or last ones: a V1 checkpoint is a LevelDB table."""
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
    """Keras's weights (groups named by layer at the root) or model file (under model_weights).

    The names of the arrays themselves have changed with every Keras, so the number of dimensions
    tells kernel from bias. Keras's VGGs come from Caffe and take BGR.
    """
    import h5py

    arrays = {}

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        layer = re.search(r"(?:^|/)(block\d_conv\d)/", name)
        if layer and isinstance(item, h5py.Dataset):
            _check_size(item.shape, name)
            if item.external or item.is_virtual:
                raise ValueError(f"{name} stands in another file")
            arrays[f"{layer[1]}/{'kernel' if item.ndim == 4 else 'bias'}"] = item[()]

    with h5py.File(path, "r") as file:
        inside = file.get("model_weights", getlink=True)
        hard = isinstance(inside, h5py.HardLink)  # others lead to other files
        (file["model_weights"] if hard else file).visititems(visit)
    return _bgr_to_rgb(arrays)


def _read_slim(path: Path) -> Arrays:
    """TF-slim's variables, such as vgg_16/conv3/conv3_1/weights; fc6 to fc8 are left unread.

    They take RGB. `path` is a V1 file or the prefix of a V2 checkpoint.
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
    """matconvnet's imagenet-vgg-verydeep files, of all three generations.

    A layer holds `filters` and `biases` in the oldest, `weights` (both in one cell) since; the
    mean is in `normalization`, or in `meta.normalization` since beta 17. matconvnet's Caffe
    importer (utils/import-caffe.py) transposes the kernels to (height, width, in, out) and flips
    the first to RGB; much published code that reads these files swaps height and width again.

    Where the file's mean is not ours, the first bias takes up the difference. That is exact but
    for the outermost pixels, whose zero padding stands for the mean colour. The published files
    have our mean.
    """
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise UserError(
            f"loss_model_file: reading {str(path)!r} needs scipy: pip install 'fast-style[weights]'"
        ) from error
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
    """torchvision's VGGs, whose layers are numbered `features.N`, such as timm publishes them.

    They take (RGB / 255 - mean) / std; the first kernel takes up the scale, and the first bias the
    difference of the means, as for matconvnet's files.
    """
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise UserError(
            f"loss_model_file: reading {str(path)!r} needs safetensors: "
            "pip install 'fast-style[weights]'"
        ) from error
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
    # Before it is read: a few bytes of a file can stand for any number of equal values.
    if math.prod(shape) > _MOST_VALUES:
        raise ValueError(f"{name} has shape {tuple(shape)}, larger than any in a VGG")


def _move_mean(arrays: Arrays, mean: np.ndarray) -> None:
    """Make weights that take RGB minus `mean` take RGB minus PIXEL_MEAN."""
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


def _reason(error: Exception) -> str:
    first_line = next(iter(str(error).splitlines()), "")
    return first_line[:120] or type(error).__name__
