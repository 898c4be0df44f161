"""The style image: files and URLs, hashes, and the sizes at which it is seen."""

import contextlib
import dataclasses
import functools
import hashlib
import threading
import urllib.request
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from fast_style.conf import locations
from fast_style.conf.conf_file import config_as_yaml, config_from_mapping
from fast_style.conf.config import Config
from fast_style.errors import UserError
from fast_style.pictures import style_image
from fast_style.pictures.images import Picture, read_picture, write_picture
from fast_style.pictures.pixels import square
from fast_style.pictures.style_image import (
    painting_style_image,
    paintings,
    prepare_style_image,
    style_image_file,
    style_image_sha256,
)
from fast_style.training.held_out import HeldOut
from fast_style.training.provenance import hashes

Photo = Callable[..., np.ndarray]


@pytest.fixture
def config(conf_values: dict[str, Any]) -> Config:
    return config_from_mapping(conf_values, "conf")


def test_style_image_size_asks_for_another_size(config: Config) -> None:
    assert prepare_style_image(config).shape == (32, 32, 3)
    larger = prepare_style_image(dataclasses.replace(config, style_image_size=40))
    assert larger.shape == (40, 40, 3) and larger.dtype == np.uint8


def test_only_a_part_of_a_style_image_counts(config: Config, tmp_path: Path, photo: Photo) -> None:
    whole = photo(100, 200)
    write_picture(tmp_path / "whole.png", Picture(whole))
    write_picture(tmp_path / "part.png", Picture(whole[40:100, 20:150]))
    of_part, of_whole = (
        dataclasses.replace(config, style_image=str(tmp_path / f"{name}.png"))
        for name in ("part", "whole")
    )
    of_whole = dataclasses.replace(of_whole, style_image_part=[0.1, 0.4, 0.75, 1])
    np.testing.assert_array_equal(prepare_style_image(of_whole), prepare_style_image(of_part))
    sliver = dataclasses.replace(of_whole, style_image_part=[0.5, 0.5, 0.5001, 0.5001])
    assert (prepare_style_image(sliver) == whole[50, 100]).all()


def test_a_median_takes_specks_and_leaves_edges(config: Config, tmp_path: Path) -> None:
    rgb = np.full((32, 32, 3), 40, np.uint8)
    rgb[:, 16:] = 200
    expected = rgb.copy()
    rgb[2::5, 2::5] = 255
    write_picture(tmp_path / "grain.png", Picture(rgb))
    config = dataclasses.replace(config, style_image=str(tmp_path / "grain.png"))
    assert (prepare_style_image(config) == 255).any()
    filtered = dataclasses.replace(config, style_image_median=3)
    np.testing.assert_array_equal(prepare_style_image(filtered), expected)
    painted = dataclasses.replace(filtered, style_image_size=None)
    np.testing.assert_array_equal(painting_style_image(painted, 32, 32), expected)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 2000)])
def test_a_style_image_of_an_odd_size_still_serves(
    config: Config, tmp_path: Path, photo: Photo, height: int, width: int
) -> None:
    write_picture(tmp_path / "style.png", Picture(photo(height, width)))
    config = dataclasses.replace(config, style_image=str(tmp_path / "style.png"))
    assert prepare_style_image(config).shape == (32, 32, 3)


def test_a_transparent_style_image_is_laid_on_white(config: Config, tmp_path: Path) -> None:
    black = np.zeros((40, 40, 3), np.uint8)
    write_picture(tmp_path / "style.png", Picture(black, alpha=black[..., 0]))
    config = dataclasses.replace(config, style_image=str(tmp_path / "style.png"))
    assert (prepare_style_image(config) == 255).all()


@pytest.mark.parametrize(
    ("height", "width", "values", "alpha", "said"),
    [
        (80, 90, 255, 0, "is fully transparent"),
        (80, 90, 1, 255, "is of one colour (90x80)"),
        (1, 1, 255, 255, "is of one colour (1x1)"),
        (80, 63, 255, 255, "is 63x80, less than 64 pixels a side"),
        (64, 90, 255, 255, None),
    ],
)
def test_a_style_image_with_little_in_it_is_named_once(
    config: Config,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    height: int,
    width: int,
    values: int,
    alpha: int,
    said: str | None,
) -> None:
    rgb = np.random.default_rng(0).integers(values, size=(height, width, 3), dtype=np.uint8)
    picture = Picture(rgb, np.full((height, width), alpha, np.uint8))
    write_picture(tmp_path / "style.png", picture)
    config = dataclasses.replace(config, style_image=str(tmp_path / "style.png"))
    prepare_style_image(config)
    painting_style_image(config, 100, 100)
    path = tmp_path / "style.png"
    assert caplog.messages == (
        [] if said is None else [f"style_image: {path}: {said}; there is little to learn from it"]
    )


