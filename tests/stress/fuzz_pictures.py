"""Pictures that a coverage-guided fuzzer thinks of, through what reads pictures.

    python -m venv fuzz && fuzz/bin/pip install atheris pillow pillow-heif numpy absl-py pyyaml
    PYTHONPATH=. fuzz/bin/python -m tests.stress.fuzz_pictures --seconds 3600

Atheris keeps an input that reaches a new line of fast_style.pictures or of Pillow's Python code. It
works in a process of its own, which is killed where an input takes too long and started again with
what it has kept; such an input, and one that ends the process or raises anything but a UserError,
is a finding and stays in --findings.
"""

import argparse
import mmap
import os
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
MOST_BYTES = 1 << 16
MOST_PIXELS = 4_000_000
SECONDS_AN_INPUT = 5
SECONDS_TO_START = 120
MEMORY = 4 << 30
# Of the page that worker and watchdog share: inputs so far, length of the one at work, its bytes.
HEAD = struct.Struct("<QQ")
EXECUTIONS = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
PROGRESS = re.compile(r"#(\d+)\s.*cov: (\d+) ft: (\d+) corp: (\d+)")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, help="a folder that is gone on from; default: none")
    parser.add_argument("--findings", type=Path, default=Path("findings"))
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    args, _ = parser.parse_known_args()
    if args.worker is not None:
        work(args.worker)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        return watch(args, Path(scratch))


def watch(args: argparse.Namespace, scratch: Path) -> int:
    from tests.stress.hostile_bytes import foreign, pictures

    corpus = args.corpus or scratch / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    args.findings.mkdir(parents=True, exist_ok=True)
    for name, data in (pictures() | foreign()).items():
        (corpus / f"seed {name.replace(':', '')}").write_bytes(data)
    page = scratch / "page"
    page.write_bytes(bytes(HEAD.size + MOST_BYTES))
    shared = mmap.mmap(os.open(page, os.O_RDWR), 0)
    began, executions, runs, most = time.monotonic(), 0, 0, (0, 0, 0)
    findings: list[str] = []
    while (left := args.seconds - (time.monotonic() - began)) > 1:
        runs += 1
        shared[: HEAD.size] = HEAD.pack(0, 0)
        worker = start(page, corpus, scratch, int(left), args.seed + runs)
        stuck = watched(worker, shared, began + args.seconds + SECONDS_TO_START)
        done, length = HEAD.unpack(shared[: HEAD.size])
        executions += done
        log = (scratch / "log").read_text(errors="replace")
        for line in PROGRESS.finditer(log):
            most = max(most, (int(line[2]), int(line[3]), int(line[4])))
        if stuck or worker.returncode not in (0, -signal.SIGKILL):
            kind = "too long" if stuck else f"status {worker.returncode}"
            kept = args.findings / f"{len(findings):04d}.bin"
            kept.write_bytes(shared[HEAD.size : HEAD.size + length])
            kept.with_suffix(".log").write_text(log[-20_000:])
            findings.append(f"{kept}: {kind}: {_reason(log)}")
            print(findings[-1], flush=True)
            if len(findings) >= 100:
                break
        print(
            f"{time.monotonic() - began:.0f} s, {runs} workers, {executions:,} inputs, "
            f"{most[0]:,} edges, {most[1]:,} features, {most[2]:,} inputs kept, "
            f"{len(findings)} findings",
            flush=True,
        )
    shutil.rmtree(scratch / "artefacts", ignore_errors=True)
    return 1 if findings else 0


def start(page: Path, corpus: Path, scratch: Path, seconds: int, seed: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.stress.fuzz_pictures", "--worker", str(page)]
    # A worker ends after ten minutes at the latest, so that a leak cannot gather.
    command += [f"-max_total_time={min(seconds, 600)}", f"-max_len={MOST_BYTES}", f"-seed={seed}"]
    command += ["-timeout=86400", "-rss_limit_mb=0", "-print_final_stats=1"]
    command += [f"-artifact_prefix={scratch}/", "-reload=0", str(corpus)]
    with open(scratch / "log", "wb") as log:
        return subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=log)


def watched(worker: subprocess.Popen, shared: mmap.mmap, until: float) -> bool:
    """Wait for its end; whether it had to be killed because one input took too long."""
    seen, waited, cpu = -1, 0.0, 0.0
    while worker.poll() is None:
        time.sleep(0.5)
        done, _ = HEAD.unpack(shared[: HEAD.size])
        if done != seen:
            seen, waited, cpu = done, 0.0, _cpu_seconds(worker.pid)
        limit = SECONDS_AN_INPUT if done else SECONDS_TO_START
        # By CPU time, and by ten times as much on the clock: others may have the CPU, or stop us.
        waited += 0.5
        if _cpu_seconds(worker.pid) - cpu > limit or waited > 10 * limit:
            worker.kill()
            worker.wait()
            return True
        if time.monotonic() > until:
            worker.kill()
            worker.wait()
    return False


def _cpu_seconds(process: int) -> float:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _reason(log: str) -> str:
    lines = [line for line in log.splitlines() if "Error" in line or "ERROR" in line]
    return lines[-1][:200] if lines else "see its .log"


def work(page: Path) -> None:
    import atheris

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with atheris.instrument_imports(include=["fast_style.pictures", "PIL"]):
        from fast_style.pictures.images import decode_picture, flatten_on_white
    import numpy as np
    from PIL import (  # every reader that decode_picture asks for
        AvifImagePlugin,  # noqa: F401
        BmpImagePlugin,  # noqa: F401
        GifImagePlugin,  # noqa: F401
        Jpeg2KImagePlugin,  # noqa: F401
        JpegImagePlugin,  # noqa: F401
        PngImagePlugin,  # noqa: F401
        TiffImagePlugin,  # noqa: F401
        WebPImagePlugin,  # noqa: F401
    )

    from fast_style.errors import UserError
    from tests.stress import hostile_bytes

    shared = mmap.mmap(os.open(page, os.O_RDWR), 0)
    done = 0

    def one_input(data: bytes) -> None:
        nonlocal done
        shared[: HEAD.size] = HEAD.pack(done + 1, len(data))
        shared[HEAD.size : HEAD.size + len(data)] = data
        done += 1
        for at_least in (None, 32):  # as eval.py and the server read, and as a training does
            try:
                picture = decode_picture(data, "x", at_least=at_least, most_pixels=MOST_PIXELS)
            except UserError as error:
                if "\n" in str(error):
                    raise ValueError("more than a line") from error
                continue
            height, width = picture.rgb.shape[:2]
            assert picture.rgb.shape == (height, width, 3) and picture.rgb.dtype == np.uint8
            assert 0 < height * width <= MOST_PIXELS
            if picture.alpha is not None:
                assert picture.alpha.shape == (height, width) and picture.alpha.dtype == np.uint8
            assert flatten_on_white(picture).shape == (height, width, 3)

    def mutated(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        changed = atheris.Mutate(data, most) if rng.random() < 0.5 else data
        if changed and rng.random() < 0.5:
            changed = rng.choice((hostile_bytes.flipped, hostile_bytes.with_noise))(changed, rng)
        if rng.random() < 0.7:
            changed = hostile_bytes.with_right_checksums(changed)
        return changed[:most]

    arguments = [sys.argv[0], *(a for a in sys.argv[1:] if not a.startswith("--"))]
    arguments.remove(str(page))
    atheris.Setup(arguments, one_input, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
