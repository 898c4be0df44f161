"""The yardstick: what a network's pictures have of the painting, and what L-BFGS makes of it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from fast_style.conf.conf_file import config_from_mapping
from fast_style.errors import UserError
from fast_style.loss.perceptual_loss import PerceptualLoss
from fast_style.measure import __main__ as program
from fast_style.measure import figures as yardstick
from fast_style.measure import likeness as figures
from fast_style.measure.artefacts import frame_shift, grid_energy
from fast_style.measure.lbfgs_equivalence import iterations_equalled
from fast_style.model_folder.layout import CONF
from fast_style.model_folder.model import copy_model, load_network, read_model
from fast_style.pictures.contact_sheet import GAP, HEADING
from fast_style.pictures.images import Picture, flatten_on_white, read_picture, write_picture
from fast_style.pictures.pixels import square
from fast_style.pictures.style_image import prepare_style_image
from fast_style.stylize.stylizer import Stylizer
from tests.conftest import Photo

SIDE = 128


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures of smaller pictures, from fewer directions."""
    monkeypatch.setattr(figures, "SHORT_SIDE", SIDE)
    monkeypatch.setattr(figures, "STROKE_DIRECTIONS", 16)
    monkeypatch.setattr(figures, "PALETTE_DIRECTIONS", 16)


@pytest.fixture
def model(trained_model: Path, tmp_path: Path) -> Path:
    """A copy of the trained model, which a test may write into."""
    folder = tmp_path / "other"
    folder.mkdir()
    copy_model(read_model(trained_model), folder)
    return folder


def rows(shown: str) -> dict[str, list[str]]:
    """The first table that was printed, row by row: the figures by label."""
    first = shown.split("\n\n")[0].splitlines()
    return {cells[0]: cells[1:] for cells in (line.split() for line in first)}


def run(monkeypatch: pytest.MonkeyPatch, *flags: str | Path) -> None:
    monkeypatch.setattr(sys, "argv", ["measure", *map(str, flags)])
    program.main()


@pytest.mark.parametrize(
    ("total", "iterations"), [(12, 0), (10, 0), (7, 0.75), (6, 1), (5, 1.5), (4, 2), (3, 3), (1, 3)]
)
def test_iterations_equalled_are_read_off_the_curve(total: float, iterations: float) -> None:
    assert iterations_equalled(total, np.array([10.0, 6, 4, 3])) == iterations


def scaled(path: Path) -> np.ndarray:
    return figures.scaled(flatten_on_white(read_picture(path)))


