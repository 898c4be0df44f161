"""What other programs load: each format by its own runtime."""

import dataclasses
import io
import json
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageCms

from fast_style import errors
from fast_style import export as formats
from fast_style.errors import UserError
from fast_style.export import SIZES, encoded_pictures, export
from fast_style.export.saved_model import tensorflow_finds
from fast_style.model_folder.model import load_network, read_model
from fast_style.network import graph
from fast_style.pictures.images import Picture, decode_picture, encode_picture
from fast_style.stylize.stylizer import Stylizer

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
    with pytest.raises(UserError, match="TensorFlow finds no SavedModel if the path has a "):
        export(trained_model, tmp_path / "a [2]")
    assert not (tmp_path / "a [2]").exists()
    for name in ("a [2]", "a*?{2}"):
        shutil.copytree(exported, tmp_path / name)
        try:
            found = tf.saved_model.load(str(tmp_path / name)) is not None
        except OSError:
            found = False
        assert tensorflow_finds(tmp_path / name) == found, name


def test_there_are_four_signatures_for_pictures_of_any_size(loaded) -> None:
    def inputs(name: str) -> dict[str, tuple]:
        _, keywords = loaded.signatures[name].structured_input_signature
        return {key: (spec.shape.as_list(), spec.dtype) for key, spec in keywords.items()}

    names = {"serve", "serving_default", "serving_uint8", "serving_bytes"}
    assert set(loaded.signatures) == names
    pictures = [None, None, None, 3]
    assert inputs("serve") == {"pictures": (pictures, tf.float32)}
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


def test_it_is_a_keras_layer_without_more_arguments(exported: Path, loaded, photo: Photo) -> None:
    pictures = photo(9, 14)[None].astype(np.float32)
    layer = keras.layers.TFSMLayer(exported)
    serve = loaded.signatures["serving_default"]
    np.testing.assert_array_equal(
        layer(pictures), serve(pictures=tf.constant(pictures))["stylized"]
    )
    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Rescaling(255.0), layer])
    assert model.predict(pictures / 255, verbose=0).shape == pictures.shape


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


def encoded_by_pillow(pixels: np.ndarray | Image.Image, file_format: str, **options) -> bytes:
    image = Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def exif(orientation: int, order: str = "<") -> bytes:
    data = Image.Exif()
    data.endian = order
    data[0x010F], data[0x0112], data[0x0132] = "maker", orientation, "2020:01:01 00:00:00"
    return data.tobytes()


def with_chunk(png: bytes, kind: bytes, data: bytes) -> bytes:
    """A PNG with one more chunk before its pixels."""
    chunk = struct.pack(">I", len(data)) + kind + data
    chunk += struct.pack(">I", zlib.crc32(kind + data))
    at = png.index(b"IDAT") - 4
    return png[:at] + chunk + png[at:]


def picture_files(rgb: np.ndarray, alpha: np.ndarray) -> dict[str, bytes]:
    """One picture in all that serving_bytes reads."""
    rgba, file = np.dstack([rgb, alpha]), encoded_by_pillow
    palette = Image.fromarray(rgb).quantize(64)
    files = {
        "4:4:4": file(rgb, "JPEG", quality=95, subsampling=0),
        "4:2:0 progressive": file(rgb, "JPEG", quality=60, progressive=True),
        "grey JPEG": file(alpha, "JPEG"),
        "RGB PNG": file(rgb, "PNG"),
        "RGBA PNG": file(rgba, "PNG"),
        "grey PNG with alpha": file(np.dstack([rgb[..., 0], alpha]), "PNG"),
        "PNG with a transparent colour": file(rgb, "PNG", transparency=tuple(rgb[0, 0].tolist())),
        "PNG with a palette": file(palette, "PNG"),
        "PNG with a palette and alpha": file(palette, "PNG", transparency=3),
        "PNG of 2 bits": file(Image.fromarray(rgb).quantize(4), "PNG", bits=2),
        "PNG of 1 bit": file(Image.fromarray(rgb).convert("1"), "PNG"),
        "RGB WebP": file(rgb, "WEBP", quality=70),
        "RGBA WebP": file(rgba, "WEBP", lossless=True, exact=True),
        # Of frames that are the same Pillow makes a still picture.
        "animated WebP": file(rgb, "WEBP", save_all=True, append_images=[Image.fromarray(~rgb)]),
        "animated RGBA WebP": file(
            rgba,
            "WEBP",
            lossless=True,
            exact=True,
            save_all=True,
            append_images=[Image.fromarray(~rgba)],
        ),
        "GIF": file(palette, "GIF"),
        "RGB BMP": file(rgb, "BMP"),
        "RGBA BMP": file(rgba, "BMP"),
        "grey BMP": file(alpha, "BMP"),
        "BMP with a palette": file(palette, "BMP"),
    }
    for number in range(1, 9):
        for order in "<>":
            tags = exif(number, order)
            ways = {
                "JPEG": file(rgb, "JPEG", exif=tags, icc_profile=bytes(70_000)),
                "PNG": file(rgba, "PNG", exif=tags),
                "WebP": file(rgba, "WEBP", lossless=True, exact=True, exif=tags),
                "WebP, TIFF header": file(rgb, "WEBP", exif=tags.removeprefix(b"Exif\0\0")),
            }
            files |= {f"{way}, orientation {number} {order}": ways[way] for way in ways}
    # EXIF data that say nothing of use.
    plain = files["RGB PNG"]
    for number, data in enumerate(
        [b"", b"II", b"MM\0*\xff\xff\xff\xff", exif(6)[6:18], exif(9)[6:]]
    ):
        files[f"poor EXIF {number}"] = with_chunk(plain, b"eXIf", data)
    return files


