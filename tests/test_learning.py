"""Styles that people add to a server: at once, and learned by a training of its own."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette", reason="the server is an optional extra")
pytest.importorskip("httpx2")

import httpx2
from starlette.testclient import TestClient

from fast_style.any_style.chosen_style import in_style
from fast_style.conf.locations import PROJECT
from fast_style.model_folder.checkpoint import newest_checkpoint
from fast_style.model_folder.model import read_model
from fast_style.pictures.images import Picture, decode_picture, encode_picture
from fast_style.serve import learning as learning_module
from fast_style.serve.app import application
from fast_style.serve.learning import Learning
from fast_style.serve.limits import Limits
from fast_style.serve.models import Models
from fast_style.serve.own_styles import OwnStyles
from fast_style.stylize.stylizer import Stylizer
from tests.conftest import Photo

PATIENCE = 120  # seconds
QUICKLY = "minutes=0.1"  # no more steps than the conf's warm-up
FOR_LONG = "minutes=5"

Open = Callable[..., contextlib.AbstractContextManager[TestClient]]


@pytest.fixture(scope="module")
def folders(trained_model: Path, any_style_model: Path) -> list[Path]:
    return [trained_model, any_style_model]


@pytest.fixture
def server(folders: list[Path], learning_conf: Path, tmp_path: Path) -> Open:
    """server(): a server whose styles are added to the test's folder, until the block ends."""

    @contextlib.contextmanager
    def opened(
        most: int = 50, pixels: int = 50_000_000, is_allowed: bool = True
    ) -> Iterator[TestClient]:
        own = OwnStyles(tmp_path / "own", most)
        models = Models(folders, precision="float32", own=own)
        learning = Learning(own, folders[1], str(learning_conf)) if is_allowed else None
        app = application(models, Limits(pixels=pixels), learning=learning)
        with TestClient(app, raise_server_exceptions=False) as client:
            yield client

    return opened


def png(rgb: np.ndarray) -> bytes:
    return encode_picture(Picture(rgb), ".png")


def add(client: TestClient, painting: bytes, name: str, query: str = "") -> httpx2.Response:
    return client.post(f"/v1/styles?name={name}&{query}", content=painting)


