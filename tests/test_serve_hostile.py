"""Hostile clients, each kind for a moment; tests/stress/serve_hostile.py has the long form."""

import gzip
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="the server is an optional extra")
pytest.importorskip("openvino", reason="TensorFlow takes too long to start here")

from starlette.testclient import TestClient

from fast_style.errors import UserError
from fast_style.pictures.images import Picture, decode_picture, encode_picture
from fast_style.serve.__main__ import main
from fast_style.serve.access import Access
from fast_style.serve.app import application
from fast_style.serve.limits import Limits
from fast_style.serve.models import Models
from fast_style.stylize.stylizer import Stylizer, TooLarge
from tests.stress import serve_hostile as hostile
from tests.stress.serve_hostile import answer, connection, flat_png, get, post

FLAGS = "--max-connections 40 --max-body 300KB --max-bodies 1MB"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    port = free_port()
    flags = FLAGS.replace("KB", "000").split()
    with hostile.server(port, *flags) as process:
        yield port
        assert process.poll() is None
        assert answer(port, get("/healthz"))[0] == "200"


@pytest.fixture(scope="module")
def models() -> Models:
    return Models([hostile.PROJECT / "pretrained" / "candy"], max_memory=100_000_000)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_until(holds: Callable[[], bool]) -> None:
    """Fails after a minute."""
    until = time.monotonic() + hostile.PATIENCE
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def queue_length(port: int) -> int:
    _, body = answer(port, get("/metrics"))
    found = re.search(rb"^fast_style_waiting (\d+)", body, re.MULTILINE)
    return int(found[1]) if found else 0


def wait_until_accepted(port: int, requests: list[Future]) -> None:
    wait_until(lambda: sum(map(Future.done, requests)) + queue_length(port) == len(requests))


def test_a_body_that_does_not_arrive_is_408() -> None:
    port = free_port()
    with hostile.server(port, "--body-seconds", "0.5"):
        status, body = answer(port, post("/stylize/candy", b"x" * 10)[:-1])
    assert status == "408" and b"did not arrive within 0.5 s" in body


def test_connections_beyond_the_limit_get_503_and_accepted_requests_are_finished(port: int) -> None:
    asked = post("/stylize/candy", flat_png(100, 100))
    with ThreadPoolExecutor(10) as clients:
        accepted = [clients.submit(answer, port, asked) for _ in range(10)]
        wait_until_accepted(port, accepted)
        idle = [connection(port) for _ in range(40)]
        refused, _ = answer(port, asked)
        found = Counter(one.result()[0] for one in accepted)
    for client in idle:
        client.close()
    assert refused == "503" and found == {"200": 10}
    wait_until(lambda: answer(port, asked)[0] == "200")


@pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed")
def test_the_nginx_example_of_the_docs(port: int) -> None:
    front, page = free_port(), b"origin: http://127.0.0.1\r\n"
    with hostile.nginx(front, port, client_header_timeout="1s", client_body_timeout="1s"):
        assert answer(front, post("/stylize/candy", flat_png(20, 20), page))[0] == "200"
        assert answer(front, post("/stylize/candy", b"x" * 301_000))[0] == "413"
        silent = [connection(front) for _ in range(600)]  # nginx has room for 512
        assert answer(front, get("/healthz"))[0] == "200"
        for client in silent:
            client.close()
        unfinished = (
            b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nx: ",
            post("/stylize/candy", b"x" * 10)[:-1],
        )
        for asked in unfinished:
            assert answer(front, asked)[0] in (hostile.CLOSED, "408")


@pytest.mark.parametrize(
    "attack",
    [
        hostile.wrong_lengths,
        hostile.gzip_bombs,
        hostile.big_headers,
        hostile.paths,
        hostile.bad_base64,
        hostile.elsewhere,
    ],
)
def test_garbage_gets_an_answer_without_a_path_or_a_trace(port: int, attack) -> None:
    counted: Counter[str] = Counter()
    seen: list[bytes] = []
    attack(port, np.random.default_rng(0), counted, seen)
    assert not any(status.startswith("5") or status == "no answer" for status in counted)
    assert not [body for body in seen if hostile.LEAK.search(body)]
    assert max(map(len, seen)) < 600


def test_a_chunked_body_has_the_limit_of_others(port: int) -> None:
    head = b"POST /stylize/candy HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    assert answer(port, head, more=[chunk] * 6)[0] == "413"
    assert answer(port, head + b"5;" + b"e" * 100_000)[0] == "400"


