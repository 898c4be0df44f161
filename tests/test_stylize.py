"""Pictures and files through a trained model."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image, ImageCms

from fast_style.errors import UserError
from fast_style.model_folder import layout
from fast_style.model_folder.layout import find_model_folder
from fast_style.model_folder.model import copy_model, load_network, read_model
from fast_style.pictures.guided_upsampling import enlarged
from fast_style.pictures.images import Picture, read_picture, write_picture
from fast_style.pictures.pixels import resize
from fast_style.stylize import files as stylize_files_module
from fast_style.stylize import stylizer as stylizer_module
from fast_style.stylize.files import stylize_files
from fast_style.stylize.stylization import Stylization
from fast_style.stylize.stylizer import Stylizer

Photo = Callable[..., np.ndarray]

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SIZES = [(1, 1), (1, 40), (7, 5), (33, 65), (64, 48)]


@pytest.fixture(scope="module")
def stylizer(trained_model: Path) -> Stylizer:
    return Stylizer(trained_model, "tensorflow", "float32")


@pytest.fixture(scope="module")
def of_each_network(model_of_each_network: Path) -> Stylizer:
    return Stylizer(model_of_each_network, "tensorflow", "float32")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is also the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(model: Path | str, inputs: list[Path], output: Path | None = None, **how: Any) -> int:
    settings = {"runtime": "tensorflow", "precision": "float32", **how}
    return stylize_files(str(model), [str(path) for path in inputs], output, **settings)


def complaint(model: Path | str, inputs: list[Path], output: Path | None = None, **how: Any) -> str:
    with pytest.raises(UserError) as error:
        run(model, inputs, output, **how)
    assert "\n" not in str(error.value)
    return str(error.value)


def files_below(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


# One picture


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_stylized_image_has_exactly_the_size_and_is_the_networks(
    of_each_network: Stylizer,
    model_of_each_network: Path,
    photo: Photo,
    height: int,
    width: int,
) -> None:
    rgb = photo(height, width)
    stylized = of_each_network(rgb)
    assert stylized.shape == rgb.shape and stylized.dtype == np.uint8
    network = load_network(model_of_each_network)
    expected = np.clip(np.asarray(network(rgb[None].astype(np.float32)))[0], 0, 255)
    assert np.abs(stylized - expected).max() <= 0.51


@pytest.mark.parametrize("runtime", ["tensorflow", "openvino"])
def test_a_folder_that_names_no_network_has_the_papers(
    trained_model: Path, medium_model: Path, folder: Path, photo: Photo, runtime: str
) -> None:
    pytest.importorskip(runtime)
    for model in (trained_model, medium_model):
        older = read_model(model)
        older.conf.pop("network")
        (folder / model.name).mkdir()
        copy_model(older, folder / model.name)
    rgb = photo(33, 65)
    expected = Stylizer(trained_model, runtime, "float32")(rgb)
    found = Stylizer(folder / trained_model.name, runtime, "float32")(rgb)
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(UserError, match=r"conv1/kernel .* another network"):
        Stylizer(folder / medium_model.name, runtime, "float32")


def test_a_network_that_there_is_not_is_named(trained_model: Path, folder: Path) -> None:
    copy_model(read_model(trained_model), folder)
    conf = yaml.safe_load((folder / "conf.yml").read_text()) | {"network": "meduim"}
    (folder / "conf.yml").write_text(yaml.safe_dump(conf))
    with pytest.raises(UserError) as told:
        Stylizer(folder)
    assert (
        str(told.value)
        == f"{folder}/conf.yml: network: 'meduim' is not valid; did you mean 'medium'?"
    )


def test_huge_pictures_are_read_when_they_are_asked_for(
    trained_model: Path, folder: Path, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_picture(folder / "a.png", Picture(photo(20, 30)))
    monkeypatch.setattr(stylize_files_module, "MAX_PIXELS", 599)
    with pytest.raises(UserError, match=r"30x20 is 600 pixels; at most 599 .*; --allow-huge"):
        run(trained_model, [folder / "a.png"], folder / "b.png")
    assert run(trained_model, [folder / "a.png"], folder / "b.png", allow_huge=True) == 0
    assert read_picture(folder / "b.png").rgb.shape == (20, 30, 3)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_larger_strokes_are_those_of_a_smaller_picture(
    stylizer: Stylizer, photo: Photo, height: int, width: int
) -> None:
    picture = Picture(photo(height, width))
    larger = stylizer.stylize(picture, Stylization(scale=3)).rgb
    assert larger.shape == picture.rgb.shape
    small = resize(picture.rgb, max(1, round(height / 3)), max(1, round(width / 3)))
    np.testing.assert_array_equal(larger, enlarged(stylizer(small), small, picture.rgb))


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_smaller_strokes_are_those_of_a_larger_picture(
    stylizer: Stylizer, photo: Photo, height: int, width: int
) -> None:
    picture = Picture(photo(height, width))
    smaller = stylizer.stylize(picture, Stylization(scale=0.5)).rgb
    large = resize(picture.rgb, 2 * height, 2 * width)
    np.testing.assert_array_equal(smaller, resize(stylizer(large), height, width))


def test_openvino_takes_one_size_after_the_other(
    stylizer: Stylizer, trained_model: Path, photo: Photo
) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is an optional extra")
    other = Stylizer(trained_model, "openvino", "float32")
    wide, high = photo(24, 40), photo(44, 20)
    expected = {id(picture): stylizer(picture).astype(int) for picture in (wide, high)}
    for picture in (wide, wide, high, wide, high, high):
        assert np.abs(other(picture) - expected[id(picture)]).max() <= 1


def test_openvino_compiles_seldom(trained_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openvino_network = pytest.importorskip("fast_style.runtimes.openvino_network")
    compiled: list[bool] = []
    compile_for_cpu = openvino_network.compile_for_cpu

    def noted(model, precision):
        compiled.append(not model.is_dynamic())  # for one shape
        return compile_for_cpu(model, precision)

    monkeypatch.setattr(openvino_network, "compile_for_cpu", noted)
    small, wide = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 8, 3), np.uint8)
    many = openvino_network.MANY
    for pictures, expected in [
        ([small], [True]),
        ([small] * 2 * many, [True]),
        ([small, wide, wide, small, wide], [True, False]),
        ([small] + [wide] * 3 * many, [True, False, True]),
        ([small] + [wide] * many + [small], [True, False, True, False]),
    ]:
        compiled.clear()
        stylizer = Stylizer(trained_model, "openvino")
        for picture in pictures:
            stylizer(picture)
        assert compiled == expected


def test_openvino_gives_what_tensorflow_gives(
    of_each_network: Stylizer, model_of_each_network: Path, photo: Photo
) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is an optional extra")
    other = Stylizer(model_of_each_network, "openvino", "float32")
    assert other.runtime == "openvino"
    # Not 1 x 1: of a constant picture, instance normalization makes rounding errors the content.
    for height, width in [(1, 5), *SIZES[1:]]:
        rgb = photo(height, width)
        difference = of_each_network(rgb).astype(int) - other(rgb)
        assert np.abs(difference).max() <= 1


def test_ctrl_c_after_a_network_was_dropped_in_another_thread(trained_model: Path) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is an optional extra")
    program = f"""
