"""Files of unknown origin: pictures, confs and weights that are damaged or mean harm."""

import json
import random
import struct
import time
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from fast_style.checkpoints import read_model
from fast_style.conf_file import load_config
from fast_style.errors import UserError
from fast_style.loss.vgg_weights import read_weights
from fast_style.npz import read_arrays, write_arrays
from fast_style.pictures.content_images import ContentImages
from fast_style.pictures.images import decode_picture, read_picture
from tests.stress import hostile_bytes


def refusal(read, *args: Any, **options: Any) -> str:
    with pytest.raises(UserError) as error:
        read(*args, **options)
    message = str(error.value)
    assert message.isprintable() and len(message) < 2000
    return message


# Pictures


@pytest.mark.parametrize("name", hostile_bytes.pictures())
def test_a_picture_that_lacks_its_end_is_refused_or_lacks_nothing(name: str) -> None:
    data = hostile_bytes.pictures()[name]
    whole = decode_picture(data, name).rgb
    for length in {len(data) - 1, len(data) - 2, len(data) * 9 // 10, len(data) // 2}:
        try:
            np.testing.assert_array_equal(decode_picture(data[:length], name).rgb, whole)
        except UserError as error:
            assert str(error).startswith(f"{name}: ")


@pytest.mark.parametrize("place", [20, -5, "iCCP", "eXIf", "IDAT"])
def test_every_byte_of_a_png_has_a_checksum(place: int | str) -> None:
    data = bytearray(hostile_bytes.pictures()["PNG rgb"])
    at = data.index(place.encode()) + 20 if isinstance(place, str) else place % len(data)
    data[at] ^= 16
    refusal(decode_picture, bytes(data), "x")


@pytest.mark.parametrize("rows", [32, 64, 66, 130])
@pytest.mark.parametrize("name", ["PNG rgb", "PNG interlaced", "TIFF plain", "TIFF deflate"])
def test_another_height_than_the_pixels_have_is_refused(name: str, rows: int) -> None:
    data = hostile_bytes.pictures()[name]
    right, wrong = (
        struct.pack(">I" if name.startswith("PNG") else "<I", value) for value in (65, rows)
    )
    data = hostile_bytes.with_right_checksums(data.replace(right, wrong, 1))
    assert "pixels than it says" in refusal(decode_picture, data, "x")


@pytest.mark.parametrize("rows", [32, 97, 600])
@pytest.mark.parametrize(
    "name", ["JPEG plain", "JPEG progressive", "JPEG 4:4:4 restarts", "JPEG cmyk", "GIF plain"]
)
def test_another_height_than_the_data_have_is_refused(name: str, rows: int) -> None:
    data = bytearray(hostile_bytes.pictures()[name])
    if name.startswith("JPEG"):
        at = data.index(b"\xff\xc2" if "progressive" in name else b"\xff\xc0") + 5
        data[at : at + 2] = struct.pack(">H", rows)
    else:
        at = data.index(b",\0\0\0\0") + 7
        data[at : at + 2] = struct.pack("<H", rows)
    refusal(decode_picture, bytes(data), "x")


@pytest.mark.parametrize("value", [0, 127, 128, 255])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_a_flat_jpeg_is_whole(value: int, options: dict[str, Any]) -> None:
    image = hostile_bytes.Image.new("RGB", (70, 33), (value,) * 3)
    rgb = decode_picture(hostile_bytes.saved(image, "JPEG", **options), "x").rgb
    assert np.abs(rgb.astype(int) - value).max() <= 1


@pytest.mark.parametrize("name", hostile_bytes.bombs())
def test_a_bomb_is_refused_or_harmless(name: str) -> None:
    data, pictured = hostile_bytes.bombs()[name]
    began = time.process_time()
    if pictured:
        decode_picture(data, name)
    else:
        refusal(decode_picture, data, name)
    assert time.process_time() - began < 5


def test_damaged_pictures_of_every_format_give_a_picture_or_one_line(tmp_path: Path) -> None:
    rng = random.Random(5)
    for name, data in hostile_bytes.pictures().items():
        for damage in (hostile_bytes.flipped, hostile_bytes.with_noise, hostile_bytes.cut_short):
            path = tmp_path / f"a\n{name.replace('/', '')}\x1b[31m.png"
            path.write_bytes(damage(data, rng))
            for read in (
                lambda path: read_picture(path).rgb,
                lambda path: ContentImages(str(path), image_size=32, batch_size=1, seed=0).batch(0),
            ):
                try:
                    assert read(path).dtype == np.uint8
                except UserError as error:
                    assert str(error).isprintable()


# Confs


def conf(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "conf.yml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(20)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, "is an alias"),
        ("style_image: &a [*a]\n", "is an alias"),
        ("naming: !!python/object/apply:os.system ['touch ran']\n", "could not determine"),
        ("naming: !!python/name:os.system\n", "could not determine"),
        ("naming: " + "[" * 100_000, "lists in lists"),
        ("steps: " + "9" * 10_000, "is not valid YAML"),
        ("steps: 2001-99-99\n", "is not valid YAML"),
        ("steps: 0x" + "f" * 90_000, "more than 64 bits"),
        ("".join(f"key{n}: {n}\n" for n in range(500_000)), "is too large; at most 1,000,000"),
        ("naming: " + "x" * 900_000, "is not"),
        ('naming: "a\\0b"\nstyle_image: img/sample.jpg\n', "is not a name in letters"),
        ("naming: ../../outside\nstyle_image: img/sample.jpg\n", "is not a name in letters"),
        ("base: conf.yml\n", "leads back"),
    ],
)
def test_a_conf_that_means_harm_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    path = conf(tmp_path, text)
    monkeypatch.chdir(tmp_path)
    message = refusal(load_config, path)
    assert said in message or "unknown key" in message or "is missing" in message
    assert not (tmp_path / "ran").exists()