def test_the_figures_are_those_of_the_networks_pictures(
    model: Path,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(monkeypatch, "--model", model, "--images", photos / "[0-2].png", "--sizes", "96")
    painting = figures.looks(scaled(Path(read_model(model).conf["style_image"])))
    stylizer, expected = Stylizer(model), []
    for number in range(3):
        photo = scaled(photos / f"{number}.png")
        assert min(photo.shape[:2]) == SIDE
        expected.append(
            figures.likeness(figures.looks(stylizer(photo)), figures.looks(photo), painting)
        )
    measured = json.loads((model / "measure.json").read_text())
    for name in ("strokes", "palette", "scene", "strokes_by_level"):
        means = np.mean([one[name] for one in expected], axis=0)
        np.testing.assert_allclose(measured["likeness"][name], means, rtol=0.05)
    assert "lbfgs_from" not in measured["sizes"]["96"] and not (model / "measure.png").exists()
    out = capsys.readouterr().out
    shown = rows(out.partition("\n")[2])  # after the sheet's name
    assert shown["photo"] == ["1.00"] * 8 and "L-BFGS" not in out
    assert shown["other"][0] == f"{measured['likeness']['strokes']:.2f}"
    assert shown["other"][1:6] == [f"{x:.2f}" for x in measured["likeness"]["strokes_by_level"]]
    # A measure.json of before these figures.
    del measured["likeness"]
    (model / "measure.json").write_text(json.dumps(measured))
    run(monkeypatch, "--compare", model)
    assert rows(capsys.readouterr().out)["other"] == ["-"] * 4


def test_models_and_pictures_of_other_programs_are_in_one_table_and_sheet(
    model: Path,
    photos: Path,
    photo: Photo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    second = shutil.copytree(model, tmp_path / "second")
    content = scaled(photos / "0.png")
    height, width = content.shape[:2]
    write_picture(tmp_path / "photo.png", Picture(content))
    (tmp_path / "theirs").mkdir()
    write_picture(tmp_path / "theirs" / "photo.png", Picture(content))
    write_picture(tmp_path / "noise.png", Picture(photo(height + 2, width + 1, seed=9)))
    write_picture(tmp_path / "painting.png", Picture(photo(50, 60, seed=9)))
    flags = ["--model", model, "--model", second, "--images", tmp_path / "photo.png"]
    flags += ["--pictures", tmp_path / "theirs" / "photo.png", tmp_path / "noise.png"]
    run(monkeypatch, *flags, "--style-image", tmp_path / "painting.png", "--sizes", "96")
    where, _, out = capsys.readouterr().out.partition("\n")
    shown = rows(out)
    assert list(shown)[1:] == ["photo", "other", "second", "photo.png", "noise.png"]
    assert shown["photo.png"] == shown["photo"] and shown["other"] == shown["second"]
    assert float(shown["noise.png"][6]) < 0.5  # the palette, as it is a part of the painting's
    assert Path(where) == model / "contact_sheet.jpg"
    sheet = read_picture(where).rgb
    painting_width = scaled(tmp_path / "painting.png").shape[1]
    assert sheet.shape == (HEADING + height + GAP, 5 * width + painting_width + 7 * GAP, 3)
    left = width + painting_width + 3 * GAP
    tile = sheet[HEADING : HEADING + height, left : left + width].astype(float)
    assert np.abs(tile - Stylizer(model)(content)).mean() < 8
    assert {(folder / "measure.json").exists() for folder in (model, second)} == {True}


def test_the_grid_is_that_of_each_models_own_network(
    model: Path, medium_model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    medium = tmp_path / "medium"
    medium.mkdir()
    copy_model(read_model(medium_model), medium)
    file = photos / "0.png"
    run(monkeypatch, "--model", model, medium, "--images", file, "--sizes", "96")
    content = square(flatten_on_white(read_picture(file)), 96)
    for folder, period in [(model, 4), (medium, 8)]:
        measured = json.loads((folder / "measure.json").read_text())
        found = measured["sizes"]["96"]["artefacts"]
        assert found["grid_of_content"] == pytest.approx(grid_energy(content, period))
        stylized = Stylizer(folder)(content)
        # A network that is compiled for another shape rounds elsewhere.
        assert found["grid"] == pytest.approx(grid_energy(stylized, period), rel=0.15)


def test_a_painting_that_is_not_there_is_named_by_a_flag(
    model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photo: Photo
) -> None:
    conf = (model / CONF).read_text().splitlines()
    moved = ["style_image: gone.png" if line.startswith("style_image: ") else line for line in conf]
    # Nor need the places of the training be there.
    moved = ["preview_images: [gone.png]" if "preview.png" in line else line for line in moved]
    moved = [line for line in moved if line != "preview_images:"]
    (model / CONF).write_text("\n".join(moved))
    flags = ["--model", model, "--images", photos / "0.png", "--sizes", "96"]
    with pytest.raises(UserError) as error:
        run(monkeypatch, *flags)
    assert "no file gone.png" in str(error.value)
    assert str(error.value).endswith("; --style-image FILE names the painting")
    write_picture(tmp_path / "painting.png", Picture(photo(50, 60, seed=9)))
    run(monkeypatch, *flags, "--style-image", tmp_path / "painting.png")
    assert (model / "measure.json").exists()


def test_the_painting_is_that_of_the_file_without_the_median(model: Path) -> None:
    """Pictures of other programs are compared with it too."""
    conf = yaml.safe_load((model / CONF).read_text())
    (model / CONF).write_text(yaml.safe_dump(conf | {"style_image_median": 3}))
    subject = yardstick.read_subject(model, "median")
    assert subject.config.style_image_median == 3
    original = flatten_on_white(read_picture(conf["style_image"]))
    np.testing.assert_array_equal(subject.painting, original)


@pytest.mark.parametrize(
    ("size", "several", "message"),
    [
        ((60, 40), False, "theirs.png: is 40x60, and the photo is 50x40"),
        ((40, 50), True, "--pictures: needs a single photo; --images names 3"),
    ],
)
def test_pictures_of_another_photo_are_refused(
    size: tuple[int, int],
    several: bool,
    message: str,
    model: Path,
    photos: Path,
    photo: Photo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_picture(tmp_path / "theirs.png", Picture(photo(*size)))
    images = photos / ("[0-2].png" if several else "0.png")
    with pytest.raises(UserError) as error:
        run(
            monkeypatch,
            *["--model", model, "--images", images, "--pictures", tmp_path / "theirs.png"],
        )
    assert message in str(error.value)
    assert not (model / "measure.json").exists()


def test_models_of_different_paintings_have_theirs_on_the_sheet(
    model: Path, several: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = flatten_on_white(read_picture(photos / "0.png"))
    subjects = [
        yardstick.read_subject(model, "one"),
        yardstick.read_subject(several, "two", "wave"),
    ]
    found, sheet = yardstick.compare(subjects, [content])
    assert list(found) == ["photo", "one", "two"]
    height, width = figures.scaled(content).shape[:2]
    paintings = [figures.scaled(subject.painting) for subject in subjects]
    tiles = [round(each.shape[1] * height / each.shape[0]) for each in paintings]
    assert sheet.shape[1] == 3 * width + sum(tiles) + 6 * GAP
    flags = ["--images", photos / "0.png", "--pictures", photos / "0.png"]
    write_picture(tmp_path / "painting.png", Picture(subjects[1].painting))
    second = shutil.copytree(model, tmp_path / "second")
    conf = (second / CONF).read_text()
    named = read_model(model).conf["style_image"]
    (second / CONF).write_text(conf.replace(named, str(tmp_path / "painting.png")))
    with pytest.raises(UserError, match="have different style images; name the painting"):
        run(monkeypatch, "--model", model, second, *flags)


def test_tensorflow_is_not_wanted_where_openvino_is(model: Path, photos: Path) -> None:
    program = f"""
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = None
from fast_style.measure import __main__ as program, likeness
likeness.SHORT_SIDE = 128
sys.argv = ["measure", "--model", {str(model)!r}, "--images", {str(photos / "0.png")!r}]
sys.argv += ["--sizes", "96"]
program.main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads((model / "measure.json").read_text())["runtime"] == "openvino"


def test_with_lbfgs_a_model_says_how_many_iterations_it_is_worth(
    model: Path,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = model
    flags = ["--model", folder, "--images", photos / "[0-2].png", "--sizes", "96", "104"]
    run(monkeypatch, *flags, "--lbfgs", "--optimized", "1", "--iterations", "3")
    measured = json.loads((folder / "measure.json").read_text())
    assert list(measured["sizes"]) == ["96", "104"] and measured["pictures"] == 3
    assert read_picture(folder / "measure.png").rgb.std() > 0

    config, network = config_from_mapping(read_model(folder).conf, "conf"), load_network(folder)
    objective = PerceptualLoss(config, [[prepare_style_image(config)]])
    totals, contents = [], []
    for number in range(3):
        content = square(flatten_on_white(read_picture(photos / f"{number}.png")), 96)
        contents.append(content)
        pixels = content[None].astype(np.float32)
        stylized = np.clip(np.rint(network(pixels)), 0, 255)
        targets = objective.content_targets(pixels)
        totals.append(float(objective(stylized, targets)["total"]))
        if number == 0:
            start = float(objective(pixels, targets)["total"])
    small = measured["sizes"]["96"]
    assert small["network"]["total"]["mean"] == pytest.approx(np.mean(totals), rel=0.01)
    assert small["network"]["total"]["spread"] == pytest.approx(np.std(totals), rel=0.05)
    assert small["network_total_on_the_same"] == pytest.approx(totals[0], rel=0.01)
    assert small["lbfgs_from"]["content"]["totals"][0] == pytest.approx(start, rel=1e-3)
    for name in ("content", "noise"):
        totals = small["lbfgs_from"][name]["totals"]
        assert totals == sorted(totals, reverse=True) and len(totals) == 4
    expected = 500 * small["seconds_per_lbfgs_iteration"] / small["seconds_per_pass"]
    assert small["times_faster"] == pytest.approx(expected)
    stylizer, middle = Stylizer(folder), (slice(24, 72), slice(24, 72))
    shifts = [
        frame_shift(stylizer(content[middle]), stylizer(content)[middle]) for content in contents
    ]
    assert small["artefacts"]["frame"] == pytest.approx(np.mean(shifts), rel=0.05)

    assert "104" in capsys.readouterr().out
    run(monkeypatch, "--compare", folder)
    shown = capsys.readouterr().out
    assert shown.count("other") == 5 and "L-BFGS" in shown


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "give --model and --images to measure"),
        (["--model", "models/candy"], "go together"),
        (["--model", "absent", "--images", "."], "absent: no such model folder"),
        (["--compare", "conf"], "has no measure.json"),
        (["--model", "m", "--images", ".", "--sizes", "32"], "--sizes 32: is too small"),
        (["--model", "m", "--images", ".", "--iterations", "9"], "--iterations: needs --lbfgs"),
        (["--model", "m", "--images", ".", "--optimized", "9"], "--optimized: needs --lbfgs"),
        (["--compare", "m", "--pictures", "p.png"], "--pictures: needs --images"),
        (["--compare", "m", "--style-image", "p.png"], "--style-image: needs --images"),
        (["--compare", "m", "--lbfgs"], "--lbfgs: needs --images"),
        (["--model", "conf", "conf", "--images", "."], "conf: is given more than once"),
    ],
)
def test_bad_flags(
    flags: list[str], message: str, monkeypatch: pytest.MonkeyPatch, photos: Path
) -> None:
    monkeypatch.chdir(Path(__file__).parent.parent)
    flags = [str(photos / "[0-2].png") if flag == "." else flag for flag in flags]
    with pytest.raises(UserError) as error:
        run(monkeypatch, *flags)
    assert message in str(error.value)
