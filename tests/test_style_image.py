"""The style image: files and URLs, hashes, and the sizes at which it is seen."""

import dataclasses
import functools
import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fast_style.conf_file import config_from_mapping
from fast_style.config import Config
from fast_style.errors import UserError
from fast_style.pictures import style_image
from fast_style.pictures.images import Picture, write_picture
from fast_style.pictures.style_image import (
    painting_style_image,
    prepare_style_image,
    style_image_file,
)

Photo = Callable[..., np.ndarray]


@pytest.fixture
def config(conf_values: dict[str, Any]) -> Config:
    return config_from_mapping(conf_values, "conf")


def test_style_image_size_asks_for_another_size(config: Config) -> None:
    assert prepare_style_image(config).shape == (32, 32, 3)
    larger = prepare_style_image(dataclasses.replace(config, style_image_size=40))
    assert larger.shape == (40, 40, 3) and larger.dtype == np.uint8


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


def test_all_of_the_style_image_at_the_size_of_the_painting_or_the_trainings_square(
    config: Config,
) -> None:
    assert painting_style_image(config, 20, 24).shape == (24, 20, 3)
    assert painting_style_image(config, 500, 500).shape == (48, 40, 3)
    square = dataclasses.replace(config, style_image_size=32)
    assert painting_style_image(square, 500, 500).shape == (32, 32, 3)


@pytest.fixture
def requests() -> list[str]:
    return []


@pytest.fixture
def url(
    tmp_path: Path, photo: Photo, requests: list[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Of wave.png on a server of this machine, with an empty cache."""
    (tmp_path / "served").mkdir()
    write_picture(tmp_path / "served" / "wave.png", Picture(photo(48, 48)))
    monkeypatch.setattr(style_image, "CACHE", str(tmp_path / "cache"))

    class Handler(SimpleHTTPRequestHandler):
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


def test_a_url_that_cannot_be_fetched_says_where_to_put_the_file(config: Config, url: str) -> None:
    missing = dataclasses.replace(config, style_image=url.replace("wave", "absent"))
    with pytest.raises(UserError, match=r"absent.png cannot be fetched .*404.*; put the picture"):
        style_image_file(missing)


def test_the_hash_is_that_of_the_file(conf_values: dict[str, Any]) -> None:
    digest = hashlib.sha256(Path(conf_values["style_image"]).read_bytes()).hexdigest()
    right = config_from_mapping(conf_values | {"style_image_sha256": digest.upper()}, "conf")
    assert style_image_file(right) == Path(conf_values["style_image"])
    wrong = config_from_mapping(conf_values | {"style_image_sha256": "0" * 64}, "conf")
    with pytest.raises(UserError, match=f"SHA-256 {digest}.*is another file"):
        prepare_style_image(wrong)
    with pytest.raises(UserError, match="style_image_sha256: 'abc' is not a SHA-256"):
        config_from_mapping(conf_values | {"style_image_sha256": "abc"}, "conf")