def until(client: TestClient, name: str, is_reached: Callable[[dict], bool]) -> dict[str, Any]:
    """Waits for a state of a style, and returns it."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        status = client.get(f"/v1/styles/{name}").json()
        if is_reached(status):
            return status
        assert status.get("state") == "learning", status
        time.sleep(0.1)
    raise AssertionError(status)


def has_steps(status: dict[str, Any]) -> bool:
    return status.get("step", 0) > 0


def is_over(status: dict[str, Any]) -> bool:
    return status["state"] != "learning"


def test_a_painting_is_a_style_at_once(
    server: Open, any_style_model: Path, tmp_path: Path, photo: Photo
) -> None:
    painting, content = png(photo(48, 60, seed=7)), photo(20, 30)
    with server() as client:
        answer = add(client, painting, "my wall")
        assert answer.status_code == 201 and answer.json()["state"] == "predicted"
        listed = client.get("/v1/styles").json()
        assert listed["allowed"] and [one["name"] for one in listed["styles"]] == ["my wall"]
        [listed] = [one for one in client.get("/styles").json() if one["own"]]
        assert listed["name"] == "my wall" and listed["mixed_in"] == ["any"]
        stylized = client.post("/stylize/my wall", content=png(content))
        sent_along = client.post("/stylize/any", files={"picture": png(content), "style": painting})
        assert client.delete("/v1/styles/my wall").status_code == 204
        assert client.post("/stylize/my wall", content=png(content)).status_code == 404
    assert list((tmp_path / "own").iterdir()) == []
    (tmp_path / "painting.png").write_bytes(painting)
    predicted = in_style(read_model(any_style_model), str(tmp_path / "painting.png"))
    wanted = Stylizer(predicted, precision="float32")(content).astype(int)
    for answer in (stylized, sent_along):
        np.testing.assert_allclose(decode_picture(answer.content, "answer").rgb, wanted, atol=2)


def test_two_paintings_are_mixed(server: Open, photo: Photo) -> None:
    content = png(photo(20, 30))
    with server() as client:
        for seed, name in enumerate(("a", "b")):
            assert add(client, png(photo(48, 60, seed=seed)), name).status_code == 201
        seen = {
            share: client.post(f"/stylize/any?style=a:{share},b:{1 - share}", content=content)
            for share in (0, 0.5, 1)
        }
        alone = client.post("/stylize/a", content=content)
    pictures = {
        share: decode_picture(answer.content, "answer").rgb.astype(int)
        for share, answer in seen.items()
    }
    np.testing.assert_allclose(pictures[1], decode_picture(alone.content, "a").rgb, atol=1)
    assert all(np.abs(pictures[0.5] - pictures[end]).max() > 0 for end in (0, 1))


def test_a_style_of_a_request_is_never_a_file_of_the_server(
    server: Open, tmp_path: Path, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret.png").write_bytes(png(photo(48, 48)))
    monkeypatch.chdir(tmp_path)
    with server() as client:
        for style in (str(tmp_path / "secret.png"), "secret.png", "secret.png:0.5,tiny:0.5"):
            answer = client.post("/stylize/any", content=png(photo(9, 9)), params={"style": style})
            assert answer.status_code == 400, answer.text
            assert "there is no" in answer.json()["error"]


def test_a_painting_is_learned(
    server: Open, any_style_model: Path, tmp_path: Path, photo: Photo
) -> None:
    with server() as client:
        before = add(client, png(photo(48, 60)), "wall", f"learn=true&{QUICKLY}").json()
        assert before["state"] == "learning"
        with client.stream("GET", "/v1/styles/wall/progress") as events:
            assert events.headers["content-type"].startswith("text/event-stream")
            lines = [line for line in events.iter_lines() if line]
        told = [json.loads(line.removeprefix("data: ")) for line in lines]
        assert [one["state"] for one in told[:-1]] == ["learning"] * (len(told) - 1)
        assert told[-1]["state"] == "learned" and told[-1]["complete"]
        assert told[-1]["version"] != before["version"]
        stylized = client.post("/stylize/wall", content=png(photo(20, 30)))
        assert "is learned already" in client.post("/v1/styles/wall:learn").json()["error"]
    model = read_model(tmp_path / "own" / "wall")
    assert model.name == "wall" and not model.takes_any_style
    wanted = Stylizer(model, precision="float32")(photo(20, 30)).astype(int)
    np.testing.assert_allclose(decode_picture(stylized.content, "answer").rgb, wanted, atol=2)
    with server() as client:  # also after a restart
        assert client.get("/v1/styles/wall").json()["state"] == "learned"


def test_a_stop_keeps_what_is_learned_and_it_can_go_on(
    server: Open, tmp_path: Path, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "own" / "wall"
    with server() as client:
        copy, states = learning_module.copy_model, []

        def noted(*arguments: Any) -> None:
            states.append(client.get("/v1/styles/wall").json()["state"])
            copy(*arguments)

        monkeypatch.setattr(learning_module, "copy_model", noted)
        add(client, png(photo(48, 60)), "wall", f"learn=true&{FOR_LONG}")
        second = add(client, png(photo(30, 40)), "second", f"learn=true&{FOR_LONG}")
        assert second.status_code == 409 and "'wall' is being learned" in second.json()["error"]
        assert add(client, png(photo(30, 40)), "third").status_code == 201  # at once, meanwhile
        assert client.post("/stylize/third", content=png(photo(20, 30))).status_code == 200
        assert client.post("/v1/styles/third:learn").status_code == 409
        assert client.post("/v1/styles/third:stop").status_code == 409
        until(client, "wall", has_steps)
        stopped = client.post("/v1/styles/wall:stop").json()
        assert stopped["state"] == "learned" and not stopped["complete"]
        assert states == ["learning"]  # not a failure, while the network is being written
        checkpoint = newest_checkpoint(folder)
        assert checkpoint is not None and checkpoint.step > 0
        for path, array in read_model(folder).arrays.items():
            np.testing.assert_array_equal(array, checkpoint.arrays[path])
        assert client.post(f"/v1/styles/wall:learn?{FOR_LONG}").status_code == 202
        further = until(client, "wall", lambda status: status["step"] > checkpoint.step)
        assert further["steps"] == checkpoint.config["steps"]
        assert client.delete("/v1/styles/wall").status_code == 204
    assert sorted(path.name for path in folder.parent.iterdir()) == ["third"]


def test_a_killed_training_fails_in_one_sentence_and_continues(
    server: Open, tmp_path: Path, photo: Photo
) -> None:
    folder = tmp_path / "own" / "wall"
    with server() as client:
        add(client, png(photo(48, 60)), "wall", f"learn=true&{FOR_LONG}")
        until(client, "wall", lambda status: status["step"] > 20)
        owner = (folder / "training.lock").read_text()
        os.kill(int(owner.split()[1]), signal.SIGKILL)
        failed = until(client, "wall", is_over)
        assert failed["state"] == "failed" and failed["error"].endswith("by signal 9")
        assert client.post("/stylize/wall", content=png(photo(20, 30))).status_code == 200
    checkpoint = newest_checkpoint(folder)
    assert checkpoint is not None
    with server() as client:  # which continues by itself
        until(client, "wall", lambda status: status["step"] > checkpoint.step)


def test_a_full_disk_loses_nothing(
    server: Open, tmp_path: Path, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server() as client:
        assert add(client, png(photo(48, 60)), "wall").status_code == 201
        full = SimpleNamespace(free=10_000_000)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
        for answer in (
            client.post("/v1/styles/wall:learn"),
            add(client, png(photo(48, 60)), "other"),
        ):
            assert answer.status_code == 507
            assert answer.json()["error"].startswith("the disk has 10 MB free")
        assert client.get("/v1/styles/wall").json()["state"] == "predicted"
        assert client.get("/v1/styles/other").status_code == 404


@pytest.mark.parametrize(
    ("name", "status", "error"),
    [
        ("tiny", 409, "there is already a style 'tiny'"),
        ("any", 409, "there is already a style 'any'"),
        ("there", 409, "there is already a style 'there'"),
        ("../up", 400, "is not a name"),
        ("..", 400, "is not a name"),
        (".hidden", 400, "begins with a dot"),
        ("a/b", 400, "is not a name"),
        ("x" * 81, 400, "more than 80 characters"),
        ("", 400, "is not a name"),
    ],
)
def test_wrong_names(
    server: Open, tmp_path: Path, photo: Photo, name: str, status: int, error: str
) -> None:
    (tmp_path / "own" / "there").mkdir(parents=True)
    with server() as client:
        answer = client.post("/v1/styles", params={"name": name}, content=png(photo(30, 30)))
    assert answer.status_code == status and error in answer.json()["error"]
    assert [path.name for path in tmp_path.rglob("*")] == ["own", "there"]


def test_hostile_files_and_too_much_leave_nothing(
    server: Open, tmp_path: Path, photo: Photo
) -> None:
    good = png(photo(30, 40))
    with server(most=1, pixels=5000) as client:
        for body, status in (
            (b"", 400),
            (b"GIF89a not one", 400),
            (good[:200], 400),
            (b"<svg onload='alert(1)'/>", 400),
            (png(np.zeros((100, 100, 3), np.uint8)), 413),
        ):
            answer = add(client, body, "wall")
            assert answer.status_code == status, answer.text
            assert answer.json()["error"].startswith("the painting: ")
            form = {"picture": png(photo(9, 9)), "style": body}
            if body:
                answer = client.post("/stylize/any", files=form)
                assert answer.status_code == status
                assert answer.json()["error"].startswith("the style image: ")
        assert add(client, good, "wall", "learn=true&minutes=11").status_code == 400
        assert add(client, good, "wall", "learn=perhaps").status_code == 400
        assert list((tmp_path / "own").iterdir()) == []
        assert add(client, good, "wall").status_code == 201
        assert "there are 1 styles already" in add(client, good, "other").json()["error"]
        answer = client.post("/stylize/tiny", files={"picture": good, "style": good})
        assert answer.status_code == 400 and "any" in answer.json()["error"]


def test_it_is_off_where_it_is_not_allowed(server: Open, photo: Photo) -> None:
    with server(is_allowed=False) as client:
        assert client.get("/v1/styles").json() == {"allowed": False, "styles": []}
        for method, path in (
            ("POST", "/v1/styles?name=a"),
            ("POST", "/v1/styles/a:learn"),
            ("GET", "/v1/styles/a/progress"),
            ("DELETE", "/v1/styles/a"),
        ):
            answer = client.request(method, path)
            assert answer.status_code == 403 and "--allow-learning" in answer.json()["error"]


@contextlib.contextmanager
def program(
    folders: list[Path], own: Path, conf: Path, *flags: str, token: str = ""
) -> Iterator[tuple[subprocess.Popen, httpx2.Client]]:
    """The server as a program, and a client of it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "fast_style.serve", "--models", *map(str, folders)]
    command += ["--learned", str(own), "--learning-conf", str(conf), "--port", str(port), *flags]
    environment = os.environ | {"FAST_STYLE_TOKEN": token}
    process = subprocess.Popen(command, cwd=PROJECT, env=environment)
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
            end = time.monotonic() + PATIENCE
            while time.monotonic() < end and process.poll() is None:
                with contextlib.suppress(httpx2.TransportError):
                    client.get("/healthz")
                    break
                time.sleep(0.1)
            yield process, client
    finally:
        process.kill()
        process.wait()


