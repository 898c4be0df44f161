"""Kill a run over a collection in its middle, start it again, and count; then its speed.

    python tests/stress/batch_kill.py --model any --style candy --photos FOLDER

makes a folder of pictures from the photos, some of them broken, stylizes it with fast_style.batch,
which is killed (SIGKILL) on the way and started again, and checks that every good picture is there,
that none was done twice, and that the broken ones are listed. Then batch and eval.py stylize the
same folder in turns, and the medians of their pictures/s count.
"""

import argparse
import csv
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tqdm import tqdm

from fast_style.pictures.images import Picture, find_pictures, read_picture, write_picture
from fast_style.pictures.pixels import fit_within

PROJECT = Path(__file__).resolve().parents[2]
SECONDS_TO_DIE = 30  # Ray's processes end by themselves after the one that started them


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--style", help="of a model of several")
    parser.add_argument("--photos", required=True, help="pictures that the collection is made from")
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--broken", type=int, default=10)
    parser.add_argument("--size", type=int, default=512, help="of a picture's long side")
    parser.add_argument("--kills", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3, help="of batch and eval.py in turns")
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--scratch", type=Path, help="where the temporary folder is made")
    args = parser.parse_args()
    model = ["--model", args.model, "--runtime", args.runtime]
    model += ["--style", args.style] if args.style else []
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        collection, out = Path(scratch) / "in", Path(scratch) / "out"
        make_collection(collection, args.photos, args.pictures, args.broken, args.size)
        batch = [sys.executable, "-m", "fast_style.batch", *model, "--input", str(collection)]
        wrong = killed_and_started_again([*batch, "--output", str(out)], out, args)
        evaluate = [sys.executable, "eval.py", *model, "--image", str(collection)]
        compare({"batch": batch, "eval.py": evaluate}, Path(scratch), args)
    print("\n".join(wrong) or "every picture once, every broken one listed")
    return 1 if wrong else 0


def make_collection(folder: Path, photos: str, pictures: int, broken: int, size: int) -> None:
    """Photos again and again, mirrored and turned brighter or darker; broken ones among them."""
    folder.mkdir()
    sources = [fit_within(read_picture(path), size).rgb for path in find_pictures(photos)]
    every = pictures // broken if broken else pictures + 1
    for number in tqdm(range(pictures), "making pictures"):
        rgb = sources[number % len(sources)][:, :: 1 if number % 2 else -1]
        shade = 1 - (number // len(sources) % 32) / 64
        place = folder / f"{number % 100:02d}" / f"{number:07d}.jpg"
        place.parent.mkdir(exist_ok=True)
        write_picture(place, Picture((rgb * shade).astype(rgb.dtype)))
        if number % every == every - 1 and number // every < broken:
            data = place.read_bytes()
            place.write_bytes((data[:99], data[: len(data) // 2], b"", b"no picture")[number % 4])


def killed_and_started_again(command: list[str], out: Path, args: argparse.Namespace) -> list[str]:
    """What went wrong, a line each."""
    good = args.pictures - args.broken
    done: dict[Path, int] = {}
    wrong = []
    for kill in range(args.kills):
        wanted = good * (kill + 1) // (args.kills + 1)
        process = subprocess.Popen(command, cwd=PROJECT)
        while len(stylized(out)) < max(wanted, len(done) + 1) and process.poll() is None:
            time.sleep(0.05)
        process.kill()
        process.wait()
        done = wait_until_nothing_changes(out)
        print(f"\nkilled with {len(done)} of {good} done")
        wrong += [] if len(done) < good else ["it was done before it could be killed"]
    status = subprocess.run(command, cwd=PROJECT).returncode
    after = stylized(out)
    twice = [path for path, inode in done.items() if after.get(path) != inode]
    with open(out / "broken.csv", newline="") as table:
        listed = list(csv.DictReader(table))
    left_over = list(out.rglob(".*.tmp"))
    print(f"{len(done)} before the last kill, {len(after)} at the end, {len(listed)} listed")
    print(f"{len(left_over)} temporary files of writes that were cut off")
    wrong += [f"done twice: {path}" for path in twice]
    wrong += [] if len(after) == good else [f"{len(after)} done, {good} expected"]
    wrong += [] if len(listed) == args.broken else [f"{len(listed)} listed, {args.broken} expected"]
    wrong += [] if status == (1 if args.broken else 0) else [f"exit status {status}"]
    return wrong


def stylized(out: Path) -> dict[Path, int]:
    """The stylized images and their inodes: a file that is written again has another."""
    found = {}
    for path in out.rglob("*.jpg"):
        found[path] = path.stat().st_ino
    return found


def wait_until_nothing_changes(out: Path) -> dict[Path, int]:
    """What is there once the processes of a killed run have ended as well."""
    before, quiet_since = stylized(out), time.monotonic()
    while time.monotonic() - quiet_since < SECONDS_TO_DIE:
        time.sleep(1)
        if (now := stylized(out)) != before:
            before, quiet_since = now, time.monotonic()
    return before


def compare(commands: dict[str, list[str]], scratch: Path, args: argparse.Namespace) -> None:
    """Pictures/s of each command on the same folder, in turns."""
    found: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(args.rounds):
        for name, command in commands.items():
            out = scratch / "compared"
            started = time.perf_counter()
            subprocess.run(
                [*command, "--output", str(out)],
                cwd=PROJECT,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            seconds = time.perf_counter() - started
            done = len(stylized(out))
            found[name].append(done / seconds)
            shutil.rmtree(out)
            print(f"{name}: {done} pictures in {seconds:.1f} s, {done / seconds:.2f} pictures/s")
    for name, rates in found.items():
        print(f"{name}: median {statistics.median(rates):.2f} pictures/s")


if __name__ == "__main__":
    sys.exit(main())
