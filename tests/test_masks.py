"""Masks: what is white is stylized, what is black stays, and pixels that nobody sees stay too."""

import csv
from pathlib import Path

import numpy as np
import pytest

from fast_style.conf.locations import PROJECT
from fast_style.errors import UserError
from fast_style.pictures.images import Picture, decode_picture, encode_picture, read_picture
from fast_style.pictures.images import write_picture as write
from fast_style.pictures.masks import check_proportions, decode_mask, scaled_to
from fast_style.pictures.pixels import fit_within
from fast_style.stylize.files import stylize_files
from fast_style.stylize.stylization import Stylization
from fast_style.stylize.stylizer import Stylizer
from tests.conftest import Photo

CANDY = PROJECT / "pretrained" / "candy"
HEIGHT, WIDTH = 24, 40


@pytest.fixture(scope="module")
def stylizer() -> Stylizer:
    return Stylizer(CANDY, precision="float32")


@pytest.fixture
def mask() -> np.ndarray:
    """Left black, right white, and a grey band below."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:, WIDTH // 2 :] = 255
    mask[-6:] = 100
    return mask


def grey(mask: np.ndarray) -> Picture:
    return Picture(np.repeat(mask[..., None], 3, axis=-1))


def mixed(content: np.ndarray, stylized: np.ndarray, weight: np.ndarray) -> np.ndarray:
    weight = weight[..., None].astype(np.float64)
    return (1 - weight) * content + weight * stylized


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"strength": 0.5},
        {"preserve_color": True},
        {"scale": 2},
        {"strength": 0.25, "preserve_color": True, "scale": 3},
    ],
)
def test_white_is_stylized_black_stays_and_grey_is_between(
    stylizer: Stylizer, photo: Photo, mask: np.ndarray, how: dict
) -> None:
    content = photo(HEIGHT, WIDTH)
    whole = stylizer.stylize(Picture(content), Stylization(**how | {"strength": 1})).rgb
    found = stylizer.stylize(Picture(content), Stylization(**how, mask=mask)).rgb
    expected = mixed(content, whole, mask / 255 * how.get("strength", 1.0))
    assert np.abs(found - expected).max() <= 0.501
    np.testing.assert_array_equal(found[mask == 0], content[mask == 0])


def test_a_mask_shrinks_with_its_picture(
    stylizer: Stylizer, photo: Photo, mask: np.ndarray
) -> None:
    picture = Picture(photo(HEIGHT, WIDTH))
    small = fit_within(picture, 20).rgb
    whole = stylizer.stylize(picture, Stylization(max_size=20)).rgb
    found = stylizer.stylize(picture, Stylization(max_size=20, mask=mask)).rgb
    assert found.shape == (12, 20, 3) and (whole != small).any(axis=-1).all()
    np.testing.assert_array_equal(found[:8, :9], small[:8, :9])
    np.testing.assert_array_equal(found[:8, 11:], whole[:8, 11:])


def test_pictures_that_flow_in_rows_have_masks_too(photo: Photo) -> None:
    stylizer = Stylizer(CANDY, precision="float32", max_memory=2_500_000)
    content = photo(70, 50)
    mask = np.zeros((70, 50), np.uint8)
    mask[31:] = 255
    found = stylizer.stylize(Picture(content), Stylization(mask=mask)).rgb
    np.testing.assert_array_equal(found[:31], content[:31])
    np.testing.assert_array_equal(found[31:], stylizer(content)[31:])


@pytest.mark.parametrize("with_mask", [False, True])
def test_pixels_that_nobody_sees_stay(
    stylizer: Stylizer, photo: Photo, mask: np.ndarray, with_mask: bool
) -> None:
    content, alpha = photo(HEIGHT, WIDTH), np.full((HEIGHT, WIDTH), 1, np.uint8)
    alpha[5:15, 10:30] = 0
    how = Stylization(mask=mask) if with_mask else Stylization()
    seen = stylizer.stylize(Picture(content), how).rgb
    found = stylizer.stylize(Picture(content, alpha), how)
    np.testing.assert_array_equal(found.alpha, alpha)
    np.testing.assert_array_equal(found.rgb[alpha == 0], content[alpha == 0])
    np.testing.assert_array_equal(found.rgb[alpha == 1], seen[alpha == 1])


@pytest.mark.parametrize(
    ("mask", "picture", "fits"),
    [
        ((320, 427), (320, 427), True),
        ((160, 213), (320, 427), True),
        ((160, 214), (320, 427), True),
        ((3000, 4000), (320, 427), True),
        ((1, 1), (320, 320), True),
        ((1, 3000), (1, 100), True),
        ((512, 512), (320, 427), False),
        ((427, 320), (320, 427), False),
        ((720, 1280), (768, 1024), False),
    ],
)
def test_a_mask_has_the_proportions_of_its_picture(
    mask: tuple[int, int], picture: tuple[int, int], fits: bool
) -> None:
    if fits:
        check_proportions(np.zeros(mask, np.uint8), *picture)
        assert scaled_to(np.zeros(mask, np.uint8), *picture).shape == picture
    else:
        with pytest.raises(UserError, match=f"the mask is {mask[1]}x{mask[0]} and the picture"):
            check_proportions(np.zeros(mask, np.uint8), *picture)


def test_a_scaled_mask_stays_black_and_white_beside_its_edge() -> None:
    small = np.repeat(np.array([[0, 0, 0, 255, 255, 255]], np.uint8), 4, axis=0)
    large = scaled_to(small, 40, 60)
    assert not large[:, :25].any() and (large[:, 35:] == 255).all()


def test_what_a_mask_is_in_a_file(photo: Photo, mask: np.ndarray) -> None:
    decoded = decode_mask(encode_picture(grey(mask), ".png"), "mask.png")
    np.testing.assert_array_equal(decoded, mask)
    # Drawn in white on transparent layers, or in colours.
    drawn = Picture(np.full((HEIGHT, WIDTH, 3), 255, np.uint8), mask)
    np.testing.assert_array_equal(decode_mask(encode_picture(drawn, ".png"), "mask.png"), mask)
    colours = photo(HEIGHT, WIDTH)
    decoded = decode_mask(encode_picture(Picture(colours), ".png"), "mask.png")
    assert np.abs(decoded - colours @ [0.299, 0.587, 0.114]).max() <= 1


@pytest.mark.parametrize("values", [np.zeros((5, 5)), np.zeros((5, 5, 3), np.uint8)])
def test_a_mask_of_another_kind_is_refused(values: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"mask: .* of shape .*; uint8 \(H, W\) is wanted"):
        Stylization(mask=values)


# Programs


@pytest.fixture
def folder(tmp_path: Path, photo: Photo, mask: np.ndarray) -> Path:
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "fits.png", Picture(photo(HEIGHT, WIDTH)))
    write(tmp_path / "in" / "larger.png", Picture(photo(2 * HEIGHT, 2 * WIDTH)))
    write(tmp_path / "in" / "upright.png", Picture(photo(WIDTH, HEIGHT)))
    write(tmp_path / "mask.png", grey(mask))
    return tmp_path


def test_eval_applies_a_mask_to_each_picture_that_it_fits(
    folder: Path, stylizer: Stylizer, mask: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"mask": str(folder / "mask.png"), "precision": "float32"}
    inputs, out = [str(folder / "in")], folder / "out"
    assert stylize_files(str(CANDY), inputs, out, **settings) == 1
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert told == [
        f"error: {folder / 'in' / 'upright.png'}: the mask is 40x24 and the picture 24x40; they "
        "must have the same proportions"
    ]
    assert sorted(p.name for p in out.iterdir()) == ["fits-candy.png", "larger-candy.png"]
    for name in ("fits", "larger"):
        picture = read_picture(folder / "in" / f"{name}.png")
        expected = stylizer.stylize(picture, Stylization(mask=mask)).rgb.astype(int)
        # To a grey level, by which a network that is compiled for one size rounds otherwise.
        made = read_picture(out / f"{name}-candy.png").rgb
        np.testing.assert_allclose(made, expected, rtol=0, atol=1)


@pytest.mark.parametrize("name", ["none.png", "text.png", "in"])
def test_a_mask_that_cannot_be_read_is_told_before_any_work(folder: Path, name: str) -> None:
    (folder / "text.png").write_text("no picture")
    with pytest.raises(UserError, match=f"^{folder / name}: "):
        stylize_files("no model", [str(folder / "in")], folder / "out", mask=str(folder / name))
    assert not (folder / "out").exists()


def test_a_mask_of_zeros_and_ones_is_told_of(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(folder / "labels.png", grey(np.ones((HEIGHT, WIDTH), np.uint8)))
    decode_mask((folder / "labels.png").read_bytes(), "labels.png")
    assert "labels.png: has no pixel brighter than 1 of 255" in caplog.text


def test_batch_does_what_eval_does(folder: Path) -> None:
    pytest.importorskip("pyarrow")
    from fast_style.batch.run import stylize_collection

    settings = {"mask": str(folder / "mask.png"), "precision": "float32"}
    inputs = [str(folder / "in")]
    assert stylize_files(str(CANDY), inputs, folder / "eval", **settings) == 1
    assert stylize_collection([str(CANDY)], inputs, str(folder / "batch"), **settings) == 1
    for made in (folder / "eval").iterdir():
        ours, theirs = (read_picture(folder / part / made.name).rgb for part in ("batch", "eval"))
        np.testing.assert_allclose(ours, theirs.astype(int), rtol=0, atol=1)
    with open(folder / "batch" / "broken.csv", newline="") as file:
        [row] = csv.DictReader(file)
    assert row["path"] == str(folder / "in" / "upright.png")
    assert row["reason"].startswith("the mask is 40x24 and the picture 24x40; ")


def test_the_server_takes_a_mask_beside_the_picture(
    stylizer: Stylizer, photo: Photo, mask: np.ndarray
) -> None:
    pytest.importorskip("starlette", reason="the server is an optional extra")
    pytest.importorskip("httpx2")
    from starlette.testclient import TestClient

    from fast_style.serve.app import application
    from fast_style.serve.models import Models

    content = photo(HEIGHT, WIDTH)
    png, white = encode_picture(Picture(content), ".png"), encode_picture(grey(mask), ".png")
    high = encode_picture(grey(mask.T), ".png")
    expected = stylizer.stylize(Picture(content), Stylization(mask=mask, strength=0.5)).rgb
    with TestClient(application(Models([CANDY], precision="float32"))) as client:

        def post(files: list, **texts: str):
            files = [(key, ("a.png", data)) for key, data in files]
            return client.post("/stylize/candy", files=files, data=texts)

        good = post([("mask", white), ("picture", png)], strength="0.5")
        found = decode_picture(good.content, "answer").rgb
        np.testing.assert_allclose(found, expected.astype(int), rtol=0, atol=1)
        for files, texts, said in [
            ([("picture", png), ("mask", high)], {}, "the mask is 24x40 and the picture 40x24"),
            ([("picture", png), ("mask", b"text")], {}, "the mask: is not a"),
            ([("picture", png), ("mask", b"")], {}, "the mask: is empty"),
            ([("mask", white)], {}, "must have one picture"),
            ([("picture", png), ("picture", png)], {}, "must have one picture"),
            ([("picture", png)], {"mask": "mask.png"}, "mask: must be a file of the form"),
        ]:
            answer = post(files, **texts)
            assert answer.status_code == 400 and said in answer.json()["error"]