def test_encoded_pictures_are_read_as_eval_reads_them(photo: Photo) -> None:
    rgb = photo(19, 26)
    wrong = {}
    for name, data in picture_files(rgb, photo(19, 26, seed=1)[..., 0]).items():
        wanted = decode_picture(data, name)
        found = encoded_pictures.decode(tf.constant(data)).numpy()
        alpha = np.full(wanted.rgb.shape[:2], 255) if wanted.alpha is None else wanted.alpha
        if not np.array_equal(found, np.dstack([wanted.rgb, alpha])):
            wrong[name] = found.shape
    assert not wrong


def test_bytes_come_back_in_the_format_they_had_and_sizes_may_differ(
    loaded, trained_model: Path, photo: Photo
) -> None:
    rgb, alpha = photo(33, 9, seed=1), photo(33, 9, seed=2)[..., 0]
    sources = [
        encode_picture(Picture(photo(20, 30)), ".png"),
        encoded_by_pillow(rgb, "JPEG", exif=exif(6)),
        encode_picture(Picture(photo(6, 7, seed=2)), ".bmp"),
        encode_picture(Picture(rgb, alpha), ".png"),
        encode_picture(Picture(rgb, alpha), ".webp"),
    ]
    serve = loaded.signatures["serving_bytes"]
    found = serve(image_bytes=tf.constant(sources))["stylized_bytes"].numpy()
    formats = [Image.open(io.BytesIO(data)).format for data in found]
    assert formats == ["PNG", "JPEG", "PNG", "PNG", "PNG"]
    stylizer = Stylizer(trained_model, "tensorflow", "float32")
    for source, data, file_format in zip(sources, found, formats, strict=True):
        wanted = stylizer.stylize(decode_picture(source, "source"))
        ending = ".jpg" if file_format == "JPEG" else ".png"
        wanted = decode_picture(encode_picture(wanted, ending), "wanted")
        stylized = decode_picture(data, "stylized")
        assert stylized.rgb.shape == wanted.rgb.shape
        difference = np.abs(stylized.rgb.astype(int) - wanted.rgb)
        assert difference.mean() < 1 if file_format == "JPEG" else difference.max() <= 1
        np.testing.assert_array_equal(stylized.alpha, wanted.alpha)


def test_what_serving_bytes_does_not_do_is_as_documented(loaded, photo: Photo) -> None:
    serve = loaded.signatures["serving_bytes"]
    rgb = photo(8, 9)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    transparent = encoded_by_pillow(Image.fromarray(rgb).quantize(8), "GIF", transparency=0)
    for source in (encode_picture(Picture(rgb, None, profile), ".jpg"), transparent):
        given = decode_picture(source, "source")
        [data] = serve(image_bytes=tf.constant([source]))["stylized_bytes"].numpy()
        stylized = decode_picture(data, "stylized")
        assert given.icc_profile is not None or given.alpha is not None
        assert stylized.icc_profile is None and stylized.alpha is None
    for unread in (encode_picture(Picture(rgb), ".tif"), b"no picture", b""):
        with pytest.raises(tf.errors.InvalidArgumentError):
            serve(image_bytes=tf.constant([unread]))


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