def test_all_of_the_style_image_at_the_size_of_the_painting_or_the_trainings_square(
    config: Config,
) -> None:
    assert painting_style_image(config, 20, 24).shape == (24, 20, 3)
    assert painting_style_image(config, 500, 500).shape == (48, 40, 3)
    assert painting_style_image(config, 4, 4).shape == (8, 8, 3)  # two features of conv3_1 a side
    bordered = dataclasses.replace(config, style_border=16)
    assert painting_style_image(bordered, 20, 24).shape == (40, 40, 3)
    square = dataclasses.replace(config, style_image_size=32)
    assert painting_style_image(square, 500, 500).shape == (32, 32, 3)


@pytest.fixture
def requests() -> list[str]:
    return []


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where fetched style images are kept."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "fast_style"


@pytest.fixture
def url(tmp_path: Path, photo: Photo, requests: list[str], cache: Path) -> Iterator[str]:
    """Of wave.png on a server of this machine, with an empty cache.

    There are also moved.png, which leads to it, cut.png, which breaks off, endless.png, and
    page.png, which is no picture.
    """
    (tmp_path / "served").mkdir()
    write_picture(tmp_path / "served" / "wave.png", Picture(photo(48, 48)))
    (tmp_path / "served" / "page.png").write_text("<html>Log in first</html>")

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/moved.png":
                self.send_response(302)
                self.send_header("Location", "/wave.png")
                self.end_headers()
            elif self.path == "/cut.png":
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b"only this")
            elif self.path == "/endless.png":
                self.send_response(200)
                self.end_headers()
                with contextlib.suppress(OSError):
                    while True:
                        self.wfile.write(bytes(65536))
            else:
                super().do_GET()

        def log_request(self, code="-", size="-"):
            requests.append(f"{self.path} {self.headers['User-Agent']}")

        def log_error(self, format, *args):
            pass

    handler = functools.partial(Handler, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/wave.png"
        server.shutdown()


def test_a_url_is_fetched_once(
    conf_values: dict[str, Any], url: str, requests: list[str], tmp_path: Path
) -> None:
    config = config_from_mapping(conf_values | {"style_image": url}, "conf")
    fetched = style_image_file(config)
    assert fetched.read_bytes() == (tmp_path / "served" / "wave.png").read_bytes()
    assert prepare_style_image(config).shape == (32, 32, 3)
    assert len(requests) == 1 and "fast-style/" in requests[0]


def test_a_fetched_file_that_no_hash_was_said_of_is_kept_with_a_word(
    config: Config, url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    digest = hashlib.sha256((tmp_path / "served" / "wave.png").read_bytes()).hexdigest()
    style_image_file(dataclasses.replace(config, style_image=url, style_image_sha256=digest))
    assert caplog.messages == []
    moved = dataclasses.replace(config, style_image=url.replace("wave", "moved"))
    style_image_file(moved)
    assert f"style_image_sha256: {digest} " in caplog.text
    style_image_file(moved)
    assert len(caplog.messages) == 1


def test_a_url_that_cannot_be_fetched_says_where_to_put_the_file(config: Config, url: str) -> None:
    missing = dataclasses.replace(config, style_image=url.replace("wave", "absent"))
    with pytest.raises(UserError, match=r"absent.png cannot be fetched .*404.*; put the picture"):
        style_image_file(missing)
    nowhere = dataclasses.replace(config, style_image="http://[/wave.png")
    with pytest.raises(UserError, match=r"cannot be fetched .*; put the picture"):
        style_image_file(nowhere)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cut", "cannot be fetched .received 9 of 1000 bytes.; put the picture at "),
        ("endless", "cannot be fetched .more than 1 MB.; put the picture at "),
        ("page", "is not a JPEG"),
    ],
)
def test_what_is_not_a_whole_picture_is_not_kept(
    config: Config, url: str, cache: Path, name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style_image, "MOST_BYTES", 10**6)
    bad = dataclasses.replace(config, style_image=url.replace("wave", name))
    with pytest.raises(UserError, match=f"style_image: {bad.style_image}:? {said}"):
        style_image_file(bad)
    assert not cache.exists()


@pytest.mark.parametrize("name", ["wave", "moved"])
def test_another_file_than_the_hash_says_is_neither_kept_nor_taken_from_the_cache(
    config: Config, url: str, cache: Path, tmp_path: Path, name: str
) -> None:
    encoded = (tmp_path / "served" / "wave.png").read_bytes()
    digest = hashlib.sha256(encoded).hexdigest()
    config = dataclasses.replace(config, style_image=url.replace("wave", name))
    wrong = dataclasses.replace(config, style_image_sha256="0" * 64)
    with pytest.raises(UserError, match=f"SHA-256 is {digest}, and style_image_sha256 is 000"):
        style_image_file(wrong)
    assert not cache.exists()
    right = dataclasses.replace(config, style_image_sha256=digest)
    kept = style_image_file(right)
    assert kept.read_bytes() == encoded and list(cache.iterdir()) == [kept]
    kept.write_bytes(encoded[:-1])
    with pytest.raises(UserError, match=f"{kept}.* is another file: its SHA-256 is "):
        style_image_file(right)


