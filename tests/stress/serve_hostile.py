"""Hostile clients to a server of its own, and good ones beside them: does it hold?

    python -m tests.stress.serve_hostile --minutes 60 --nginx

Attacks in turn, round after round, then all at once, then SIGTERM under load. Every answer is
searched for stack traces and paths, every good request's answer is compared with what `Stylizer`
makes of its picture, and the server's memory is read after each attack. Only to 127.0.0.1.

With --nginx, clients reach the server through nginx with the example of docs/serve.md. Without it,
the attacks that only a proxy stops are left out.
"""

import argparse
import base64
import contextlib
import gzip
import json
import os
import re
import resource
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from fast_style.conf.locations import PROJECT
from fast_style.pictures.images import Picture, decode_picture, encode_picture
from fast_style.stylize.stylizer import Stylizer

STYLES = ("candy", "wave", "mosaic")
PATIENCE = 60.0  # seconds, for any answer
LEAK = re.compile(rb"Traceback|File \"|\.py\b|site-packages|/(work|usr|root|home|tmp|proc)/")
CLOSED, SILENT, OPEN = "closed", "no answer", "still open"
MEGABYTE = 1e6
Attack = Callable[[int, np.random.Generator, Counter, list[bytes]], None]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--port", type=int, default=8598)
    parser.add_argument("--nginx", action="store_true", help="attack through nginx, at --port + 1")
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--may-grow", type=float, default=150, help="MB, after the first round")
    args = parser.parse_args()
    _allow_files(args.connections + 500)
    attacks, port = ATTACKS, args.port
    with contextlib.ExitStack() as running:
        process = running.enter_context(server(args.port, "--body-seconds", "10"))
        if args.nginx:
            port = args.port + 1
            running.enter_context(nginx(port, args.port))
            idle = idle_connections(args.connections)
            attacks = ATTACKS | {"slow headers": slow_headers, "connections at once": idle}
            # nginx has no limit for a whole body, and keeps a slow one away from the server.
            del attacks["slow bodies"]
        findings: list[str] = []
        good = GoodClients(port)
        started = time.monotonic()
        number, after_first_round = 0, 0.0
        print(
            f"{'minute':>6}  {'attack':22} {'answered how':58} {'good':>5} {'again':>5} {'MB':>6}"
        )
        while number < len(attacks) or time.monotonic() - started < 60 * args.minutes:
            name = list(attacks)[number % len(attacks)]
            rng = np.random.default_rng(number)
            findings += _attacked({name: attacks[name]}, rng, process, good, port, started)
            number += 1
            if number == len(attacks):
                after_first_round = resident_bytes(process.pid) / MEGABYTE
        findings += _attacked(attacks, rng, process, good, port, started)
        findings += good.findings
        time.sleep(1)
        grown = resident_bytes(process.pid) / MEGABYTE - after_first_round
        print(
            f"memory {grown:+.0f} MB since the first round, which ended at {after_first_round:.0f}"
        )
        if grown > args.may_grow:
            findings.append(f"memory grew by {grown:.0f} MB")
        print(f"good: {good.right} right, {good.again} asked again, slowest {good.slowest:.1f} s;")
        print(f"/healthz: {good.probes} times, slowest {good.slowest_probe:.2f} s")
        findings += sigterm_under_load(process, args.port, good)
    for finding in findings:
        print(f"FINDING: {finding}")
    return 1 if findings else 0