@pytest.mark.parametrize(("height", "width"), [(12, 15), (1, 1), (7, 5), (33, 65)])
def test_the_saved_model_of_a_training_is_the_same(
    model_of_each_network: Path, photo: Photo, height: int, width: int
) -> None:
    pictures = tf.constant(photo(height, width)[None], tf.float32)
    trained = tf.saved_model.load(str(model_of_each_network)).signatures["serving_default"]
    expected = np.clip(load_network(model_of_each_network)(pictures), 0, 255)
    np.testing.assert_allclose(trained(pictures=pictures)["stylized"], expected, atol=0.01)


def test_an_output_in_use_is_refused_and_left_as_it_was(
    tmp_path: Path, trained_model: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    for output in (tmp_path / "mine", tmp_path / "mine" / "notes.txt"):
        with pytest.raises(UserError, match="exists already; name a new one"):
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
    ("model", "kind", "pixels", "half", "metadata"),
    [
        ("trained_model", "onnx", "uint8", False, onnx_metadata),
        ("trained_model", "onnx", "float", True, onnx_metadata),
        ("trained_model", "openvino", "uint8", True, openvino_metadata),
        ("trained_model", "openvino", "float", False, openvino_metadata),
        ("trained_model", "litert", "uint8", True, litert_metadata),
        ("trained_model", "litert", "float", False, litert_metadata),
        ("medium_model", "onnx", "uint8", False, onnx_metadata),
        ("medium_model", "openvino", "uint8", False, openvino_metadata),
        ("medium_model", "litert", "uint8", True, litert_metadata),
    ],
)
def test_a_file_is_the_network_in_its_own_runtime(
    model: str,
    kind: str,
    pixels: str,
    half: bool,
    metadata: Callable[[Path], dict[str, str]],
    request: pytest.FixtureRequest,
    tmp_path: Path,
    photo: Photo,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = request.getfixturevalue(model)
    wanted = formats.FORMATS[kind]
    for package in wanted.packages:
        pytest.importorskip(package)
    monkeypatch.setattr(formats, "SIZES", ((20, 12), (1, 5), (7, 5), (33, 65)))
    path = tmp_path / f"{folder.name}{wanted.ending}"
    found = export(folder, path, kind, pixels=pixels, half=half)
    assert json.loads((tmp_path / f"{path.name}.json").read_text()) == [
        asdict(one) for one in found
    ]
    size = sum(file.stat().st_size for file in tmp_path.iterdir())
    parameters = sum(array.size for array in read_model(folder).arrays.values())
    # Each kernel of a doubling is in the file as four.
    assert size < 2.8 * parameters if half else size > 4 * parameters

    told = metadata(path)
    assert set(told) >= METADATA and told["style"] == folder.name
    assert f"naming: {folder.name}" in told["conf"]
    assert "dataset:" not in told["conf"]  # a place on this machine
    picture = photo(37, 51)
    run = wanted.load(path, pixels)
    stylized = run(picture[None] if pixels == "uint8" else picture[None].astype(np.float32))[0]
    expected = Stylizer(folder, "tensorflow", "float32")(picture).astype(float)
    assert np.abs(stylized - expected).max() <= (2 if half else 1)


@pytest.mark.parametrize("kind", ["onnx", "openvino"])
def test_a_file_that_does_not_agree_is_not_kept(
    trained_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    wanted = formats.FORMATS[kind]
    for package in wanted.packages:
        pytest.importorskip(package)
    monkeypatch.setattr(graph, "OUTPUT_GAIN", 0.07)
    monkeypatch.setattr(formats, "SIZES", ((20, 12),))
    message = rf"the {wanted.title} is [0-9.]+ grey levels off the network"
    with pytest.raises(RuntimeError, match=message):
        export(trained_model, tmp_path / f"tiny{wanted.ending}", kind)
    assert list(tmp_path.iterdir()) == []


def test_nan_at_any_size_is_not_agreement(
    trained_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    wanted = formats.FORMATS["openvino"]

    def load(path: Path, pixels: str) -> formats.Run:
        run = wanted.load(path, pixels)
        return lambda pictures: run(pictures) * np.float32(np.nan if len(pictures[0]) == 9 else 1)

    monkeypatch.setitem(formats.FORMATS, "openvino", dataclasses.replace(wanted, load=load))
    monkeypatch.setattr(formats, "SIZES", ((20, 12), (9, 7), (12, 20)))
    with pytest.raises(RuntimeError, match="is nan grey levels off the network"):
        export(trained_model, tmp_path / "tiny.xml", "openvino", pixels="float")


def test_a_missing_package_is_named_with_its_extra(
    trained_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"onnx: needs onnx, onnxruntime: pip install .*\[onnx\]"):
        export(trained_model, tmp_path / "tiny.onnx", "onnx")
