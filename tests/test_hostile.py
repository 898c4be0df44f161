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

from fast_style.conf.conf_file import load_config
from fast_style.conf.config import Config
from fast_style.errors import UserError
from fast_style.loss.vgg_weights import read_weights
from fast_style.model_folder.model import read_model
from fast_style.model_folder.npz import read_arrays, write_arrays
from fast_style.pictures.images import decode_picture, read_picture
from fast_style.pictures.training_pictures.content_images import ContentImages
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
    lengths = {len(data) - missing for missing in range(1, 40)}
    for length in lengths | {len(data) * 9 // 10, len(data) // 2}:
        try:
            np.testing.assert_array_equal(decode_picture(data[:length], name).rgb, whole)
        except UserError as error:
            assert str(error).startswith(f"{name}: ")


@pytest.mark.parametrize("name", [name for name in hostile_bytes.pictures() if "JPEG" in name])
@pytest.mark.parametrize("behind", [b"", b"\xff", bytes(500), b"trailer" * 9 + b"\xff\xd8\xff\xe0"])
def test_a_jpeg_without_its_end_mark_is_read_whatever_stands_behind_it(
    name: str, behind: bytes
) -> None:
    data = hostile_bytes.pictures()[name]
    whole = decode_picture(data, name).rgb
    np.testing.assert_array_equal(decode_picture(data[:-2] + behind, name).rgb, whole)
    assert decode_picture(data[:-2] + behind, name, at_least=16).rgb.shape < whole.shape


def test_a_jpeg_cut_at_the_end_of_a_restart_interval_or_of_a_scan_lacks_pixels() -> None:
    restarts = hostile_bytes.pictures()["JPEG 4:4:4 restarts"]
    progressive = hostile_bytes.pictures()["JPEG progressive"]
    for data, marker in (
        (restarts, b"\xff\xd3"),
        (restarts, b"\xff\xd7"),
        (progressive, b"\xff\xc4"),
    ):
        assert "truncated" in refusal(decode_picture, data[: data.rindex(marker)], "x")


@pytest.mark.parametrize("kind", [b"tEXt", b"tIME", b"tRNS"])
def test_a_png_with_a_wrong_checksum_beside_its_pixels_is_read(kind: bytes) -> None:
    data = hostile_bytes.pictures()["PNG rgb"]
    wrong = struct.pack(">I", 7) + kind + b"A\0notes" + bytes(4)
    for at in (33, data.index(b"IDAT") - 4, len(data) - 12):
        found = decode_picture(data[:at] + wrong + data[at:], "x")
        np.testing.assert_array_equal(found.rgb, decode_picture(data, "x").rgb)
        assert found.alpha is None
    damaged = bytearray(data)
    damaged[20] ^= 16  # of the header, without which there are no pixels
    refusal(decode_picture, bytes(damaged), "x")


def test_a_png_without_its_end_and_one_with_more_than_its_pixels_are_read() -> None:
    rgb = hostile_bytes.pixels()
    rows = b"".join(b"\0" + row.tobytes() for row in rgb)
    surplus = hostile_bytes.png(
        rgb.shape[1], rgb.shape[0], 8, 2, 0, zlib.compress(rows + bytes(99))
    )
    for data in (surplus, surplus[:-12], surplus[:-5]):
        np.testing.assert_array_equal(decode_picture(data, "x").rgb, rgb)


@pytest.mark.parametrize("end", [b"", bytes(30), b"\0;", b"\0\0;"])
def test_a_gif_is_read_whatever_its_end(end: bytes) -> None:
    data = hostile_bytes.pictures()["GIF plain"]
    np.testing.assert_array_equal(
        decode_picture(data[:-1] + end, "x").rgb, decode_picture(data, "x").rgb
    )


@pytest.mark.parametrize("rows", [66, 130, 6500])
@pytest.mark.parametrize(
    "name", ["PNG rgb", "PNG bits", "PNG interlaced", "TIFF plain", "TIFF deflate", "TIFF float"]
)
def test_more_rows_than_there_are_pixels_for_are_refused(name: str, rows: int) -> None:
    data = hostile_bytes.pictures()[name]
    right, said = (
        struct.pack(">I" if name.startswith("PNG") else "<I", value) for value in (65, rows)
    )
    data = hostile_bytes.with_right_checksums(data.replace(right, said, 1))
    assert "is damaged or cut short" in refusal(decode_picture, data, "x")


def test_a_jpeg_of_a_few_bytes_has_not_millions_of_pixels() -> None:
    image = hostile_bytes.Image.new("L", (4000, 3000), 255)
    for options in ({}, {"optimize": True}, {"progressive": True}):
        data = bytearray(hostile_bytes.saved(image, "JPEG", quality=1, **options))
        assert decode_picture(bytes(data), "x").rgb.shape == (3000, 4000, 3)
        frame = data.index(b"\xff\xc2" if "progressive" in options else b"\xff\xc0")
        data[frame + 5 : frame + 9] = struct.pack(">HH", 12_000, 14_000)
        if 2048 * len(data) < 12_000 * 14_000:
            assert "fewer pixels than it says" in refusal(decode_picture, bytes(data), "x")


def grainy(sigma: float, seed: int) -> np.ndarray:
    down, across = np.mgrid[0:96, 0:128]
    light = 60 + 120 * across / 128 + 40 * np.sin(down / 20)
    grain = np.random.default_rng(seed).normal(0, sigma, (96, 128, 3))
    return np.clip(light[..., None] + grain, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("quality", [50, 95, 98, 100])
@pytest.mark.parametrize("sigma", [0, 5, 20, 40])
@pytest.mark.parametrize(
    "options",
    [{"subsampling": 0}, {"subsampling": 2}, {"progressive": True}, {"restart_marker_rows": 1}],
)
def test_grainy_jpegs_are_read(quality: int, sigma: float, options: dict[str, Any]) -> None:
    for seed in range(3):
        colour = hostile_bytes.Image.fromarray(grainy(sigma, seed))
        for image in (colour, colour.convert("L"), colour.convert("CMYK")):
            data = hostile_bytes.saved(image, "JPEG", quality=quality, **options)
            assert decode_picture(data, "x").rgb.shape == (96, 128, 3)


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
            config = Config(naming="a", dataset=str(path), image_size=32, batch_size=1)
            for read in (
                lambda path: read_picture(path).rgb,
                lambda _, config=config: ContentImages(config).batch(0),
            ):
                try:
                    assert read(path).dtype == np.uint8
                except UserError as error:
                    assert str(error).isprintable()


def test_intact_files_of_several_encoders_are_read() -> None:
    for package in ("av", "cv2"):
        pytest.importorskip(package)
    from tests.stress import intact_pictures

    for number, (name, encode) in enumerate(list(intact_pictures.ENCODERS.items()) * 12):
        rng = np.random.default_rng(number)
        words, data = encode(list(intact_pictures.SOURCES.values())[number % 5](rng), rng)
        assert intact_pictures.finding(data) is None, (name, words)


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
        ("naming: " + "[" * 100_000, "nested too deeply"),
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
        (npy(HEADER.format("<f4", 2**40)), "damaged"),
        (npy(HEADER.format("<f4", -4), bytes(16)), "damaged"),
        (npy(HEADER.format("|O", 1), b"cos\nsystem\n(S'touch ran'\ntR."), "allow_pickle=False"),
        (npy(HEADER.format("<f4", 2), bytes(4)), "damaged"),
        (npy(HEADER.format("<f2", 4), bytes(16)), "has more bytes than its dtype and shape need"),
        (b"no array", "damaged"),
    ],
)
def test_arrays_that_lie_are_refused(tmp_path: Path, entry: bytes, said: str) -> None:
    assert said in refusal(read_arrays, npz(tmp_path / "weights.npz", array=entry))


def test_an_npz_bomb_is_refused_before_it_is_inflated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fast_style.model_folder.npz.MOST_BYTES", 10_000_000)
    zeros = npy(HEADER.format("<f4", 2**20), bytes(2**22))
    entries = {f"array{number}": zeros for number in range(3)}
    path = npz(tmp_path / "weights.npz", zipfile.ZIP_DEFLATED, **entries)
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("it was inflated"))
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
    assert "decompresses to more than" in refusal(read_weights, "vgg_16", str(path))


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
