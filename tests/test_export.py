"""What other programs load: each format by its own runtime."""

import importlib
import io
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from fast_style import export as formats
from fast_style.errors import UserError
from fast_style.export import SIZES, export, tensorflow_finds
from fast_style.pictures.images import Picture, decode_picture, encode_picture
from fast_style.stylize import Stylizer

Photo = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def exported(trained_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("export") / "deep" / "tiny"
    found = export(trained_model, output)
    assert [(one.height, one.width) for one in found] == list(SIZES)
    assert all(one.largest_difference < 0.1 or one.largest_difference == 1 for one in found)
    return output


@pytest.fixture(scope="module")
def loaded(exported: Path):
    """What a program that knows nothing of this project sees."""
    return tf.saved_model.load(str(exported))


def test_a_saved_model_is_not_written_where_tensorflow_would_not_find_it(
    trained_model: Path, exported: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="TensorFlow finds no SavedModel where a path has a "):
        export(trained_model, tmp_path / "a [2]")
    assert not (tmp_path / "a [2]").exists()
    for name in ("a [2]", "a*?{2}"):
        shutil.copytree(exported, tmp_path / name)
        try:
            found = tf.saved_model.load(str(tmp_path / name)) is not None
        except OSError:
            found = False
        assert tensorflow_finds(tmp_path / name) == found, name


def test_there_are_three_signatures_for_pictures_of_any_size(loaded) -> None:
    def inputs(name: str) -> dict[str, tuple]:
        _, keywords = loaded.signatures[name].structured_input_signature
        return {key: (spec.shape.as_list(), spec.dtype) for key, spec in keywords.items()}

    assert set(loaded.signatures) == {"serving_default", "serving_uint8", "serving_bytes"}
    pictures = [None, None, None, 3]
    assert inputs("serving_default") == {"pictures": (pictures, tf.float32)}
    assert inputs("serving_uint8") == {"pictures": (pictures, tf.uint8)}
    assert inputs("serving_bytes") == {"image_bytes": ([None], tf.string)}


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 17, 40), (3, 33, 8)])
def test_uint8_is_the_rounded_float(loaded, photo: Photo, shape: tuple[int, int, int]) -> None:
    count, height, width = shape
    pictures = np.stack([photo(height, width, seed=n) for n in range(count)])
    floats = loaded.signatures["serving_default"](pictures=tf.constant(pictures, tf.float32))
    stylized = floats["stylized"].numpy()
    assert stylized.shape == (count, height, width, 3) and stylized.dtype == np.float32
    assert stylized.min() >= 0 and stylized.max() <= 255
    whole = loaded.signatures["serving_uint8"](pictures=tf.constant(pictures))["stylized"].numpy()
    assert whole.dtype == np.uint8
    np.testing.assert_array_equal(whole, np.rint(stylized))


def test_tensorflows_own_tool_runs_it(trained_model: Path, photo: Photo, tmp_path: Path) -> None:
    pictures = photo(21, 34)[None]
    np.save(tmp_path / "pictures.npy", pictures)
    subprocess.run(
        [
            *("saved_model_cli", "run", "--dir", trained_model, "--tag_set", "serve"),
            *("--signature_def", "serving_uint8", "--outdir", tmp_path),
            *("--inputs", f"pictures={tmp_path / 'pictures.npy'}"),
        ],
        check=True,
        capture_output=True,
    )
    expected = Stylizer(trained_model, "tensorflow", "float32")(pictures[0])
    off = np.load(tmp_path / "stylized.npy")[0].astype(int) - expected
    assert np.abs(off).max() <= 1


def test_bytes_come_back_in_the_format_they_had_and_sizes_may_differ(loaded, photo: Photo) -> None:
    serve = loaded.signatures["serving_bytes"]
    encoded = [
        encode_picture(Picture(photo(20, 30)), ".png"),
        encode_picture(Picture(photo(33, 9, seed=1)), ".jpg"),
        encode_picture(Picture(photo(6, 7, seed=2)), ".bmp"),
    ]
    found = serve(image_bytes=tf.constant(encoded))["stylized_bytes"].numpy()
    formats = [Image.open(io.BytesIO(data)).format for data in found]
    assert formats == ["PNG", "JPEG", "PNG"]
    for source, data in zip(encoded, found, strict=True):
        # TensorFlow's own JPEG decoder, so that only the network is compared.
        rgb = tf.io.decode_image(source, channels=3, expand_animations=False)
        expected = loaded.signatures["serving_uint8"](pictures=rgb[None])["stylized"][0].numpy()
        stylized = decode_picture(data, "stylized").rgb
        assert stylized.shape == expected.shape
        difference = np.abs(stylized.astype(int) - expected)
        # Saturated noise, as a style of random weights gives, is the worst case for a JPEG.
        assert difference.max() == 0 if data[:4] == b"\x89PNG" else difference.mean() < 12


