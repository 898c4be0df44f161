"""Which of the files that people have are stylized, and what the results are called."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fast_style.batch.inputs import find_inputs
from fast_style.conf.locations import PROJECT
from fast_style.errors import UserError
from fast_style.pictures.formats import NEEDS_PILLOW_HEIF
from fast_style.pictures.images import (
    Picture,
    encode_picture,
    find_pictures,
    read_picture,
    search,
    write_picture,
)
from fast_style.stylize.files import stylize_files
from fast_style.stylize.output_names import gather_inputs, stylized_names

CANDY = PROJECT / "pretrained" / "candy"
KNOWN = {"candy", "wave"}
JPEG = encode_picture(Picture(np.full((8, 8, 3), 90, np.uint8)), ".jpg")
Photo = Callable[..., np.ndarray]


def make(folder: Path, *names: str, content: bytes = JPEG) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def inside(folder: Path, paths: list[Path]) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in paths}


# Which are pictures


def test_pictures_are_known_by_their_endings_and_without_one_by_their_bytes(tmp_path: Path) -> None:
    pictures = {"a.jpg", "B.JPG", "c.jfif", "d.jpe", "e.avif", "f.JP2", "deep/IMG_0001"}
    make(tmp_path, *pictures, "a.xmp", "deep/a.jpg_original")
    make(tmp_path, "notes", "README", content=b"BM no picture")
    for name in ("b.png", "g.gif", "t.tif", "w.webp", "m.bmp"):
        Image.open(tmp_path / "a.jpg").save(tmp_path / name)
        (tmp_path / name).rename(tmp_path / name[0])
    found = search(tmp_path)
    assert inside(tmp_path, found.pictures) == pictures | {"b", "g", "t", "w", "m"}
    others = {"a.xmp", "deep/a.jpg_original", "notes", "README"}
    assert inside(tmp_path, found.others) == others and not found.left_out


def test_a_number_or_a_word_behind_a_dot_is_no_ending(tmp_path: Path) -> None:
    pictures = {"Screenshot 2024-01-03 at 10.15.22", "2024.01.03 holiday", "IMG_2.5"}
    make(tmp_path, *pictures)
    make(tmp_path, "archive.001", "notes 1.2 final", content=b"no picture")
    found = search(tmp_path)
    assert inside(tmp_path, found.pictures) == pictures
    assert inside(tmp_path, found.others) == {"archive.001", "notes 1.2 final"}
    assert stylized_names("IMG_2.5", "candy")[0] == "IMG_2.5-candy.jpg"


def test_hidden_folders_and_thumbnails_are_no_pictures(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", ".b.jpg", ".trash/c.jpg", "deep/.d/e/f.jpg", "@eaDir/a.jpg/SYNO.jpg")
    for spec in (tmp_path, tmp_path / "**"):
        assert inside(tmp_path, find_pictures(spec)) == {"a.jpg"}
    assert inside(tmp_path, find_pictures(tmp_path / ".trash")) == {".trash/c.jpg"}
    assert inside(tmp_path, find_pictures(tmp_path / ".trash" / "*.jpg")) == {".trash/c.jpg"}


def test_kinds_that_are_not_read_are_left_out_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("fast_style.pictures.formats.find_spec", lambda name: None)
    make(tmp_path, "a.jpg", "b.HEIC", "c.CR2", "d.jxl", "e.txt")
    left_out = {path.name: reason for path, reason in search(tmp_path).left_out.items()}
    assert left_out.keys() == {"b.HEIC", "c.CR2", "d.jxl"}
    assert left_out["b.HEIC"] == NEEDS_PILLOW_HEIF and "raw file (CR2)" in left_out["c.CR2"]
    assert inside(tmp_path, find_pictures(tmp_path)) == {"a.jpg"}
    assert "3 pictures are left out" in caplog.text and "b.HEIC" in caplog.text
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(UserError, match=r"b\.HEIC: .*pip install 'fast-style\[heic\]'"):
        search(tmp_path)


# Names


@pytest.mark.parametrize(
    ("name", "opaque", "with_alpha"),
    [
        ("deep/a.JPG", "deep/a-candy.JPG", "deep/a-candy.JPG"),
        ("a.gif", "a-candy.png", "a-candy.png"),
        ("p.jfif", "p.jfif-candy.jpg", "p.jfif-candy.png"),
        ("IMG_1.HEIC", "IMG_1.HEIC-candy.jpg", "IMG_1.HEIC-candy.png"),
        ("IMG_0001", "IMG_0001-candy.jpg", "IMG_0001-candy.png"),
        ("v1.2/holiday 3.5", "v1.2/holiday 3.5-candy.jpg", "v1.2/holiday 3.5-candy.png"),
    ],
)
def test_what_stylized_images_are_called(name: str, opaque: str, with_alpha: str) -> None:
    assert stylized_names(name, "candy") == (opaque, with_alpha)


# Results of earlier runs


def gathered(folder: Path, spec: Path, output: Path) -> set[str]:
    on_disk = inside(folder, list(gather_inputs([str(spec)], output, KNOWN).insides))
    in_batch = find_inputs([str(spec)], ["candy"], "", "", _store(output), KNOWN)
    assert {os.path.relpath(entry.source, folder) for entry in in_batch} == on_disk
    return on_disk


def _store(output: Path):
    from fast_style.batch.stores import open_store

    return open_store(str(output))


@pytest.mark.parametrize("spec", [".", "*", "**"])
def test_an_output_folder_inside_the_input_is_no_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str
) -> None:
    make(tmp_path, "a.jpg", "deep/b.png", "out/a-candy.jpg", "out/deep/b-wave.png", "outer/c.jpg")
    monkeypatch.chdir(tmp_path)
    expected = {"a.jpg"} if spec == "*" else {"a.jpg", "deep/b.png", "outer/c.jpg"}
    assert gathered(tmp_path, tmp_path / spec, Path("out")) == expected
    linked = tmp_path / "link"
    linked.symlink_to(tmp_path / "out")
    assert gathered(tmp_path, tmp_path / spec, linked) == expected


def test_an_output_folder_that_is_the_input_keeps_its_results(tmp_path: Path) -> None:
    results = {"a-candy.jpg", "a-wave-0.5.jpg", "deep/b.heif-candy.png", "a-candy-wave.jpg"}
    pictures = {"a.jpg", "deep/b.heif", "a-b.jpg", "c-candy.jpg", "deep/a-candy.jpg", "cand-y.jpg"}
    make(tmp_path, *results, *pictures)
    assert gathered(tmp_path, tmp_path, tmp_path) == pictures
    assert gathered(tmp_path, tmp_path, tmp_path / "elsewhere") == pictures | results
    assert gathered(tmp_path, tmp_path / "a-candy.jpg", tmp_path) == {"a-candy.jpg"}
    found = gather_inputs([str(tmp_path)], tmp_path, KNOWN)
    assert inside(tmp_path, found.results) == results


def test_results_alone_are_told(tmp_path: Path) -> None:
    make(tmp_path, "out/a-candy.jpg")
    with pytest.raises(UserError, match=r"a-candy\.jpg: is a result"):
        gather_inputs([str(tmp_path)], tmp_path / "out", KNOWN)


def test_a_bucket_is_searched_by_the_same_rules() -> None:
    pytest.importorskip("fsspec")
    from fast_style.batch.stores import open_store

    root = "memory://inputs"
    store, folder = open_store(root)
    names = ("a.jpg", "b.jfif", "c.cr2", ".d/e.jpg", "@eaDir/f.jpg", "g.txt", "out/a-candy.jpg")
    for name in names:
        store.write(f"{folder}/{name}", JPEG)
    output = (store, f"{folder}/out")
    for spec in (root, f"{root}/**"):
        pictures = find_inputs([spec], ["candy"], "", "", output, KNOWN)
        assert {Path(entry.source).name for entry in pictures} == {"a.jpg", "b.jfif"}
        assert [Path(path).name for path in pictures.left_out] == ["c.cr2"]
    left = pictures.without({"a-candy.jpg"}, ["candy"])
    assert [Path(entry.source).name for entry in left] == ["b.jfif"]
    assert left.left_out == pictures.left_out


# eval.py


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is also the current one."""
    pytest.importorskip("openvino", reason="OpenVINO is an optional extra")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*inputs: str, output: str | None = None, **how) -> int:
    return stylize_files(
        str(CANDY), inputs, None if output is None else Path(output), runtime="openvino", **how
    )