@contextlib.contextmanager
def server(port: int, *flags: str, **environment: str) -> Iterator[subprocess.Popen]:
    """A server of some of the styles, that is up, until the end of the block."""
    models = [str(PROJECT / "pretrained" / style) for style in STYLES]
    command = [sys.executable, "-m", "fast_style.serve", "--port", str(port), "--models", *models]
    process = subprocess.Popen(
        [*command, *flags],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | environment,
    )
    try:
        _wait_until_healthy(port, process)
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def nginx(port: int, server_port: int, **changes: str) -> Iterator[None]:
    """nginx before a server, with the example of docs/serve.md but for TLS, until the block ends.

    changes: values of directives in the example that are to be others.
    """
    text = (PROJECT / "docs" / "serve.md").read_text()
    example = text.partition("```nginx\n")[2].partition("```")[0]
    example = re.sub(r"(?m)^ *ssl_.*\n", "", example)
    example = example.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
    example = example.replace("127.0.0.1:8501", f"127.0.0.1:{server_port}")
    for directive, value in changes.items():
        example, found = re.subn(rf"\b{directive} [^;]*;", f"{directive} {value};", example)
        assert found, directive
    with tempfile.TemporaryDirectory() as folder:
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
        conf = Path(folder) / "nginx.conf"
        conf.write_text(
            f"daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log {folder}/errors;\n"
            f"events {{}}\nhttp {{\naccess_log off;\n{paths}{example}}}\n"
        )
        process = subprocess.Popen(["nginx", "-c", conf, "-e", f"{folder}/errors"])
        try:
            _wait_until_healthy(port, process)
            yield
        finally:
            process.kill()
            process.wait()


class GoodClients:
    """Requests that have a right answer, and how many of them got it."""

    def __init__(self, port: int):
        self.port = port
        self.findings: list[str] = []
        self.right = self.again = self.probes = 0
        self.slowest = self.slowest_probe = 0.0
        rng = np.random.default_rng(0)
        self.requests = []
        for style in STYLES:
            rgb = rng.integers(0, 256, (90, 120, 3), dtype=np.uint8)
            stylizer = Stylizer(PROJECT / "pretrained" / style)
            asked = post(f"/stylize/{style}", encode_picture(Picture(rgb), ".png"))
            self.requests.append((asked, stylizer(rgb)))

    def ask(self, number: int) -> None:
        """One request; told to come again, or closed unheard, it is sent again as clients do."""
        asked, expected = self.requests[number % len(self.requests)]
        started = time.monotonic()
        status, body = SILENT, b""
        while time.monotonic() - started < PATIENCE:
            status, body = answer(self.port, asked)
            if status not in ("429", "503", CLOSED):
                break
            self.again += 1
            time.sleep(0.5)
        self.slowest = max(self.slowest, time.monotonic() - started)
        if status != "200":
            self.findings.append(f"a good request was lost: {status} {body[:200]!r}")
        elif not _is_like(decode_picture(body, "the answer").rgb, expected):
            self.findings.append("a good request got other pixels")
        else:
            self.right += 1

    def ask_until(self, ended: threading.Event) -> None:
        number = 0
        while not ended.is_set():
            self.ask(number)
            number += 1
            ended.wait(0.2)

    def probe_until(self, ended: threading.Event) -> None:
        while not ended.wait(0.2):
            started = time.monotonic()
            status, _ = answer(self.port, get("/healthz"))
            if status in (CLOSED, "503"):
                self.again += 1
                continue
            self.probes += 1
            self.slowest_probe = max(self.slowest_probe, time.monotonic() - started)
            if status != "200":
                self.findings.append(f"/healthz: {status}")


def _attacked(
    attacks: dict[str, Attack],
    rng: np.random.Generator,
    process: subprocess.Popen,
    good: GoodClients,
    port: int,
    started: float,
) -> list[str]:
    """Run the attacks at once beside good clients, print a row, and return what is wrong."""
    counted: Counter = Counter()
    seen: list[bytes] = []
    ended = threading.Event()
    right, again = good.right, good.again
    with ThreadPoolExecutor() as beside, ThreadPoolExecutor(len(attacks)) as hostile:
        beside.submit(good.ask_until, ended)
        beside.submit(good.probe_until, ended)
        try:
            seeds = rng.integers(0, 2**32, len(attacks))
            running = [
                hostile.submit(attack, port, np.random.default_rng(seed), counted, seen)
                for attack, seed in zip(attacks.values(), seeds, strict=True)
            ]
            for attack in running:
                attack.result()
        finally:
            ended.set()
    name = next(iter(attacks)) if len(attacks) == 1 else "all at once"
    how = ", ".join(f"{number} {status}" for status, number in sorted(counted.items()))
    memory = resident_bytes(process.pid) / MEGABYTE if process.poll() is None else 0
    print(
        f"{(time.monotonic() - started) / 60:6.1f}  {name:22} {how:58} {good.right - right:5} "
        f"{good.again - again:5} {memory:6.0f}",
        flush=True,
    )
    leaks = [body for body in seen if LEAK.search(body)]
    findings = [f"{name}: an answer shows {body[:300]!r}" for body in leaks]
    if process.poll() is not None:
        raise SystemExit(f"{name}: the server ended with status {process.returncode}")
    return findings + [
        f"{name}: {counted[wrong]} {wrong}" for wrong in ("500", OPEN) if counted[wrong]
    ]


