"""Hostile clients, each kind for a moment; tests/stress/serve_hostile.py has the long form."""

import gzip
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="the server is an optional extra")
pytest.importorskip("openvino", reason="TensorFlow takes too long to start here")

from starlette.testclient import TestClient

from fast_style.errors import UserError
from fast_style.pictures.images import Picture, decode_picture, encode_picture
from fast_style.serve.app import Access, Limits, application
from fast_style.serve.connections import allow_connections
from fast_style.serve.models import Models
from fast_style.stylize.stylizer import Stylizer, TooLarge
from tests.stress import serve_hostile as hostile
from tests.stress.serve_hostile import answer, connection, flat_png, get, post

FLAGS = "--header-seconds 1 --body-seconds 2 --max-connections 40 --max-body 300KB --max-bodies 1MB"


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


def is_closed_while_sending(client: socket.socket) -> bool:
    """Whether the server closes a connection that sends a byte now and then, before a minute."""
    client.settimeout(0.2)
    for _ in range(300):
        try:
            client.sendall(b"a")
            if not client.recv(1000):
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


def test_a_header_has_its_time_whatever_trickles_in(port: int) -> None:
    with connection(port) as first:
        first.sendall(b"GET /healthz HTTP/1.1\r\nx: ")
        assert is_closed_while_sending(first)
    with connection(port) as second:  # which was a good one before
        second.sendall(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        assert b"200 OK" in second.recv(1000)
        second.sendall(b"GET /healthz HTTP/1.1\r\nx: ")
        assert is_closed_while_sending(second)
    with connection(port) as third:  # which arrives in parts, but in time
        for part in (b"GET /healthz HTTP/1.1\r\n", b"host: 127.0.0.1\r\n", b"\r\n"):
            third.sendall(part)
        assert b"200 OK" in third.recv(1000)


def test_a_body_has_its_time(port: int) -> None:
    status, body = answer(port, post("/stylize/candy", b"x" * 10)[:-1])
    assert status == "408" and b"2 s to arrive" in body
    asked = post("/stylize/candy", b"x" * 10)
    assert answer(port, asked[:-1], more=[asked[-1:]])[0] == "400"  # in time, but no picture


def test_beyond_the_limit_those_that_say_nothing_make_room(port: int) -> None:
    silent = [connection(port) for _ in range(40)]
    assert answer(port, get("/healthz"))[0] == "200"
    silent[0].settimeout(5)
    assert silent[0].recv(10) == b""  # the one that was there first
    for client in silent:
        client.close()


def test_requests_in_work_are_not_closed_for_others(port: int) -> None:
    asked = post("/stylize/candy", flat_png(150, 150))
    with ThreadPoolExecutor(20) as clients:
        working = [clients.submit(answer, port, asked) for _ in range(20)]
        time.sleep(0.3)
        silent = [connection(port) for _ in range(60)]
        found = Counter(one.result()[0] for one in working)
    for client in silent:
        client.close()
    assert found == {"200": 20}


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
    held = [connection(port) for _ in range(4)]
    for client in held:
        client.sendall(post("/stylize/candy", b"x" * 250_000)[:-1])
    time.sleep(0.5)
    status, body = answer(port, post("/stylize/candy", b"x" * 100_000))
    assert status == "429" and b"too many bytes" in body
    packed = post("/stylize/candy", gzip.compress(bytes(100_000)), b"content-encoding: gzip\r\n")
    assert answer(port, packed)[0] == "429"
    for client in held:
        client.close()
    time.sleep(0.3)
    assert answer(port, post("/stylize/candy", b"x" * 100_000))[0] == "400"  # no picture
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
    assert given_up() - before > 20


def test_sigterm_finishes_what_was_accepted() -> None:
    port = free_port()
    rgb = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    asked = post("/stylize/candy", encode_picture(Picture(rgb), ".png"))
    with hostile.server(port, "--body-seconds", "3") as process, ThreadPoolExecutor(12) as clients:
        unfinished = connection(port)
        unfinished.sendall(asked[:-1])
        asking = [clients.submit(answer, port, asked) for _ in range(12)]
        while b"fast_style_waiting 1" not in answer(port, get("/metrics"))[1]:  # 1, 10, 11 or 12
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        answers = [one.result() for one in asking]
        process.wait(30)
        unfinished.close()
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
    access = Access("t", ("https://friend.example",), ("testserver", "[::1]"))
    preflight = {"access-control-request-method": "POST"}
    preflight |= {"access-control-request-headers": "authorization, content-encoding, content-type"}
    with TestClient(application(models, access=access)) as client:
        for host in ("evil.example", "testserver.evil.example", "testserver@evil.example:80"):
            assert client.get("/healthz", headers={"host": host}).status_code == 403
        for host in ("testserver", "TESTSERVER:81", "[::1]:8501"):
            assert client.get("/healthz", headers={"host": host}).status_code == 200
        assert client.get("/healthz", headers=stranger).status_code == 403
        assert client.get("/healthz", headers={"origin": "http://testserver"}).status_code == 200
        allowed = client.options("/stylize/candy", headers=friend | preflight)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://friend.example"
        told = client.get("/healthz", headers=friend).headers
        assert told["access-control-expose-headers"] == "x-fast-style-warning"
        assert client.options("/stylize/candy", headers=stranger | preflight).status_code == 403
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
        found = client.post("/stylize/candy", content=flat_png(9, 9))
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


def test_more_connections_than_files_is_told() -> None:
    with pytest.raises(UserError, match="--max-connections 1000000000: needs"):
        allow_connections(1_000_000_000)
