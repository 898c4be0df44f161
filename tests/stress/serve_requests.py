"""Many requests at once to a server of its own: is any lost or wrong, how long do they take.

    python -m tests.stress.serve_requests --models pretrained --requests 1000 --concurrency 16

Clients speak TensorFlow Serving's REST API, with encoded pictures of several sizes and formats, and
every answer is compared with what `Stylizer` makes of the same picture.
"""

import argparse
import base64
import json
import signal
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fast_style.pictures.images import Picture, decode_picture, encode_picture
from fast_style.serve.models import Models

SIZES = ((96, 128), (128, 96), (77, 201), (160, 160))
MEGABYTE = 1e6


@dataclass(frozen=True)
class Request:
    """A question to the server, and the pixels that are the right answer to it."""

    style: str
    body: bytes
    expected: np.ndarray


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", type=Path, default=Path("pretrained"))
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--port", type=int, default=8599)
    args = parser.parse_args()
    requests = _requests(Models([args.models]))
    command = [sys.executable, "-m", "fast_style.serve", "--models", str(args.models)]
    server = subprocess.Popen(
        [*command, "--port", str(args.port)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        url = f"http://127.0.0.1:{args.port}"
        _wait_until_healthy(url, server)
        for request in requests:  # every style loaded, every size compiled
            _ask(url, request)
        before = _resident_bytes(server.pid)
        asked = [requests[number % len(requests)] for number in range(args.requests)]
        started = time.perf_counter()
        with ThreadPoolExecutor(args.concurrency) as clients:
            answers = clients.map(lambda request: _ask(url, request), asked)
            found = list(tqdm(answers, total=len(asked), unit=" requests"))
        seconds = time.perf_counter() - started
        after = _resident_bytes(server.pid)
    finally:
        server.terminate()
        _, log = server.communicate(timeout=60)
    wrong = [kind for kind, _ in found if kind != "right"]
    latencies = np.array([latency for _, latency in found])
    percentiles = np.percentile(latencies, [50, 90, 99, 100])
    print(f"{len(found)} requests, {args.concurrency} at once, {len(found) / seconds:.1f} a second")
    print(f"not right: {len(wrong)} {sorted(set(wrong))}")
    print("latency p50 / p90 / p99 / most: " + " / ".join(f"{p:.2f} s" for p in percentiles))
    print(f"resident memory: {before / MEGABYTE:.0f} MB before, {after / MEGABYTE:.0f} MB after")
    print(f"the server ended with status {server.returncode}")
    as_asked = server.returncode in (0, -signal.SIGTERM)
    if wrong or not as_asked:
        print(log.decode(errors="replace")[-2000:], file=sys.stderr)
    return 0 if as_asked and not wrong else 1


def _requests(models: Models) -> list[Request]:
    """One for each style, in turns of size and format."""
    rng = np.random.default_rng(0)
    requests = []
    for number, style in enumerate(models.styles):
        height, width = SIZES[number % len(SIZES)]
        coarse = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
        rgb = coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
        encoded = encode_picture(Picture(rgb), ".png")
        body = {"instances": [{"b64": base64.b64encode(encoded).decode()}]}
        expected = models.stylizer(style)(rgb)
        requests.append(Request(style, json.dumps(body).encode(), expected))
    return requests


def _ask(url: str, request: Request) -> tuple[str, float]:
    """'right', or what is wrong with the answer, and the seconds that it took."""
    started = time.perf_counter()
    try:
        asked = f"{url}/v1/models/{request.style}:predict"
        with urllib.request.urlopen(asked, request.body, timeout=600) as answer:
            [prediction] = json.load(answer)["predictions"]
        stylized = decode_picture(base64.b64decode(prediction["b64"]), "the answer").rgb
        right = stylized.shape == request.expected.shape and (stylized == request.expected).all()
        kind = "right" if right else "other pixels"
    except Exception as error:  # whatever goes wrong is what is counted here
        kind = f"{type(error).__name__}: {error}"
    return kind, time.perf_counter() - started


def _wait_until_healthy(url: str, server: subprocess.Popen) -> None:
    while server.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/healthz", timeout=5)
            return
        except OSError:
            time.sleep(0.2)
    assert server.stderr is not None
    raise SystemExit(f"the server did not start: {server.stderr.read().decode()[-2000:]}")


def _resident_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


if __name__ == "__main__":
    sys.exit(main())
