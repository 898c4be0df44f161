"""Damaged, lying and hostile picture files through all that reads pictures.

    python -m tests.stress.hostile_pictures --files 5200

Whole pictures of every format are damaged in every way of tests.stress.hostile_bytes, given hostile
names, and read by eval.py's loader, by the training's dataset reader and by the server, in worker
processes whose memory is limited. Where a file is cut short no other pixels may come out of it than
the picture had. Of the others, what Pillow decodes has to be read, but for bombs and for sizes that
the file disproves, and in Pillow's size; what it does not decode is refused or has the size that
the picture had.
"""

import argparse
import io
import json
import random
import resource
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from fast_style.conf.config import Config
from fast_style.pictures.images import MAX_PIXELS
from tests.stress import hostile_bytes

PROJECT = Path(__file__).resolve().parents[2]
READERS = ("eval.py", "training", "server")
MODEL = PROJECT / "pretrained" / "candy"
MEMORY = 6 << 30  # of address space, of which OpenVINO reserves much
SECONDS = 5.0
SECONDS_A_MEGAPIXEL = 0.1  # a real picture of 50 megapixels is not a hang
SECONDS_TO_START = 120
PROVED = ("is refused as a bomb", "holds fewer pixels than it says", "pixels; at most")
NAMES = (
    "plain{}.png",
    "two\nlines{}.jpg",
    "\x1b[31mred{}\x07.gif",
    "日本語 é {} \u202egnp.png",
    "not \udcff\udcfe utf-8 {}.bmp",
    "-rf{}.webp",
    "[a]*?{}.tif",
    "%s%n{{}}{}.png",
    "'; rm {} $HOME.jpeg",
    "n" * 200 + "{}.png",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, default=5200, help="damaged ones, beside the bombs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--first", type=int, help=argparse.SUPPRESS)  # makes it a worker
    parser.add_argument("--last", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.first is not None:
        work(args.seed, args.first, args.last)
        return 0
    total = Tally()
    files = args.files + len(hostile_bytes.bombs()) + len(hostile_bytes.foreign())
    parts = range(0, files, 200)
    began = time.monotonic()
    with ThreadPoolExecutor(args.workers) as pool:
        shares = pool.map(lambda first: watched(args, first, min(first + 200, files)), parts)
        for tally in shares:
            total.add(tally)
            print(f"{total.files} files, {len(total.findings)} findings", flush=True)
    total.show(time.monotonic() - began)
    return 1 if total.findings else 0


@dataclass
class Tally:
    """What became of files."""

    files: int = 0
    outcomes: Counter = field(default_factory=Counter)  # of (reader, outcome)
    kinds: Counter = field(default_factory=Counter)  # of (what was done, eval.py's outcome)
    seconds: float = 0.0  # the longest of any reader
    resident: float = 0.0  # megabytes
    findings: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        self.files += other.files
        self.outcomes += other.outcomes
        self.kinds += other.kinds
        self.seconds = max(self.seconds, other.seconds)
        self.resident = max(self.resident, other.resident)
        self.findings += other.findings

    def note(self, result: dict) -> None:
        self.files += 1
        for reader, outcome in result["outcomes"].items():
            self.outcomes[reader, outcome] += 1
            if outcome not in ("accepted", "refused"):
                self.findings.append(f"{result['file']}: {reader}: {outcome}: {result['said']}")
        self.kinds[result["kind"], result["outcomes"].get("eval.py", "?")] += 1
        self.seconds = max(self.seconds, result["seconds"])
        self.resident = max(self.resident, result["resident"])

    def show(self, seconds: float) -> None:
        columns = ("accepted", "refused", "wrong", "crashed", "over time")
        print(f"{'':>24}" + "".join(f"{column:>12}" for column in columns))
        for reader in READERS:
            counts = "".join(f"{self.outcomes[reader, column]:>12,}" for column in columns)
            print(f"{reader:>24}{counts}")
        for kind in sorted({kind for kind, _ in self.kinds}):
            counts = "".join(f"{self.kinds[kind, column]:>12,}" for column in columns)
            print(f"{kind:>24}{counts}")
        print(
            f"{self.files:,} files in {seconds:.0f} s; the longest reading took {self.seconds:.2f} "
            f"s of CPU; at most {self.resident:,.0f} MB were resident"
        )
        print("\n".join(self.findings) or "no findings")


def watched(args: argparse.Namespace, first: int, last: int) -> Tally:
    """The files from first on in a worker, which is killed where one takes far too long."""
    tally = Tally()
    while first < last:
        command = [sys.executable, "-m", "tests.stress.hostile_pictures", "--seed", str(args.seed)]
        command += ["--first", str(first), "--last", str(last)]
        with tempfile.TemporaryFile() as log:
            worker = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=log)
            assert worker.stdout is not None
            while first < last:
                found = _line(worker)
                if not found:
                    break
                tally.note(json.loads(found))
                first += 1
            worker.stdout.close()
            if worker.wait() and first < last:  # it crashed, or was killed as hanging
                log.seek(0)
                said = log.read().decode(errors="replace").splitlines()[-3:]
                tally.findings.append(f"file {first}: status {worker.returncode}: {said}")
                tally.outcomes["eval.py", "crashed"] += 1
                tally.files += 1
                first += 1
    return tally