def test_a_folder_as_people_have_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(folder / "in", "a.jpg", "p.jfif", "IMG_0001", "raw.NEF", "notes.txt", ".x/b.jpg")
    rgba = Picture(np.full((8, 8, 3), 9, np.uint8), np.arange(64, dtype=np.uint8).reshape(8, 8))
    make(folder / "in", "IMG_0002", content=encode_picture(rgba, ".png"))
    make(folder / "in", "cut.png", content=encode_picture(rgba, ".png")[:60])
    make(folder / "in", "n" * 250 + ".jpg")  # with -candy longer than a name may be
    assert run("in", output="in/out") == 1
    made = {"a-candy.jpg", "p.jfif-candy.jpg", "IMG_0001-candy.jpg", "IMG_0002-candy.png"}
    assert set(os.listdir("in/out")) == made
    assert np.array_equal(read_picture("in/out/IMG_0002-candy.png").alpha, rgba.alpha)
    lines = capsys.readouterr().err.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 2 and "cut.png: is damaged" in errors[0]
    assert "cannot be written: File name too long" in errors[1]
    assert any(line.startswith("left out: in/raw.NEF: is a camera's raw file") for line in lines)
    assert "skipped files that are no pictures: in/notes.txt" in lines
    assert lines[-1] == "4 stylized, 2 failed, 1 left out"
    assert run("in", output="in/out") == 1 and set(os.listdir("in/out")) == made


def test_the_input_is_replaced_only_when_that_is_asked_for(folder: Path, photo: Photo) -> None:
    write_picture("a.png", Picture(photo(8, 9)))
    before = (folder / "a.png").read_bytes()
    os.symlink("a.png", "same.png")
    for output in ("a.png", "./a.png", "same.png"):
        with pytest.raises(UserError, match=r"would replace a\.png; --overwrite"):
            run("a.png", output=output)
    make(folder, "a-candy.png", content=before)
    with pytest.raises(UserError, match=r"a-candy\.png would replace a-candy\.png; --overwrite"):
        run("a.png", "a-candy.png", output=".")
    assert (folder / "a.png").read_bytes() == before
    assert run("a.png", output="a.png", overwrite=True) == 0
    assert (folder / "a.png").read_bytes() != before