def test_a_compressed_body_has_the_limit_of_others(port: int) -> None:
    def ask(body: bytes) -> tuple[str, bytes]:
        return answer(port, post("/stylize/candy", body, b"content-encoding: gzip\r\n"))

    status, body = ask(gzip.compress(bytes(300_001)))  # 300 bytes
    assert status == "413" and b"300,000 bytes" in body
    status, body = ask(gzip.compress(bytes(300_000)))
    assert status == "400" and b"not a JPEG" in body
    status, body = ask(gzip.compress(b"")[:10] + b"\0\0\0\xff\xff" * 60_001)  # of nothing at all
    assert status == "413"


def test_bodies_have_a_limit_together(port: int) -> None:
    plain, held = post("/stylize/candy", b"x" * 100_000), []

    def is_refused_beside_one_more() -> bool:
        held.append(connection(port))
        held[-1].sendall(post("/stylize/candy", b"x" * 250_000)[:-1])
        return answer(port, plain)[0] == "429"

    wait_until(is_refused_beside_one_more)
    assert len(held) >= 4
    assert b"too many bytes" in answer(port, plain)[1]
    packed = post("/stylize/candy", gzip.compress(bytes(100_000)), b"content-encoding: gzip\r\n")
    assert answer(port, packed)[0] == "429"
    for client in held:
        client.close()
    wait_until(lambda: answer(port, plain)[0] == "400")  # no picture
    assert answer(port, packed)[0] == "400"


def test_what_nobody_waits_for_is_not_done(port: int) -> None:
    def given_up() -> int:
        _, told = answer(port, get("/metrics"))
        found = re.search(rb'requests_total{path="/stylize",status="499"} (\d+)', told)
        return int(found[1]) if found else 0

    before = given_up()
    asked = post("/stylize/candy", flat_png(400, 400))
    for _ in range(30):
        with connection(port) as client:
            client.sendall(asked)
    assert answer(port, post("/stylize/candy", flat_png(20, 20)))[0] == "200"
    wait_until(lambda: given_up() - before > 20)


def test_sigterm_finishes_what_was_accepted() -> None:
    port = free_port()
    rgb = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    asked = post("/stylize/candy", encode_picture(Picture(rgb), ".png"))
    with hostile.server(port) as process, ThreadPoolExecutor(12) as clients:
        asking = [clients.submit(answer, port, asked) for _ in range(12)]
        wait_until_accepted(port, asking)
        process.send_signal(signal.SIGTERM)
        answers = [one.result() for one in asking]
        process.wait(hostile.PATIENCE)
    assert Counter(status for status, _ in answers) == {"200": 12}
    assert {decode_picture(body, "it").rgb.shape for _, body in answers} == {rgb.shape}


def test_a_token_is_wanted_for_all_but_a_probe(models: Models) -> None:
    with TestClient(application(models, access=Access(token="swordfish"))) as client:
        asked = client.get("/styles")
        assert asked.status_code == 401 and "Basic" in asked.headers["www-authenticate"]
        assert client.get("/healthz").status_code == 200
        for wrong in ("Bearer sword", "Bearer", "Basic !!", "swordfish", "Bearer caf\u00e9"):
            headers = {"authorization": wrong.encode("latin-1")}
            assert client.get("/styles", headers=headers).status_code == 401
        assert client.get("/styles", headers={"authorization": "Bearer swordfish"}).json()
        assert client.get("/page/index.html", auth=("anybody", "swordfish")).status_code == 200


def test_pages_from_elsewhere_are_refused_unless_they_are_named(models: Models) -> None:
    friend, stranger = {"origin": "https://friend.example"}, {"origin": "https://evil.example"}
    access = Access("t", ("https://FRIEND.example/",), ("testserver", "[::1]"))
    preflight = {"access-control-request-method": "POST"}
    preflight |= {"access-control-request-headers": "authorization, content-encoding, content-type"}
    with TestClient(application(models, access=access)) as client:
        for host in ("evil.example", "testserver.evil.example", "testserver@evil.example:80"):
            assert client.get("/healthz", headers={"host": host}).status_code == 400
        for host in ("testserver", "TESTSERVER:81", "[::1]:8501"):
            assert client.get("/healthz", headers={"host": host}).status_code == 200
        assert client.get("/healthz", headers=stranger).status_code == 403
        assert client.get("/healthz", headers={"origin": "http://testserver"}).status_code == 200
        allowed = client.options("/stylize/candy", headers=friend | preflight)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://friend.example"
        told = client.get("/healthz", headers=friend).headers
        assert told["access-control-expose-headers"] == "x-fast-style-warning"
        assert client.options("/stylize/candy", headers=stranger | preflight).status_code == 400
    with TestClient(application(models)) as client:
        told = client.get("/healthz").headers
        assert not [name for name in told if name.startswith("access-control")]
        assert client.post("/stylize/candy", content=b"", headers=stranger).status_code == 403