import signal, threading
from pathlib import Path
from fast_style.pictures.pixels import resize
from fast_style.stylize.stylizer import Stylizer
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the shell ignores it
held = [Stylizer(Path({str(trained_model)!r}), "openvino")]
dropping = threading.Thread(target=held.clear)
dropping.start()
dropping.join()
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "interrupted\n")


def test_alpha_and_icc_profile_come_through_and_the_input_stays(
    stylizer: Stylizer, photo: Photo
) -> None:
    rgb, alpha = photo(20, 30), photo(20, 30, seed=1)[..., 0]
    picture = Picture(rgb.copy(), alpha, SRGB)
    stylized = stylizer.stylize(picture)
    assert stylized.alpha is alpha and stylized.icc_profile == SRGB
    np.testing.assert_array_equal(stylized.rgb, stylizer(rgb))
    np.testing.assert_array_equal(picture.rgb, rgb)


def test_strength_blends_from_the_content_image_to_the_stylized_one(
    stylizer: Stylizer, photo: Photo
) -> None:
    picture = Picture(photo(24, 17))
    full = stylizer.stylize(picture).rgb.astype(float)
    assert np.abs(full - picture.rgb).mean() > 5
    none = stylizer.stylize(picture, Stylization(strength=0)).rgb
    np.testing.assert_array_equal(none, picture.rgb)
    np.testing.assert_array_equal(stylizer.stylize(picture, Stylization(strength=1)).rgb, full)
    quarter = stylizer.stylize(picture, Stylization(strength=0.25)).rgb
    assert np.abs(quarter - (0.75 * picture.rgb + 0.25 * full)).max() <= 0.5