def test_an_exported_folder_is_a_model_folder(
    exported: Path, trained_model: Path, photo: Photo
) -> None:
    names = {path.name for path in exported.iterdir()}
    assert {"saved_model.pb", "variables", "conf.yml", "weights.npz", "agreement.json"} <= names
    assert not {"checkpoints", "logs", "previews"} & names
    # Nothing unfinished is left beside it.
    assert list(exported.parent.iterdir()) == [exported]
    rgb = photo(12, 15)
    one, other = (Stylizer(folder, "tensorflow", "float32") for folder in (exported, trained_model))
    np.testing.assert_array_equal(one(rgb), other(rgb))


def test_the_saved_model_of_a_training_is_the_same(
    trained_model: Path, loaded, photo: Photo
) -> None:
    pictures = tf.constant(photo(12, 15)[None], tf.float32)
    trained = tf.saved_model.load(str(trained_model)).signatures["serving_default"]
    one = trained(pictures=pictures)["stylized"]
    other = loaded.signatures["serving_default"](pictures=pictures)["stylized"]
    np.testing.assert_allclose(one, other, atol=0.01)


def test_an_output_in_use_is_refused_and_left_as_it_was(
    tmp_path: Path, trained_model: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    for output in (tmp_path / "mine", tmp_path / "mine" / "notes.txt"):
        with pytest.raises(UserError, match="is there already; name a new one"):
            export(trained_model, output)
    with pytest.raises(UserError, match=r"--output .*deep: cannot be written"):
        export(trained_model, tmp_path / "mine" / "notes.txt" / "deep")
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "notes.txt"]


def test_a_folder_without_a_model_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no model"):
        export(tmp_path, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


METADATA = {"style", "artwork", "version", "licence", "conf"}


def onnx_metadata(path: Path) -> dict[str, str]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.get_modelmeta().custom_metadata_map


def openvino_metadata(path: Path) -> dict[str, str]:
    from fast_style.runtimes.openvino_network import core

    model = core().read_model(path)
    return {key: str(model.get_rt_info(["fast_style", key]).astype(str)) for key in METADATA}


def litert_metadata(path: Path) -> dict[str, str]:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    [entry] = [entry for entry in model.metadata if entry.name == b"fast_style"]
    return json.loads(bytes(model.buffers[entry.buffer].data))


@pytest.mark.parametrize(
    ("kind", "pixels", "half", "metadata"),
    [
        ("onnx", "uint8", False, onnx_metadata),
        ("onnx", "float", True, onnx_metadata),
        ("openvino", "uint8", True, openvino_metadata),
        ("openvino", "float", False, openvino_metadata),
        ("litert", "uint8", True, litert_metadata),
        ("litert", "float", False, litert_metadata),
    ],
)
def test_a_file_is_the_network_in_its_own_runtime(
    kind: str,
    pixels: str,
    half: bool,
    metadata: Callable[[Path], dict[str, str]],
    trained_model: Path,
    tmp_path: Path,
    photo: Photo,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = formats.FORMATS[kind]
    for package in wanted.packages:
        pytest.importorskip(package)
    monkeypatch.setattr(formats, "SIZES", ((20, 12), (1, 5)))
    path = tmp_path / f"tiny{wanted.ending}"
    found = export(trained_model, path, kind, pixels=pixels, half=half)
    assert json.loads((tmp_path / f"{path.name}.json").read_text()) == [
        asdict(one) for one in found
    ]
    size = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert size < 4_000_000 if half else size > 6_800_000

    told = metadata(path)
    assert set(told) >= METADATA and told["style"] == "tiny" and "naming: tiny" in told["conf"]
    assert "dataset:" not in told["conf"]  # a place on this machine
    picture = photo(37, 51)
    run = importlib.import_module(f"fast_style.export.{wanted.module}").load(path, pixels)
    stylized = run(picture[None] if pixels == "uint8" else picture[None].astype(np.float32))[0]
    expected = Stylizer(trained_model, "tensorflow", "float32")(picture).astype(float)
    assert np.abs(stylized - expected).max() <= (2 if half else 1)


def test_a_file_that_does_not_agree_is_not_kept(
    trained_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    from fast_style.export import onnx_network

    monkeypatch.setattr(onnx_network, "OUTPUT_GAIN", 0.07)
    monkeypatch.setattr(formats, "SIZES", ((20, 12),))
    with pytest.raises(RuntimeError, match=r"the ONNX is [0-9.]+ grey levels off the network"):
        export(trained_model, tmp_path / "tiny.onnx", "onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named_with_its_extra(
    trained_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs onnx and onnxruntime; pip install .*\[onnx\]"):
        export(trained_model, tmp_path / "tiny.onnx", "onnx")