def is_locked(folder: Path) -> bool:
    import fcntl

    with open(folder / "training.lock", "rb+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@pytest.mark.skipif(os.name != "posix", reason="signals and locks of POSIX")
@pytest.mark.slow
@pytest.mark.parametrize("ended", [signal.SIGTERM, signal.SIGKILL])
def test_a_restarted_server_continues(
    folders: list[Path], learning_conf: Path, tmp_path: Path, photo: Photo, ended: signal.Signals
) -> None:
    own = tmp_path / "own"
    with program(folders, own, learning_conf) as (process, client):
        answer = client.post(f"/v1/styles?name=wall&learn=1&{FOR_LONG}", content=png(photo(48, 60)))
        assert answer.status_code == 201
        step = until(client, "wall", lambda status: status["step"] > 25)["step"]
        with client.stream("GET", "/v1/styles/wall/progress"):  # does not keep it from ending
            process.send_signal(ended)
            process.wait(PATIENCE)
    end = time.monotonic() + PATIENCE
    while is_locked(own / "wall") and time.monotonic() < end:
        time.sleep(0.1)  # without the server, the training cannot print its next step
    checkpoint = newest_checkpoint(own / "wall")
    assert checkpoint is not None
    assert checkpoint.step >= (step if ended == signal.SIGTERM else 20)
    with program(folders, own, learning_conf) as (process, client):
        until(client, "wall", lambda status: status["step"] > checkpoint.step)


def test_other_machines_may_add_styles_only_with_the_flag_and_a_token(
    folders: list[Path], learning_conf: Path, tmp_path: Path
) -> None:
    token = {"authorization": "Bearer swordfish"}
    for flags, is_allowed in (([], False), (["--allow-learning"], True)):
        on_all = ["--host", "0.0.0.0", *flags]
        with program(folders, tmp_path, learning_conf, *on_all, token="swordfish") as (_, client):
            assert client.get("/v1/styles").status_code == 401
            assert client.get("/v1/styles", headers=token).json()["allowed"] == is_allowed
    command = [sys.executable, "-m", "fast_style.serve", "--allow-learning"]
    environment = os.environ | {"FAST_STYLE_TOKEN": ""}
    refused = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, env=environment)
    assert refused.returncode == 2 and "--allow-learning: needs a token" in refused.stderr