def test_preserve_color_takes_luma_from_one_and_chroma_from_the_other(
    stylizer: Stylizer, photo: Photo
) -> None:
    # Content of little contrast, because a style of random weights clips much of the rest.
    content = (photo(24, 17) // 4 + 96).astype(np.uint8)
    kept = stylizer.stylize(Picture(content), Stylization(preserve_color=True)).rgb
    inside = (kept > 0).all(axis=-1) & (kept < 255).all(axis=-1)
    assert inside.mean() > 0.25

    def luma_and_chroma(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        red, green, blue = np.moveaxis(rgb.astype(float), -1, 0)
        luma = 0.299 * red + 0.587 * green + 0.114 * blue
        return luma, np.stack([(blue - luma) / 1.772, (red - luma) / 1.402], axis=-1)

    luma, chroma = luma_and_chroma(kept)
    _, content_chroma = luma_and_chroma(content)
    stylized_luma, _ = luma_and_chroma(stylizer(content))
    # Rounding to whole grey levels is all that differs.
    assert np.abs(chroma - content_chroma)[inside].max() <= 0.6
    assert np.abs(luma - stylized_luma)[inside].max() <= 0.51


def test_max_size_shrinks_the_long_side_and_never_enlarges(
    stylizer: Stylizer, photo: Photo
) -> None:
    picture = Picture(photo(30, 60), alpha=photo(30, 60)[..., 0])
    small = stylizer.stylize(picture, Stylization(max_size=20))
    assert small.rgb.shape == (10, 20, 3) and small.alpha is not None
    assert small.alpha.shape == (10, 20)
    assert stylizer.stylize(picture, Stylization(max_size=61)).rgb.shape == (30, 60, 3)


# Files


def test_a_folder_is_mirrored_and_a_bad_file_does_not_stop_the_others(
    folder: Path,
    stylizer: Stylizer,
    trained_model: Path,
    photo: Photo,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / "in" / "deep").mkdir(parents=True)
    write_picture(folder / "in" / "a.png", Picture(photo(9, 11), photo(9, 11)[..., 1], SRGB))
    write_picture(folder / "in" / "deep" / "a.bmp", Picture(photo(12, 8)))
    Image.fromarray(photo(7, 6)).save(folder / "in" / "deep" / "b.gif")
    (folder / "in" / "b.jpg").write_text("no picture")
    (folder / "in" / "notes.txt").write_text("mine")
    assert run(trained_model, [folder / "in"], folder / "out") == 1
    assert files_below(folder / "out") == {"a-tiny.png", "deep/a-tiny.bmp", "deep/b-tiny.png"}
    written = read_picture(folder / "out" / "a-tiny.png")
    np.testing.assert_array_equal(written.rgb, stylizer(photo(9, 11)))
    np.testing.assert_array_equal(written.alpha, photo(9, 11)[..., 1])
    assert written.icc_profile == SRGB
    output = capsys.readouterr()
    errors = [line for line in output.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "b.jpg: is not a JPEG" in errors[0]
    done = [line for line in output.out.splitlines() if line.endswith(" s")]
    assert len(done) == 3 and any("a-tiny.png  11x9  " in line for line in done)


def test_one_picture_goes_where_output_says_or_into_stylized(
    folder: Path, trained_model: Path, photo: Photo
) -> None:
    write_picture(folder / "a.png", Picture(photo(8, 8)))
    assert run(trained_model, [folder / "a.png"]) == 0
    small = Stylization(max_size=4)
    assert run(trained_model, [folder / "a.png"], folder / "new" / "b.webp", how=small) == 0
    assert files_below(folder) == {"a.png", "stylized/a-tiny.png", "new/b.webp"}
    assert read_picture(folder / "new" / "b.webp").rgb.shape == (4, 4, 3)


def test_a_bad_file_alone_is_told_and_nothing_is_written(folder: Path, trained_model: Path) -> None:
    (folder / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    assert complaint(trained_model, [folder / "cut.jpg"]).startswith(f"{folder / 'cut.jpg'}: is ")
    assert list(folder.iterdir()) == [folder / "cut.jpg"]


def test_a_wrong_model_is_told_and_nothing_is_written(folder: Path, photo: Photo) -> None:
    write_picture(folder / "a.png", Picture(photo(8, 8)))
    assert complaint("models/none", [folder / "a.png"]).startswith("models/none: no such model")
    assert list(folder.iterdir()) == [folder / "a.png"]


def test_two_pictures_that_would_become_one_file_are_refused(
    folder: Path, trained_model: Path, photo: Photo
) -> None:
    for name in ("one", "two"):
        (folder / name).mkdir()
        write_picture(folder / name / "a.png", Picture(photo(8, 8)))
    message = complaint(trained_model, [folder / "one", folder / "two"])
    assert str(folder / "one" / "a.png") in message and str(folder / "two" / "a.png") in message
    assert "would both become stylized/a-tiny.png" in message
    assert not (folder / "stylized").exists()


def test_the_same_picture_named_twice_is_done_once(
    folder: Path, trained_model: Path, photo: Photo, capsys: pytest.CaptureFixture[str]
) -> None:
    write_picture(folder / "a.png", Picture(photo(8, 8)))
    assert run(trained_model, [folder / "a.png", folder / "*.png"]) == 0
    assert capsys.readouterr().out.count("a-tiny.png") == 1


def test_an_output_that_cannot_be_is_named(folder: Path, trained_model: Path, photo: Photo) -> None:
    for name in ("a.png", "b.png"):
        write_picture(folder / name, Picture(photo(8, 8)))
    one, both = [folder / "a.png"], [folder / "a.png", folder / "b.png"]
    (folder / "file").write_text("mine")
    before = files_below(folder)
    assert "out.txt: is not a picture's name" in complaint(trained_model, one, Path("out.txt"))
    assert "file: is a file; 2 pictures need a folder" in complaint(
        trained_model, both, folder / "file"
    )
    assert "cannot be made" in complaint(trained_model, one, folder / "file" / "deep" / "out.png")
    assert "no such file or folder" in complaint(trained_model, [folder / "none.png"])
    assert files_below(folder) == before


# Models


def test_a_mistyped_model_suggests_one_that_is_there(trained_model: Path) -> None:
    with pytest.raises(UserError, match=f"no such model folder; did you mean '{trained_model}'"):
        Stylizer(trained_model.with_name("tinny"), "tensorflow")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no model \(no weights\.npz with conf\.yml"):
        Stylizer(tmp_path, "tensorflow")


@pytest.mark.parametrize("runtime", ["tensorflow", "openvino"])
def test_damaged_weights_or_another_networks_are_refused(
    tmp_path: Path, trained_model: Path, runtime: str
) -> None:
    pytest.importorskip(runtime)
    model = shutil.copytree(trained_model, tmp_path / "tiny")
    weights = model / "weights.npz"
    data = weights.read_bytes()
    weights.write_bytes(data[:-100])
    with pytest.raises(UserError, match=r"weights\.npz: is damaged"):
        Stylizer(model, runtime)
    np.savez(weights, **{"network/conv1/kernel": np.zeros((3, 3, 3, 8), np.float32)})
    with pytest.raises(UserError, match=r"conv1/kernel of shape \(9, 9, 3, 32\) is needed"):
        Stylizer(model, runtime)


def test_a_model_that_ships_is_taken_and_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(layout, "SHIPPED", folder / "box" / "pretrained")
    shipped = folder / "box" / "pretrained" / "candy"
    shipped.mkdir(parents=True)
    assert find_model_folder("models/candy") == shipped
    assert f"models/candy does not exist; {shipped} is used" in caplog.text
    Path("models/candy").mkdir(parents=True)
    assert find_model_folder("models/candy") == Path("models/candy")


@pytest.mark.parametrize(("below", "model"), [("", "."), ("", "./"), ("previews", "..")])
def test_a_model_named_by_dots_names_outputs_by_its_folder(
    trained_model: Path,
    photo: Photo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    below: str,
    model: str,
) -> None:
    write_picture(tmp_path / "a.png", Picture(photo(20, 30)))
    monkeypatch.chdir(trained_model / below)
    output = tmp_path / "out"
    output.mkdir()
    assert run(model, [tmp_path / "a.png"], output) == 0
    assert [path.name for path in output.iterdir()] == ["a-tiny.png"]


def test_openvino_needs_to_be_installed(
    monkeypatch: pytest.MonkeyPatch, trained_model: Path
) -> None:
    monkeypatch.setattr(stylizer_module, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"--runtime openvino: is not installed; pip install"):
        Stylizer(trained_model, "openvino")
    assert Stylizer(trained_model).runtime == "tensorflow"


def test_bfloat16_stays_near_float32(stylizer: Stylizer, trained_model: Path, photo: Photo) -> None:
    rgb = photo(16, 20)
    narrow = Stylizer(trained_model, "tensorflow", "bfloat16")(rgb)
    difference = np.abs(narrow.astype(int) - stylizer(rgb))
    assert 0 < difference.mean() < 4
