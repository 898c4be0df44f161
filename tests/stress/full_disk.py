"""Programs whose disk is full, fills up while they write, is read-only, or not theirs to write to.

    python -m tests.stress.full_disk

mounts a small file system in memory, which takes root, and runs train.py, eval.py, export.py, the
video program and batch with their outputs on it, over those of an earlier run, and with TMPDIR on
it. Each has to say what is wrong in one line and stop with status 2 (batch with 1, where it lists
the pictures that it could not write); every file that is there has to be whole, those of the
earlier run as they were or new, and nothing unfinished may be left.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import yaml

from fast_style.model_folder.npz import read_arrays
from fast_style.pictures.images import Picture, read_picture, write_picture
from tests.stress.train_kill import write_conf

PROJECT = Path(__file__).resolve().parents[2]
ROOM = 400_000_000
# Root that has to ask, as everybody has.
UNPRIVILEGED = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
MODEL = str(PROJECT / "pretrained" / "candy")
EXPORTS = {"saved_model": "", "onnx": ".onnx", "openvino": ".xml", "litert": ".tflite"}


@dataclass
class Program:
    """A command that writes into the folder `out`, and that the command `before` has written to."""

    command: list[str]
    before: list[str]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--programs", nargs="+", help="of the table's first column; default: all")
    parser.add_argument("--room", type=float, nargs="+", default=[0, 0.3, 0.6, 0.9])
    parser.add_argument("--minutes", type=float, default=60, help="at most")
    args = parser.parse_args()
    deadline = time.monotonic() + 60 * args.minutes
    wrong, runs = 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        os.chmod(scratch, 0o755)
        disk = Path(scratch) / "disk"
        try:
            with mounted(disk):
                pass
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"no file system can be mounted here ({error}); nothing was tried")
            return 1
        programs = make_programs(Path(scratch), disk / "out")
        print(f"{'program':20}{'disk':22}{'status':>7}  outcome")
        for name in args.programs or programs:
            for fault, status, said, found in befall(programs[name], disk, args.room):
                runs, wrong = runs + 1, wrong + bool(found)
                print(f"{name:20}{fault:22}{status:>7}  {said[:150]}", flush=True)
                for one in found:
                    print(f"{'':20}WRONG: {one}", flush=True)
            if time.monotonic() > deadline:
                print("stopped: its time is over")
                break
    print(f"{runs} runs, {wrong} of them with a traceback, a half-written file or a wrong status")
    return 1 if wrong else 0


def make_programs(scratch: Path, out: Path) -> dict[str, Program]:
    rng = np.random.default_rng(0)
    (scratch / "photos").mkdir()
    for name in ("photo", "other"):
        picture = rng.integers(0, 256, (240, 320, 3), np.uint8)
        write_picture(scratch / "photos" / f"{name}.png", Picture(picture))
    make_clip(scratch / "clip.mp4")
    conf = write_conf(scratch)
    values = yaml.safe_load(conf.read_text())
    conf.write_text(yaml.safe_dump(values | {"model_path": str(out), "naming": "tiny"}))
    train = ["train.py", "-c", str(conf)]
    stylize = ["eval.py", "--model", MODEL, "--image", str(scratch / "photos" / "photo.png")]
    stylize += ["--output", str(out / "out.png")]
    clip = ["-m", "fast_style.video", "--model", MODEL, "--input", str(scratch / "clip.mp4")]
    clip += ["--output", str(out / "out.mp4")]
    batch = ["-m", "fast_style.batch", "--model", MODEL, "--output", str(out), "--input"]
    photos = str(scratch / "photos")
    programs = {
        "train": Program(train, [*train, "--steps", "6"]),
        "eval": Program([*stylize, "--strength", "0.7"], stylize),
        "eval, a folder": Program(
            ["eval.py", "--model", MODEL, "--image", photos, "--output", str(out)],
            stylize,
        ),
        "video": Program([*clip, "--strength", "0.7"], clip),
        "batch": Program([*batch, photos], [*batch, f"{photos}/photo.png"]),
    }
    for kind, ending in EXPORTS.items():
        export = ["export.py", "--model", MODEL, "--format", kind, "--output"]
        earlier = [*export[:4], "onnx", "--output", str(out / "earlier.onnx")]
        programs[f"export, {kind}"] = Program([*export, str(out / f"model{ending}")], earlier)
    return programs


def befall(
    program: Program, disk: Path, rooms: list[float]
) -> Iterator[tuple[str, int, str, list[str]]]:
    """The fault, the exit status, the line that is said, and what is wrong; for each fault."""
    out, kept = disk / "out", disk.with_name("earlier")
    with mounted(disk):
        run(program.before, disk).check_returncode()
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(out, kept)
        before = used(disk)
        with most_used(disk) as most:
            run(program.command, disk).check_returncode()
        needed = most[-1] - before
    faults: dict[str, Callable[[], object]] = {
        f"{needed * room / 1e6:.1f} of {needed / 1e6:.1f} MB free": (
            lambda room=room: fill(disk, int(needed * room))
        )
        for room in rooms
    }
    faults["read-only"] = lambda: remount(disk, "ro")
    faults["no permission"] = lambda: forbid(out)
    for fault, bring_about in faults.items():
        with mounted(disk):
            shutil.copytree(kept, out)
            bring_about()
            under = UNPRIVILEGED if fault == "no permission" else []
            ended = run(program.command, disk, under)
            yield fault, ended.returncode, *judged(ended, out, kept)


def judged(ended: subprocess.CompletedProcess[str], out: Path, kept: Path) -> tuple[str, list[str]]:
    said = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    wrong = []
    if "Traceback" in ended.stderr:
        wrong.append("a traceback: " + " | ".join(ended.stderr.strip().splitlines()[-4:]))
    if ended.returncode not in (0, 1, 2):
        wrong.append("ended by " + " | ".join(ended.stderr.strip().splitlines()[-4:]))
    if (ended.returncode == 0) == bool(said) or (ended.returncode == 2 and len(said) != 1):
        wrong.append(f"status {ended.returncode} and {len(said)} lines: {ended.stderr[-300:]}")
    for path in kept.rglob("*"):
        now = out / path.relative_to(kept)
        # A training that goes on takes back what it says of the one that ended.
        taken_back = "checkpoints" in path.parts or path.name == "result.json"
        if path.is_file() and not now.exists() and not taken_back:
            wrong.append(f"lost: {now.relative_to(out)}")
    for path in out.rglob("*"):
        relative = path.relative_to(out)
        earlier = kept / relative
        if any(part.startswith(".") for part in relative.parts) or path.name == "training.lock":
            wrong.append(f"left: {relative}")
        elif path.is_file() and not (
            earlier.is_file() and earlier.read_bytes() == path.read_bytes()
        ):
            try:
                read(path)
            except Exception as error:
                wrong.append(f"half-written: {relative}: {error}")
    if ended.returncode:
        new = {path.name for path in out.glob("model*")}
        wrong += [f"part of an export: {name}" for name in new]
    return said[0] if said else "all of it is there", wrong


def read(path: Path) -> object:
    """Raises any exception where a file is not whole, as far as its kind can tell."""
    ending = path.suffix
    if ending == ".npz":
        return read_arrays(path)
    if ending in (".png", ".jpg"):
        return read_picture(path)
    if ending == ".json":
        return json.loads(path.read_text())
    if ending == ".yml":
        return yaml.safe_load(path.read_text())["naming"]
    if ending == ".mp4":
        import av

        with av.open(str(path)) as container:
            frames = sum(1 for _ in container.decode(video=0))
        if frames != 25:
            raise ValueError(f"{frames} frames")
    return None


def run(
    command: list[str], disk: Path, under: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*under, sys.executable, *command],
        cwd=PROJECT,
        env=os.environ | {"TMPDIR": str(disk), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )


@contextlib.contextmanager
def mounted(disk: Path) -> Iterator[None]:
    disk.mkdir(exist_ok=True)
    options = ["-o", f"size={ROOM},mode=755"]
    subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", disk], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)


def forbid(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)


def used(disk: Path) -> int:
    about = os.statvfs(disk)
    return (about.f_blocks - about.f_bfree) * about.f_frsize


@contextlib.contextmanager
def most_used(disk: Path) -> Iterator[list[int]]:
    """In the list, after the block, the bytes that were in use when most were."""
    most, ended = [used(disk)], threading.Event()

    def watch() -> None:
        while not ended.wait(0.01):
            most.append(max(most[-1], used(disk)))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield most
    finally:
        ended.set()
        watching.join()


def fill(disk: Path, leave: int) -> None:
    """Fill the disk up to so many bytes."""
    about = os.statvfs(disk)
    with open(disk / "filler", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, about.f_bfree * about.f_frsize - leave))


def make_clip(path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, width=320, height=240, pix_fmt="yuv420p")
        stream.codec_context.time_base = Fraction(1, 25)
        rng = np.random.default_rng(0)
        for number in range(25):
            rgb = rng.integers(0, 256, (240, 320, 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(rgb, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    sys.exit(main())
