"""Contact sheets, and what is put into pretrained/ and checked there."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from fast_style.conf.conf_file import config_as_yaml, config_from_mapping
from fast_style.conf.locations import PROJECT
from fast_style.errors import UserError
from fast_style.gallery import __main__ as gallery_command
from fast_style.gallery.sheets import styles_by_photos, sweep, swept_confs
from fast_style.model_folder.layout import shipped_models
from fast_style.model_folder.model import copy_model, read_model
from fast_style.model_folder.npz import read_arrays, write_arrays
from fast_style.pictures.contact_sheet import GAP, HEADING, contact_sheet
from fast_style.stylize.stylizer import Stylizer
from fast_style.zoo import __main__ as zoo_command
from fast_style.zoo.cards import card, table
from fast_style.zoo.shipped import check, ship
from tests.conftest import Photo


@pytest.fixture
def shipped(trained_model: Path, tmp_path: Path) -> Path:
    target = tmp_path / "pretrained" / "tiny"
    ship(trained_model, "five waves", target)
    return target


def test_every_picture_stands_in_its_row_and_column(photo: Photo) -> None:
    columns = {"one": [photo(20, 30), photo(20, 30, seed=1)]}
    columns["two"] = [photo(20, 10, seed=2), photo(20, 10, seed=3)]
    sheet = contact_sheet(columns)
    assert sheet.shape == (HEADING + 2 * (20 + GAP), 30 + 10 + 3 * GAP, 3)
    for row, top in enumerate((HEADING, HEADING + 20 + GAP)):
        for name, left, width in (("one", GAP, 30), ("two", 30 + 2 * GAP, 10)):
            assert (sheet[top : top + 20, left : left + width] == columns[name][row]).all()
    assert (sheet[:HEADING] < 128).any()


def test_pictures_of_a_row_take_the_height_of_its_first(photo: Photo) -> None:
    sheet = contact_sheet({"a": [photo(20, 20)], "b": [photo(40, 80, seed=1)]})
    assert sheet.shape[:2] == (HEADING + 20 + GAP, 20 + 40 + 3 * GAP)


def test_many_columns_go_on_below(photo: Photo) -> None:
    columns = {str(number): [photo(20, 30, seed=number)] for number in range(5)}
    sheet = contact_sheet(columns, most_across=2)
    assert sheet.shape[:2] == (3 * (HEADING + 20 + GAP), 2 * 30 + 3 * GAP)
    last = sheet[-20 - GAP : -GAP]
    assert (last[:, GAP : GAP + 30] == columns["4"][0]).all() and (last[:, GAP + 30 :] == 255).all()


def test_a_sheet_shows_what_the_models_make(trained_model: Path, photo: Photo) -> None:
    picture = photo(33, 47)
    sheet = styles_by_photos([trained_model], [picture])
    left = 2 * GAP + 47
    expected = Stylizer(trained_model)(picture)
    assert (sheet[HEADING : HEADING + 33, left : left + 47] == expected).all()


def test_a_broken_photo_is_named_and_the_sheet_shows_the_others(
    trained_model: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sheets = {}
    for name, images in {"all": photos, "good": photos / "[0-9].png"}.items():
        sheet = tmp_path / f"{name}.png"
        flags = ["--models", trained_model, "--images", images, "--output", sheet]
        monkeypatch.setattr(sys, "argv", ["gallery", *map(str, flags)])
        status = gallery_command.main()
        assert status == (1 if name == "all" else 0)
        [*errors] = capsys.readouterr().err.splitlines()
        told = [line for line in errors if line.startswith("error: ")]
        assert len(told) == status and all("broken.png: is damaged" in line for line in told)
        sheets[name] = sheet.read_bytes()
    assert sheets["all"] == sheets["good"]
    flags = ["--images", photos / "broken.png", "--output", tmp_path / "none.png"]
    monkeypatch.setattr(sys, "argv", ["gallery", *map(str, flags)])
    with pytest.raises(UserError, match=r"broken\.png: is damaged"):
        gallery_command.main()
    assert not (tmp_path / "none.png").exists()


def test_a_model_in_the_current_folder_is_shipped_by_the_folders_name(
    trained_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo_command, "SHIPPED", tmp_path / "pretrained")
    monkeypatch.chdir(trained_model)
    monkeypatch.setattr(sys, "argv", ["zoo", "ship", ".", "--data", "five waves"])
    assert zoo_command.main() == 0
    assert check(tmp_path / "pretrained" / "tiny") == []


def test_a_shipped_model_is_as_recorded(shipped: Path) -> None:
    assert check(shipped) == []
    kernels = [array for array in read_arrays(shipped / "weights.npz").values() if array.ndim == 4]
    assert {array.dtype for array in kernels} == {np.dtype(np.int8)}


def test_shipped_weights_are_off_by_at_most_half_a_step_of_their_channel(
    shipped: Path, trained_model: Path
) -> None:
    given, found = read_model(trained_model).arrays, read_model(shipped).arrays
    assert given.keys() == found.keys()
    for name, array in given.items():
        if array.ndim == 4:
            step = np.abs(array).max((0, 1, 2)) / 127
            assert (np.abs(found[name] - array) <= 0.501 * step).all()
        else:
            np.testing.assert_allclose(found[name], array, rtol=1e-3, atol=1e-7)


def test_half_precision_is_shipped_where_8_bits_change_the_picture(
    trained_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    model = read_model(trained_model)
    # One weight so large that all others of its channel are steps of nothing.
    kernel = model.arrays["network/conv_out/kernel"]
    kernel[0, 0, 0] = 2000 * np.abs(kernel).max()
    copy_model(model, folder)
    ship(folder, "five waves", tmp_path / "pretrained")
    assert "half precision, as 8 bits are" in capsys.readouterr().out
    arrays = read_arrays(tmp_path / "pretrained" / "weights.npz")
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float16)}
    assert "- Weights: half precision" in (tmp_path / "pretrained" / "card.md").read_text()


def test_a_network_that_is_too_large_is_refused(
    medium_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "pretrained" / "medium"
    ship(medium_model, "five waves", target)
    assert check(target) == [] and "- Network: medium\n" in (target / "card.md").read_text()
    monkeypatch.setattr("fast_style.zoo.shipped.MOST_BYTES", 1_500_000)
    with pytest.raises(UserError, match=r"has \d,\d+.* bytes of weights.*, 1,500,000"):
        ship(medium_model, "five waves", tmp_path / "pretrained" / "other")
    assert not (tmp_path / "pretrained" / "other").exists()


def test_scales_of_another_shape_are_refused(shipped: Path) -> None:
    arrays = read_arrays(shipped / "weights.npz")
    arrays["network/conv1/kernel_scale"] = np.ones(5, np.float32)
    write_arrays(shipped / "weights.npz", arrays)
    with pytest.raises(UserError, match="conv1/kernel holds int8"):
        read_model(shipped)


def test_a_shipped_model_tells_how_it_was_made(
    shipped: Path, trained_model: Path, conf_values: dict[str, Any]
) -> None:
    card = (shipped / "card.md").read_text()
    result = json.loads((shipped / "result.json").read_text())
    assert "five waves" in card and result["weights_sha256"] in card
    assert result["style_image_sha256"]["tiny"] in card
    after = json.loads((trained_model / "result.json").read_text())["validation_after"]
    assert f"→ {after['total']:.3f} |" in card


AT_A_SIZE = {"artefacts": {"grid": 0.5, "grid_of_content": 0.25, "frame": 1.26, "blotched": 0.013}}
LIKENESS = {
    "strokes": 0.456,
    "strokes_by_level": [0.1, 0.2, 0.3, 0.4, 0.5],
    "palette": 0.314,
    "scene": 0.77,
}
OBJECTIVE = {
    "network": {"total": {"mean": 1.5}},
    "lbfgs_from": {
        "noise": {"equals_iterations": 60.0, "totals": [0.0] * 61},
        "content": {"equals_iterations": 3.4, "totals": [0.0] * 61},
    },
}


@pytest.mark.parametrize(
    ("likeness", "cells"),
    [({"likeness": LIKENESS}, ["0.46", "0.31", "0.77"]), ({}, ["-", "-", "-"])],
)
def test_a_row_of_the_table_says_what_a_model_reached(
    likeness: dict[str, Any], cells: list[str], shipped: Path
) -> None:
    measured = likeness | {"sizes": {"256": AT_A_SIZE | OBJECTIVE, "512": AT_A_SIZE}}
    (shipped / "measure.json").write_text(json.dumps(measured))
    result = json.loads((shipped / "result.json").read_text())
    head, _, line = table([shipped]).splitlines()
    row = [cell.strip() for cell in line.strip("|").split("|")]
    assert line.count("|") == head.count("|") and "L-BFGS" not in head
    assert row[1] == str(result["steps"])
    assert row[5:7] == [
        f"{result[f'validation_{when}']['total']:.3f}" for when in ("after", "before")
    ]
    assert row[7:10] == cells
    assert row[10:13] == ["0.50 (0.25) / 0.50 (0.25)", "1.3 / 1.3", "1.3% / 1.3%"]


def test_a_model_without_held_out_photos_has_dashes_in_the_table(shipped: Path) -> None:
    result = json.loads((shipped / "result.json").read_text())
    result |= {"validation_after": None, "validation_before": None}
    (shipped / "result.json").write_text(json.dumps(result))
    *_, line = table([shipped]).splitlines()
    assert [cell.strip() for cell in line.strip("|").split("|")][3:7] == ["-"] * 4


def test_a_card_has_the_figures_that_were_measured(shipped: Path) -> None:
    def written(**measured: Any) -> str:
        measured |= {"model": "tiny"}
        (shipped / "measure.json").write_text(json.dumps(measured))
        return card(shipped)

    text = written(likeness=LIKENESS, sizes={"256": AT_A_SIZE})
    assert "| tiny | 0.46 | 0.10 0.20 0.30 0.40 0.50 | 0.31 | 0.77 |" in text
    assert "| tiny | 256 | 0.50 (photo 0.25) | 1.3 |" in text and "L-BFGS" not in text
    text = written(sizes={"256": AT_A_SIZE | OBJECTIVE})
    assert "| tiny | 256 | 1.500 | at least 60 | 3 |" in text and "Strokes" not in text


def test_nothing_shipped_names_a_place_on_this_machine(
    shipped: Path, conf_values: dict[str, Any]
) -> None:
    texts = [path.read_text() for path in shipped.iterdir() if path.suffix in (".md", ".json")]
    conf = yaml.safe_load((shipped / "conf.yml").read_text())
    assert conf["style_image"] == f"pretrained/{shipped.name}/style.npz"
    # The loss network is the conf's own, and in the project for real ones.
    texts += [str(v) for k, v in conf.items() if k != "loss_model_file"]
    for key in ("dataset", "validation_images", "model_path"):
        assert not any(conf_values[key] in text for text in texts)


def test_the_figures_of_portraits_are_shipped_with_a_model(
    trained_model: Path, tmp_path: Path
) -> None:
    folder, target = tmp_path / "measured", tmp_path / "pretrained" / "measured"
    shutil.copytree(trained_model, folder)
    (folder / "portraits.json").write_text('{"faces": 3}')
    ship(folder, "five waves", target)
    assert (target / "portraits.json").read_text() == '{"faces": 3}'


def test_a_card_says_how_much_a_model_flickers(shipped: Path) -> None:
    measured = {"clip": "a.mp4", "frames": 9, "size": [64, 48], "warping_error": {"plain": 8.456}}
    (shipped / "flicker.json").write_text(json.dumps(measured))
    text = card(shipped)
    assert "a.mp4, 9 frames of 64x48" in text and "| plain | 8.46 |" in text


def test_a_changed_model_is_found(shipped: Path) -> None:
    arrays = read_arrays(shipped / "weights.npz")
    arrays["network/conv_out/bias"] = arrays["network/conv_out/bias"] + np.float16(8)
    write_arrays(shipped / "weights.npz", arrays)
    [of_hash, of_picture] = check(shipped)
    assert "weights.npz: SHA-256" in of_hash
    assert "grey levels off the recorded picture" in of_picture


def test_an_unfinished_training_is_not_shipped(trained_model: Path, tmp_path: Path) -> None:
    for name in ("conf.yml", "weights.npz"):
        (tmp_path / name).write_bytes((trained_model / name).read_bytes())
    with pytest.raises(UserError, match=r"has no result\.json; its training is not finished"):
        ship(tmp_path, "waves", tmp_path / "shipped")
    assert not (tmp_path / "shipped").exists()


@pytest.mark.usefixtures("eagerly")
def test_a_sweep_trains_once_for_each_value(
    conf_values: dict[str, Any], tmp_path: Path, photo: Photo
) -> None:
    conf = tmp_path / "conf.yml"
    values = {key: value for key, value in conf_values.items() if key != "validation_images"}
    conf.write_text(yaml.safe_dump(values | {"model_path": str(tmp_path), "warmup_steps": 0}))
    picture = photo(32, 32)
    confs = swept_confs(str(conf), ["seed=3"], "style_weight=1,500", 1)
    first = sweep(confs, [picture])
    assert first.shape[1] == 3 * 32 + 4 * GAP
    folders = [tmp_path / f"tiny-style_weight-{value}" for value in (1, 500)]
    kept = [yaml.safe_load((folder / "conf.yml").read_text()) for folder in folders]
    assert [(c["style_weight"], c["steps"], c["seed"]) for c in kept] == [(1, 1, 3), (500, 1, 3)]
    written = [(folder / "result.json").stat().st_mtime_ns for folder in folders]
    assert (sweep(confs, [picture]) == first).all()
    assert written == [(folder / "result.json").stat().st_mtime_ns for folder in folders]


def test_the_models_of_a_sweep_have_names_that_are_read_again() -> None:
    conf = str(PROJECT / "conf" / "candy.yml")
    swept = swept_confs(conf, [], "style_image=img/candy.jpg,img/mosaic.jpg", 300)
    assert [config.naming for config in swept.values()] == [
        "candy-style_image-img_candy.jpg",
        "candy-style_image-img_mosaic.jpg",
    ]
    for config in swept.values():
        assert config_from_mapping(yaml.safe_load(config_as_yaml(config)), "there") == config
    with pytest.raises(UserError, match="two of its models would be called 'candy-artwork-a_b'"):
        swept_confs(conf, [], "artwork=a/b,a_b", 300)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("gallery --sweep seed=1,2", "--sweep and --conf go together"),
        ("gallery --sweep seed -c conf/candy.yml", "--sweep seed: is not of the form key="),
        ("gallery --sweep sed=1 -c conf/candy.yml", "unknown key 'sed'; did you mean 'seed'?"),
        ("gallery --images nowhere.jpg", "nowhere.jpg: no such"),
        ("gallery --models nowhere", "nowhere: no such model folder"),
        ("zoo", "the following arguments are required: TASK"),
        ("zoo ship models/candy", "the following arguments are required: --data"),
        ("zoo ship nowhere --data photos", "nowhere: no such model folder"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(arguments: str, said: str) -> None:
    program, *flags = arguments.split()
    command = [sys.executable, "-m", f"fast_style.{program}", *flags]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert said in done.stderr


def test_the_models_in_the_box_are_as_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shipped_models()
    monkeypatch.setattr(sys, "argv", ["zoo", "check"])
    assert zoo_command.main() == 0