def test_a_device_is_no_conf() -> None:
    assert "is too large" in refusal(load_config, "/dev/zero")


# Weights


def npy(header: str, content: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content


def npz(path: Path, compression: int = zipfile.ZIP_STORED, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(f"{name}.npy", data)
    return path


HEADER = "{{'descr': '{}', 'fortran_order': False, 'shape': ({},), }}"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (npy(HEADER.format("<f4", 2**40)), "has 0 bytes"),
        (npy(HEADER.format("<f4", -4), bytes(16)), "says float32"),
        (npy(HEADER.format("|O", 1), b"cos\nsystem\n(S'touch ran'\ntR."), "not of numbers"),
        (npy(HEADER.format("<f4", 2), bytes(4)), "has 4 bytes"),
        (b"no array", "damaged"),
    ],
)
def test_arrays_that_lie_are_refused(tmp_path: Path, entry: bytes, said: str) -> None:
    assert said in refusal(read_arrays, npz(tmp_path / "weights.npz", array=entry))


def test_an_npz_bomb_is_refused_before_it_is_inflated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fast_style.npz.MOST_BYTES", 10_000_000)
    monkeypatch.setattr("fast_style.npz._array", lambda *_: pytest.fail("it was inflated"))
    zeros = npy(HEADER.format("<f4", 2**20), bytes(2**22))
    entries = {f"array{number}": zeros for number in range(3)}
    path = npz(tmp_path / "weights.npz", zipfile.ZIP_DEFLATED, **entries)
    assert "at most" in refusal(read_arrays, path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e12])
def test_weights_that_no_network_has_are_refused_by_name(
    tmp_path: Path, trained_model: Path, conf_values: dict[str, Any], value: float
) -> None:
    model = read_model(trained_model)
    name = next(name for name in model.arrays if name.endswith("kernel"))
    arrays = {key: array.copy() for key, array in model.arrays.items()}
    arrays[name].flat[7] = value
    write_arrays(tmp_path / "weights.npz", arrays)
    (tmp_path / "conf.yml").write_bytes((trained_model / "conf.yml").read_bytes())
    assert name in refusal(read_model, tmp_path)
    loss = read_arrays(Path(conf_values["loss_model_file"]))
    loss["block2_conv1/bias"] = loss["block2_conv1/bias"].astype(np.float32)
    loss["block2_conv1/bias"][3] = value
    write_arrays(tmp_path / "loss.npz", loss)
    message = refusal(read_weights, "vgg_16_half", str(tmp_path / "loss.npz"))
    assert "block2_conv1/bias" in message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("output", "os.system"),
        ("naming", ["a"]),
        ("naming", "../../outside"),
        ("style_images", {"../outside": "x.png"}),
        ("style_images", 7),
        ("artwork", {"a": 1}),
    ],
)
def test_a_model_folders_conf_is_of_the_right_kinds(
    tmp_path: Path, trained_model: Path, key: str, value: Any
) -> None:
    values = yaml.safe_load((trained_model / "conf.yml").read_text())
    (tmp_path / "conf.yml").write_text(yaml.safe_dump(values | {key: value}))
    (tmp_path / "weights.npz").write_bytes((trained_model / "weights.npz").read_bytes())
    refusal(read_model, tmp_path)


@pytest.mark.parametrize("header", ["[" * 100_000, "{}", json.dumps({"step": "one"}), "7"])
def test_a_checkpoint_with_a_header_of_another_program_is_passed_over(
    tmp_path: Path, header: str
) -> None:
    (tmp_path / "checkpoints").mkdir()
    write_arrays(tmp_path / "checkpoints" / "00000001.npz", {"header": np.array(header)})
    assert "holds no model" in refusal(read_model, tmp_path)


def test_a_mat_bomb_is_refused_before_scipy_inflates_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fast_style.loss.matlab_file.MOST_BYTES", 1_000_000)
    packed = zlib.compress(bytes(2_000_000))
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    path = tmp_path / "vgg.mat"
    path.write_bytes(head + struct.pack("<II", 15, len(packed)) + packed)
    assert "inflates to more than" in refusal(read_weights, "vgg_16", str(path))


def test_h5_arrays_that_claim_any_size_or_stand_elsewhere_are_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "vgg.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("block1_conv1/kernel", (2**20, 2**20), np.float32, chunks=(64, 64))
    assert "larger than any" in refusal(read_weights, "vgg_16", str(path))
    (tmp_path / "secret").write_bytes(bytes(256))
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "block1_conv1/bias", (64,), np.float32, external=[(str(tmp_path / "secret"), 0, 256)]
        )
    assert "another file" in refusal(read_weights, "vgg_16", str(path))


def test_a_message_is_one_short_line() -> None:
    assert str(UserError("a\nb\x1b[31m\udcff")) == "a b\\x1b[31m\\udcff"
    assert len(str(UserError("x" * 10**6))) < 2000


def test_seeds_are_whole() -> None:
    for name, data in hostile_bytes.pictures().items():
        assert decode_picture(data, name).rgb.shape == (*hostile_bytes.SIDES, 3)
    for name, data in hostile_bytes.foreign().items():
        assert "is not a JPEG" in refusal(decode_picture, data, name)