def test_fetching_leaves_other_programs_openers_alone(
    config: Config, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(urllib.request, "install_opener", lambda _: pytest.fail("for all of them"))
    style_image_file(dataclasses.replace(config, style_image=url))


@pytest.mark.parametrize("name", ["", "é" * 300 + ".jpg", "a%00b%2F..%2F.jpg", "x.jpg?y=/z#/w"])
def test_any_url_has_a_file_name_of_its_own(config: Config, cache: Path, name: str) -> None:
    url = f"http://127.0.0.1:1/{name}"
    with pytest.raises(UserError, match=r"cannot be fetched") as error:
        style_image_file(dataclasses.replace(config, style_image=url))
    path = Path(str(error.value).split("put the picture at ")[1].split(", or name")[0])
    assert path.parent == cache
    cache.mkdir(parents=True)
    path.touch()
    assert style_image_file(dataclasses.replace(config, style_image=url)) == path


def test_the_hash_is_that_of_the_file(conf_values: dict[str, Any]) -> None:
    digest = hashlib.sha256(Path(conf_values["style_image"]).read_bytes()).hexdigest()
    right = config_from_mapping(conf_values | {"style_image_sha256": digest.upper()}, "conf")
    assert style_image_file(right) == Path(conf_values["style_image"])
    wrong = config_from_mapping(conf_values | {"style_image_sha256": "0" * 64}, "conf")
    with pytest.raises(UserError, match=f"is another file: its SHA-256 is {digest}"):
        prepare_style_image(wrong)
    with pytest.raises(UserError, match="style_image_sha256: 'abc' is not a SHA-256"):
        config_from_mapping(conf_values | {"style_image_sha256": "abc"}, "conf")


def test_a_folder_or_a_list_is_one_style_of_several_paintings(
    conf_values: dict[str, Any], photo: Photo, tmp_path: Path
) -> None:
    folder = tmp_path / "monet"
    folder.mkdir()
    for seed in range(3):
        write_picture(folder / f"{seed}.png", Picture(photo(40, 50, seed=seed)))
    files = [str(folder / f"{seed}.png") for seed in range(3)]
    by_folder, by_list, mixed = (
        config_from_mapping(conf_values | {"style_image": image}, "conf")
        for image in (str(folder), files, [files[0], str(folder)])
    )
    assert [painting.style_image for painting in paintings(by_folder)] == files
    assert [painting.style_image for painting in paintings(mixed)] == [files[0], *files]
    digests = [hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files]
    combined = hashlib.sha256("".join(digests).encode()).hexdigest()
    assert style_image_sha256(by_folder) == style_image_sha256(by_list) == combined
    assert style_image_sha256(paintings(by_list)[1]) == digests[1]
    with pytest.raises(UserError, match="one painting can be used here, the conf has 3"):
        prepare_style_image(by_list)
    several = config_from_mapping(
        {key: value for key, value in conf_values.items() if key != "style_image"}
        | {"style_images": {"monet": str(folder), "first": files[0]}},
        "conf",
    )
    assert len(paintings(several.of_style("monet"))) == 3


def test_what_the_conf_found_is_read_though_a_file_of_that_name_appears(
    conf_values: dict[str, Any], photo: Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, here = tmp_path / "project", tmp_path / "here"
    for folder, shade in ((project, 50), (here, 200)):
        folder.mkdir()
        write_picture(folder / "a.png", Picture(photo(40, 50) // 2 + shade // 2))
        (folder / "a.npz").write_bytes(bytes([shade]))
    monkeypatch.setattr(locations, "PROJECT", project)
    monkeypatch.chdir(tmp_path)
    names = {"style_image": "a.png", "preview_images": ["a.png"], "validation_images": "a.png"}
    config = config_from_mapping(conf_values | names | {"loss_model_file": "a.npz"}, "conf")
    monkeypatch.chdir(here)
    digests = [hashlib.sha256((project / name).read_bytes()) for name in ("a.png", "a.npz")]
    assert list(hashes(config).values()) == [
        {config.naming: digests[0].hexdigest()},
        digests[1].hexdigest(),
    ]
    expected = square(read_picture(project / "a.png").rgb, config.image_size)
    np.testing.assert_array_equal(prepare_style_image(config), expected)
    np.testing.assert_array_equal(HeldOut(config).batches[0][0], expected)
    # A model folder has the names, which another machine finds in its own folders.
    saved = yaml.safe_load(config_as_yaml(config))
    assert {key: saved[key] for key in names} == names
    assert config_from_mapping(saved, "conf").paths["a.png"] == Path("a.png")


def test_a_folder_without_pictures_is_no_style(conf_values: dict[str, Any], tmp_path: Path) -> None:
    config = config_from_mapping(conf_values | {"style_image": str(tmp_path)}, "conf")
    with pytest.raises(UserError, match=f"style_image: {tmp_path}"):
        paintings(config)