def _line(worker: subprocess.Popen) -> bytes:
    """The next result; of a worker that has worked too long for one, none, and it is killed."""
    assert worker.stdout is not None
    waited = 0.0
    while not select.select([worker.stdout], [], [], 1)[0]:
        waited += _has_its_time(worker.pid)
        if waited > SECONDS_TO_START:
            worker.kill()
    return worker.stdout.readline()


def _has_its_time(process: int) -> bool:
    """False for one that was stopped, which others may do who measure speed."""
    state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    return state != "T"


@dataclass(frozen=True)
class Hostile:
    """A damaged file, and what may come out of it."""

    name: str
    kind: str
    data: bytes
    whole: bytes | None  # the picture that was damaged; None where there is none
    pictured: bool = True  # whether anything may come out of it at all


def hostile(seed: int, number: int, bombs: list[Hostile]) -> Hostile:
    if number < len(bombs):
        return bombs[number]
    rng = random.Random(f"{seed} {number}")
    pictures = hostile_bytes.pictures()
    name = rng.choice(list(pictures))
    whole = pictures[name]
    other = pictures[rng.choice(list(pictures))]
    kinds: dict[str, Callable[[], bytes]] = {
        "bits turned over": lambda: hostile_bytes.flipped(whole, rng),
        "bits of the header": lambda: hostile_bytes.flipped(whole, rng, 64),
        "bytes replaced": lambda: hostile_bytes.with_noise(whole, rng),
        "cut short": lambda: hostile_bytes.cut_short(whole, rng),
        "another size said": lambda: hostile_bytes.lying(name, whole, rng),
        "checksums put right": lambda: hostile_bytes.with_right_checksums(
            hostile_bytes.flipped(hostile_bytes.with_noise(whole, rng), rng)
        ),
        "two files in one": lambda: hostile_bytes.spliced(whole, rng, other),
    }
    kind = rng.choice(list(kinds))
    return Hostile(name, kind, kinds[kind](), whole)


def all_bombs() -> list[Hostile]:
    bombs = [
        Hostile(name, "bombs", data, None, pictured)
        for name, (data, pictured) in hostile_bytes.bombs().items()
    ]
    return bombs + [
        Hostile(name, "formats not read", data, None, False)
        for name, data in hostile_bytes.foreign().items()
    ]


def is_wrong(file: Hostile, rgb: np.ndarray, expected: np.ndarray | None) -> str | None:
    """Why a picture that was read is not what the file was before, where that shows."""
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        return f"{rgb.dtype} of shape {rgb.shape}"
    if expected is None:
        return None if file.pictured else "is no picture"
    if file.kind == "cut short":
        same = rgb.shape == expected.shape and np.array_equal(rgb, expected)
        return None if same else "other pixels than were damaged"
    height, width = size_by_pillow(file.data) or expected.shape[:2]
    # An orientation may turn it.
    if rgb.shape[:2] not in ((height, width), (width, height)):
        return f"{rgb.shape} instead of {(height, width, 3)}"
    return None