def slow_headers(port: int, rng: np.random.Generator, counted: Counter, seen: list[bytes]) -> None:
    _trickle(port, b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nx: " + b"a" * 200, counted, seen)


def slow_bodies(port: int, rng: np.random.Generator, counted: Counter, seen: list[bytes]) -> None:
    whole = post("/stylize/candy", b"x" * 5000)
    head, body = whole.split(b"\r\n\r\n", 1)
    _trickle(port, head + b"\r\n\r\n" + body, counted, seen, len(head) + 4)


def wrong_lengths(port: int, rng: np.random.Generator, counted: Counter, seen: list[bytes]) -> None:
    lengths = (b"-1", b"1e3", b"99999999999999999999", b"5, 6", b"", b"\xff", b"64000001", b"0x10")
    for length in lengths:
        head = b"POST /stylize/candy HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: " + length
        _count(port, head + b"\r\n\r\nabc", counted, seen)
    both = b"POST /stylize/candy HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 3\r\n"
    _count(port, both + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\nabc", counted, seen)
    for length in (1, 100):  # shorter and longer than what comes, which then ends
        head = (
            f"POST /stylize/candy HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {length}\r\n\r\n"
        )
        _count(port, head.encode() + b"abcdef", counted, seen, and_end=True)


def chunked_bombs(port: int, rng: np.random.Generator, counted: Counter, seen: list[bytes]) -> None:
    head = b"POST /stylize/candy HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\n"
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    _count(port, head, counted, seen, more=(chunk for _ in range(100)))
    _count(port, head, counted, seen, more=(b"1\r\nx\r\n" * 10_000 for _ in range(30)))
    _count(port, head + b"5;" + b"e" * 100_000, counted, seen)
    _count(port, head + b"FFFFFFFFFFFFFFFFFFFFFFFF\r\nabc", counted, seen)
    _count(port, head + b"0\r\n" + b"trailer: x\r\n" * 10_000, counted, seen)


def gzip_bombs(port: int, rng: np.random.Generator, counted: Counter, seen: list[bytes]) -> None:
    gzip_encoded, nothing = b"content-encoding: gzip\r\n", gzip.compress(b"")
    bodies = (
        gzip.compress(bytes(200_000_000)),  # 195 KB
        gzip.compress(gzip.compress(bytes(200_000_000))),
        nothing * 50_000,
        nothing + bytes(1_000_000),
        gzip.compress(rng.bytes(5000))[:-9],
        gzip.compress(rng.bytes(5000))[:-9] + bytes(9),
        rng.bytes(5000),
        b"",
    )
    for path in ("/stylize/candy", "/v1/models/candy:predict"):
        for body in bodies:
            _count(port, post(path, body, gzip_encoded), counted, seen)
    for encoding in (b"br", b"gzip, gzip", b"", b"\xff"):
        asked = post("/stylize/candy", b"x", b"content-encoding: " + encoding + b"\r\n")
        _count(port, asked, counted, seen)


def big_headers(port: int, rng: np.random.Generator, counted: Counter, seen: list[bytes]) -> None:
    _count(port, b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", counted, seen)
    lines = b"".join(b"h%d: v\r\n" % number for number in range(10_000))
    _count(port, b"GET / HTTP/1.1\r\n" + lines + b"\r\n", counted, seen)
    for garbage in (rng.bytes(2000), b"\x16\x03\x01\x02\x00\x01\x00", b"\r\n" * 3000, b"\0" * 50):
        _count(port, garbage + b"\r\n\r\n", counted, seen)


def paths(port: int, rng: np.random.Generator, counted: Counter, seen: list[bytes]) -> None:
    up = ("..", "%2e%2e", "..%2f..%2f..%2fetc%2fpasswd", "../" * 9 + "etc/passwd", "%00", "%ff")
    names = (*up, "candy%00", "candy/../candy", "a" * 5000, "%0d%0aset-cookie:x", "C:%5Cwindows")
    for name in names:
        for path in (f"/page/{name}", f"/styles/{name}.jpg", f"/v1/models/{name}", f"/{name}"):
            _count(port, get(path), counted, seen)
        for path in (f"/stylize/{name}", f"/v1/models/{name}:predict"):
            _count(port, post(path, b"x"), counted, seen)


def huge_json(port: int, rng: np.random.Generator, counted: Counter, seen: list[bytes]) -> None:
    size = 3_000_000
    bodies = [
        b"[" * size,
        b'{"instances": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"instances": [' + b"[]," * (size // 3) + b"[]]}",
        b'{"instances": [' + b'{"a":1},' * (size // 8) + b"{}]}",
        b'{"instances": [[[' + b"[1,2,3]," * (size // 8) + b"[1,2]]]]}",
        b'{"instances": [[[[1' + b"0" * 400 + b",2,3]]]]}",
        b'{"instances": [[[[1' + b"0" * 5000 + b",2,3]]]]}",
        b'{"instances": [[[[1,2,3]]]], "signature_name": "' + b"s" * size + b'"}',
        b'{"instances": [[[[1,2,3]]]], "signature_name": [{}]}',
        b'{"instances": [' + b"[[[1,2,3]]]," * 30_000 + b"[[[1,2,3]]]]}",
        b'"\\ud800' + b"\xff" * 100,
    ]
    for body in bodies:
        _count(port, post("/v1/models/candy:predict", body), counted, seen)


def bad_base64(port: int, rng: np.random.Generator, counted: Counter, seen: list[bytes]) -> None:
    noise = base64.b64encode(rng.bytes(3000)).decode()
    for text in (
        "!!",
        "=" * 1000,
        "YWJ",
        noise,
        "\u00e9",
        "A" * 4_000_001,
        "",
        None,
        7,
        {},
        [noise],
    ):
        body = json.dumps({"instances": [{"b64": text}]}).encode()
        _count(port, post("/v1/models/candy:predict", body), counted, seen)


def pictures(port: int, rng: np.random.Generator, counted: Counter, seen: list[bytes]) -> None:
    """Of claimed sizes, of thin ones, and of a new size each."""
    for width, height in ((1, 2**31 - 1), (70_000, 70_000), (1, 50_000_000), (1, 2_000_000)):
        _count(port, post("/stylize/candy", flat_png(width, height)), counted, seen)
    _count(port, post("/stylize/candy", flat_png(1, 20_000)), counted, seen)
    _count(port, post("/stylize/wave", flat_png(20_000, 1)), counted, seen)
    for query in ("scale=999999999", "max_size=" + "9" * 4000, "strength=nan", "scale=1&scale=x"):
        _count(port, post(f"/stylize/candy?{query}", flat_png(50, 50)), counted, seen)
    for _ in range(40):
        width, height = (int(side) for side in rng.integers(1, 200, 2))
        _count(port, post("/stylize/mosaic", flat_png(width, height)), counted, seen)


def forms(port: int, rng: np.random.Generator, counted: Counter, seen: list[bytes]) -> None:
    kinds = (b"", b"; boundary=", b"; boundary=x", b"; boundary=" + b"b" * 500)
    bodies = (
        b"",
        b"--x\r\n" * 10_000,
        b"--x\r\ncontent-disposition: form-data\r\n\r\na\r\n--x--\r\n",
    )
    field = b'--x\r\ncontent-disposition: form-data; name="strength"\r\n\r\n%s\r\n--x--\r\n'
    many = b'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n' * 2000
    for kind in kinds:
        for body in (*bodies, field % (b"9" * 900_000), field % (b"9" * 2_000_000), many):
            extra = b"content-type: multipart/form-data" + kind + b"\r\n"
            _count(port, post("/stylize/candy", body, extra), counted, seen)


def cancelled(port: int, rng: np.random.Generator, counted: Counter, seen: list[bytes]) -> None:
    asked = post("/stylize/candy", flat_png(400, 400))
    for number in range(200):
        with contextlib.suppress(OSError), connection(port) as client:
            client.sendall(asked[: len(asked) - (number % 3 == 0)])
            if number % 2:  # a reset rather than an end
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        counted["given up"] += 1


def slow_readers(port: int, rng: np.random.Generator, counted: Counter, seen: list[bytes]) -> None:
    """Ask for 4 MB and do not take them."""
    rgb = rng.integers(0, 256, (1100, 1200, 3), dtype=np.uint8)
    asked = post("/stylize/candy?strength=0", encode_picture(Picture(rgb), ".png"))
    clients = []
    for _ in range(3):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(PATIENCE)
        clients.append(client)
        with contextlib.suppress(ConnectionError):  # turned away where there are many others
            client.connect(("127.0.0.1", port))
            client.sendall(asked)
    time.sleep(20)
    for client in clients:
        counted["not read"] += 1
        client.close()


def elsewhere(port: int, rng: np.random.Generator, counted: Counter, seen: list[bytes]) -> None:
    for header in (b"origin: https://evil.example\r\n", b"origin: null\r\n"):
        _count(port, post("/stylize/candy", flat_png(20, 20), header), counted, seen)
        _count(port, get("/styles", header), counted, seen)
    _count(port, b"GET /styles HTTP/1.1\r\nhost: evil.example\r\n\r\n", counted, seen)


def idle_connections(number: int) -> Attack:
    def attack(port: int, rng: np.random.Generator, counted: Counter, seen: list[bytes]) -> None:
        clients = []
        for _ in range(number):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
            clients.append(client)
        time.sleep(10)
        for client in clients:
            try:
                got = client.recv(1000)
                counted[_status(got)] += 1
                seen.append(got)
            except BlockingIOError:
                counted["waiting"] += 1
            except OSError:
                counted[CLOSED] += 1
            client.close()

    return attack


ATTACKS: dict[str, Attack] = {
    "slow bodies": slow_bodies,
    "wrong lengths": wrong_lengths,
    "chunked bombs": chunked_bombs,
    "gzip bombs": gzip_bombs,
    "big headers": big_headers,
    "paths": paths,
    "huge JSON": huge_json,
    "bad base64": bad_base64,
    "pictures": pictures,
    "forms": forms,
    "cancelled requests": cancelled,
    "slow readers": slow_readers,
    "pages from elsewhere": elsewhere,
}


def sigterm_under_load(process: subprocess.Popen, port: int, good: GoodClients) -> list[str]:
    """Whatever was accepted is answered, although others never end their requests."""
    right, number = good.right, 30
    loris = [connection(port) for _ in range(20)]
    for client in loris[:10]:
        client.sendall(post("/stylize/candy", b"x" * 100)[:-1])
    with ThreadPoolExecutor(number) as clients:
        asked = [clients.submit(good.ask, one) for one in range(number)]
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            done = good.right - right  # before the queue is read, so that none counts twice
            _, told = answer(port, get("/metrics"))
            waiting = re.search(rb"^fast_style_waiting (\d+)", told, re.MULTILINE)
            if done + int(waiting[1] if waiting else 0) >= number:
                break
        left = number - (good.right - right)
        process.terminate()
        started = time.monotonic()
        for one in asked:
            one.result()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        return ["the server did not end"]
    for client in loris:
        client.close()
    done = good.right - right
    print(
        f"SIGTERM with {left} requests waiting: {done} of {number} answered, ended after ", end=""
    )
    print(f"{time.monotonic() - started:.1f} s with status {process.returncode}")
    return [] if done == number else [f"SIGTERM lost {number - done} accepted requests"]


def get(path: str, extra: bytes = b"") -> bytes:
    return b"GET %s HTTP/1.1\r\nhost: 127.0.0.1\r\n%sconnection: close\r\n\r\n" % (
        path.encode(),
        extra,
    )


def post(path: str, body: bytes, extra: bytes = b"") -> bytes:
    head = (
        b"POST %s HTTP/1.1\r\nhost: 127.0.0.1\r\n%sconnection: close\r\ncontent-length: %d\r\n\r\n"
    )
    return head % (path.encode(), extra, len(body)) + body


def flat_png(width: int, height: int) -> bytes:
    """A black picture of any claimed size, with the pixels of up to 20 MB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(min((width + 1) * height, 20_000_000)))
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def connection(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


def answer(
    port: int,
    asked: bytes,
    patience: float = PATIENCE,
    more: Sequence[bytes] | Iterator[bytes] = (),
    and_end: bool = False,
) -> tuple[str, bytes]:
    """Status, or how it ended instead, and body of the first answer to these bytes."""
    got = b""
    try:
        with connection(port) as client:
            client.settimeout(patience)
            with contextlib.suppress(ConnectionError):  # the answer may be there all the same
                client.sendall(asked)
                for part in more:
                    client.sendall(part)
                if and_end:
                    client.shutdown(socket.SHUT_WR)
            while part := client.recv(1 << 16):
                got += part
                head, _, body = got.partition(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                if length and len(body) >= int(length[1]):
                    break
    except TimeoutError:
        return SILENT, got
    except OSError:
        pass
    return _status(got), got.partition(b"\r\n\r\n")[2]


def _status(got: bytes) -> str:
    return got[9:12].decode() if got.startswith(b"HTTP/1.1 ") else CLOSED


def _count(port: int, asked: bytes, counted: Counter, seen: list[bytes], **how: object) -> None:
    status, body = answer(port, asked, **how)  # type: ignore[arg-type]
    counted[status] += 1
    if status != "200":
        seen.append(body)


def _trickle(
    port: int, asked: bytes, counted: Counter, seen: list[bytes], at_once: int = 10
) -> None:
    """Many clients that send a byte every half second, until they are answered or closed."""
    clients = []
    for _ in range(100):
        try:
            client = connection(port)
            client.sendall(asked[:at_once])
        except ConnectionError:  # turned away where there are many others
            counted[CLOSED] += 1
            continue
        client.setblocking(False)
        clients.append(client)
    sent = at_once
    until = time.monotonic() + PATIENCE
    while clients and time.monotonic() < until:
        time.sleep(0.5)
        for client in list(clients):
            try:
                got = client.recv(10_000)
            except BlockingIOError:
                with contextlib.suppress(OSError):
                    client.send(asked[sent : sent + 1])
                continue
            except OSError:
                got = b""
            counted[_status(got)] += 1
            seen.append(got)
            clients.remove(client)
            client.close()
        sent += 1
    for client in clients:
        counted[OPEN] += 1
        client.close()


def _wait_until_healthy(port: int, process: subprocess.Popen) -> None:
    until = time.monotonic() + PATIENCE
    while answer(port, get("/healthz"), 1)[0] != "200":
        assert process.poll() is None and time.monotonic() < until, "the server did not start"
        time.sleep(0.1)


def _is_like(rgb: np.ndarray, expected: np.ndarray) -> bool:
    """Apart by what bfloat16 rounds otherwise in a network that is compiled for any shape."""
    apart = np.abs(rgb.astype(int) - expected)
    return rgb.shape == expected.shape and apart.max() <= 8 and apart.mean() < 1


def resident_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def _allow_files(number: int) -> None:
    _, may_be = resource.getrlimit(resource.RLIMIT_NOFILE)
    if may_be != resource.RLIM_INFINITY and may_be < number:
        raise SystemExit(f"{number} open files are needed, and {may_be} are allowed (ulimit -n)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, may_be))


if __name__ == "__main__":
    sys.exit(main())