def test_the_pixels_of_a_request_are_counted_together_with_their_borders(models: Models) -> None:
    with TestClient(application(models, Limits(pixels=20_000))) as client:
        one = [[[0, 0, 0]]]
        for number, status in ((2, 200), (9, 413)):
            body = {"instances": [one] * number}
            assert client.post("/v1/models/candy:predict", json=body).status_code == status
        thin = client.post("/stylize/candy", content=flat_png(1, 1000))
    assert thin.status_code == 413 and "borders" in thin.json()["error"]


def test_what_does_not_fit_even_in_rows_is_413(models: Models) -> None:
    with TestClient(application(models)) as client:
        wide = client.post("/stylize/candy", content=flat_png(30_000, 1))
    assert wide.status_code == 413 and "30000x1" in wide.json()["error"]
    with pytest.raises(TooLarge, match="even in rows"):
        models.stylizer("candy")(np.zeros((1, 30_000, 3), np.uint8))


def test_an_error_in_a_model_does_not_name_its_file(tmp_path: Path) -> None:
    folder = tmp_path / "candy"
    folder.mkdir()
    source = hostile.PROJECT / "pretrained" / "candy"
    for path in source.iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    models = Models([folder])
    for path in folder.iterdir():
        path.write_bytes(b"")  # after the start
    with TestClient(application(models), raise_server_exceptions=False) as client:
        for found in (
            client.post("/stylize/candy", content=flat_png(9, 9)),
            client.get("/styles/candy.jpg"),
        ):
            assert found.status_code == 500 and str(tmp_path) not in found.text


@pytest.mark.slow
def test_openvino_keeps_little_of_each_shape() -> None:
    network = Stylizer(hostile.PROJECT / "pretrained" / "candy").network
    rng = np.random.default_rng(0)
    before = 0
    for number in range(400):
        if number == 100:
            before = hostile.resident_bytes(os.getpid())
        network.whole(np.zeros((*rng.integers(1, 120, 2), 3), np.uint8))
    grown = hostile.resident_bytes(os.getpid()) - before
    assert grown < 60e6  # 120 MB without a limit


def test_released_memory_is_given_back() -> None:
    stylizer = Stylizer(hostile.PROJECT / "pretrained" / "candy")
    rgb = np.random.default_rng(0).integers(0, 256, (700, 900, 3), dtype=np.uint8)
    stylized = stylizer(rgb)
    held = hostile.resident_bytes(os.getpid())
    stylizer.release()
    assert held - hostile.resident_bytes(os.getpid()) > 50e6
    np.testing.assert_array_equal(stylizer(rgb), stylized)


HOARDER = """
import os, sys
import numpy as np
from fast_style.serve.memory import give_memory_back
from tests.stress.serve_hostile import resident_bytes
if sys.argv[1] == "give back":
    give_memory_back()
for megabytes in (20, 1):  # after a large block that was freed, glibc keeps smaller ones
    blocks = [np.ones(megabytes << 17) for _ in range(100 // megabytes)]
    last = blocks[-1]
    del blocks
print(resident_bytes(os.getpid()))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries do as they do")
def test_memory_of_a_request_is_given_back() -> None:
    kept, given_back = (
        int(subprocess.check_output([sys.executable, "-c", HOARDER, how], cwd=hostile.PROJECT))
        for how in ("keep", "give back")
    )
    assert kept - given_back > 50e6


@pytest.mark.parametrize("name", ["style.example.com:443", "https://example.com", "a*.b"])
def test_a_name_of_the_server_is_only_a_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["serve", "--allow-host", name])
    with pytest.raises(UserError, match=f"{re.escape(name)} is not a host name without a port"):
        main()
