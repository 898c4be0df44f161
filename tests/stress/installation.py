"""The wheel in a new virtual environment, run from an empty folder: does it do what a clone does.

    python -m tests.stress.installation --python python3.12

Takes minutes and some 3 GB in a temporary folder, which is removed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fast_style import __version__
from fast_style.benchmark.in_turns import sample_picture
from fast_style.pictures.images import Picture, write_picture

PROJECT = Path(__file__).resolve().parents[2]
SMALL = (
    "--steps 3 --set warmup_steps=1 --set image_size=64"
    " --set preview_images=[] --set validation_images=null"
)
# What is run, and what is there afterwards.
RUNS = [
    ("fast-style", None),
    ("fast-style train --help", None),
    ("fast-style eval --help", None),
    ("fast-style eval --model pretrained/candy --image in.png --output a.png", "a.png"),
    ("fast-style eval --model any --style mosaic --image in.png --output b.png", "b.png"),
    ("fast-style batch --model pretrained/candy --input in.png --output d", "d/in-candy.png"),
    (f"fast-style train -c conf/quickstart.yml {SMALL}", "models/quickstart/weights.npz"),
    ("fast-style eval --model models/quickstart --image in.png --output c.png", "c.png"),
    ("fast-style export --model models/quickstart", "exported/quickstart/saved_model.pb"),
    ("fast-style zoo check", None),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--python", default=sys.executable, help="such as python3.12")
    parser.add_argument("--extras", default="cpu", help="of the project, by commas")
    parser.add_argument("--timeout", type=float, default=900, help="seconds for each command")
    args = parser.parse_args()
    found = 0
    with tempfile.TemporaryDirectory() as scratch:
        programs, folder = Path(scratch) / "venv" / "bin", Path(scratch) / "empty"
        folder.mkdir()
        # Nothing of the clone, or of the environment that this runs in, may help.
        environment = {
            k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")
        }
        environment |= {"PATH": f"{programs}:/usr/bin:/bin", "HOME": scratch}
        pip = f"{programs}/python -m pip --disable-pip-version-check"
        # By its path: an index may have another package of this name.
        wheel = Path(scratch) / f"fast_style-{__version__}-py3-none-any.whl"
        preparation = [
            f"{args.python} -m venv {scratch}/venv",
            f"{pip} wheel -q --no-deps -w {scratch} {PROJECT}",
            f"{pip} install -q -c {PROJECT}/constraints.txt {wheel}[{args.extras}]",
            f"{pip} check",
        ]
        for line in preparation:
            env = dict(os.environ) if line.startswith(args.python) else environment
            if not _run(line, None, folder, env, args.timeout):
                return 1
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB")
        write_picture(folder / "in.png", Picture(sample_picture(128)))
        for line, made in RUNS:
            found += not _run(line, made, folder, environment, args.timeout)
    print(f"findings: {found}")
    return 1 if found else 0


def _run(
    line: str, made: str | None, folder: Path, environment: dict[str, str], timeout: float
) -> bool:
    """Run it and print a line of the table; whether it ended well and made what it should."""
    started = time.perf_counter()
    # Not by shell: the environment's own PATH is what counts.
    program, *flags = line.split()
    own = Path(environment["PATH"].split(":")[0]) / program
    command = [str(own) if own.exists() else program, *flags]
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout
        )
        status, told = str(done.returncode), done.stderr
    except subprocess.TimeoutExpired:
        status, told = "timeout", ""
    there = made is None or (folder / made).exists()
    seconds = time.perf_counter() - started
    print(
        f"{seconds:7.1f} s  status {status:3}  {line}{'' if there else f': no {made}'}", flush=True
    )
    if status == "0" and there and "Traceback" not in told:
        return True
    print(told[-1500:], file=sys.stderr)
    return False


if __name__ == "__main__":
    sys.exit(main())