def is_wrongly_refused(file: Hostile, message: str) -> bool:
    """Whether Pillow alone decodes a file that is refused for no reason that is proved."""
    if file.whole is None or any(reason in message for reason in PROVED):
        return False
    return size_by_pillow(file.data) is not None


def size_by_pillow(data: bytes) -> tuple[int, int] | None:
    """Height and width of what Pillow alone decodes without an error, None where it does not."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > MAX_PIXELS:
                return None
            image.load()
            return image.height, image.width
    except Exception:  # as Pillow's readers do
        return None


def work(seed: int, first: int, last: int) -> None:
    """A JSON object a line on stdout for each file."""
    from starlette.testclient import TestClient

    from fast_style.errors import UserError
    from fast_style.pictures.images import decode_picture, read_picture
    from fast_style.pictures.training_pictures.content_images import ContentImages
    from fast_style.serve.app import application
    from fast_style.serve.models import Models

    # The server's queue is a thread; a reader's crash has to be told from the worker's.
    server = TestClient(application(Models([MODEL])), raise_server_exceptions=False)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    bombs = all_bombs()
    expected = {
        name: decode_picture(data, name).rgb for name, data in hostile_bytes.pictures().items()
    }

    def by_eval(path: Path, file: Hostile) -> np.ndarray:
        return read_picture(path).rgb

    def by_training(path: Path, file: Hostile) -> np.ndarray:
        config = Config(naming="a", dataset=str(path), image_size=32, batch_size=1)
        [rgb] = ContentImages(config).batch(0)
        assert rgb.shape == (32, 32, 3) and rgb.dtype == np.uint8
        return rgb

    def by_server(path: Path, file: Hostile) -> np.ndarray:
        answer = server.post("/stylize/candy?max_size=64", content=file.data)
        if answer.status_code in (400, 413):
            raise UserError(answer.json()["error"])
        if answer.status_code != 200:
            raise RuntimeError(f"status {answer.status_code}")
        return decode_picture(answer.content, "the answer").rgb

    readers = dict(zip(READERS, (by_eval, by_training, by_server), strict=True))
    with server, tempfile.TemporaryDirectory() as scratch:
        for number in range(first, last):
            file = hostile(seed, number, bombs)
            path = Path(scratch) / NAMES[number % len(NAMES)].format(number)
            path.write_bytes(file.data)
            result = {"file": f"{number} {file.name}", "kind": file.kind, "said": ""}
            outcomes, most = {}, 0.0
            Path("/proc/self/clear_refs").write_text("5")  # the peak of resident memory anew
            for reader, read in readers.items():
                began = time.process_time()
                try:
                    try:
                        rgb = read(path, file)
                    finally:
                        seconds = time.process_time() - began
                except UserError as error:
                    outcomes[reader] = "refused" if _is_one_line(str(error)) else "crashed"
                    result["said"] = str(error)[:200]
                    if reader == "eval.py" and is_wrongly_refused(file, str(error)):
                        outcomes[reader] = "wrong"
                except Exception as error:
                    outcomes[reader] = "crashed"
                    result["said"] = f"{type(error).__name__}: {error}"[:200]
                else:
                    truth = expected[file.name] if file.whole is not None else None
                    why = is_wrong(file, rgb, truth) if reader == "eval.py" else None
                    # The others' are smaller, and have to be of a picture that eval.py reads too.
                    if reader == "server" and outcomes["eval.py"] == "refused":
                        why = "eval.py refuses it"
                    outcomes[reader] = "wrong" if why else "accepted"
                    result["said"] = why or result["said"]
                if seconds > SECONDS + SECONDS_A_MEGAPIXEL * _megapixels(file.data):
                    outcomes[reader] = "over time"
                most = max(most, seconds)
            path.unlink()
            result |= {"outcomes": outcomes, "seconds": most, "resident": _peak()}
            print(json.dumps(result), flush=True)


def _is_one_line(message: str) -> bool:
    return message.isprintable() and 0 < len(message) < 2000


def _megapixels(data: bytes) -> float:

    try:
        with Image.open(io.BytesIO(data)) as image:
            return min(image.width * image.height / 1e6, 179)
    except Exception:  # what is damaged is no picture of any size
        return 0.0


def _peak() -> float:
    """Megabytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    sys.exit(main())
