"""Confs, model folders and weights that mean harm, through train.py, eval.py and export.py.

    python -m tests.stress.hostile_models

Each has to be refused with one line and status 2, and none of the code in it may run: every
payload would make a file. The programs' main functions run one case after the other in a process
whose memory is limited.
"""

import argparse
import contextlib
import io
import json
import pickle
import random
import resource
import runpy
import shutil
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

PROJECT = Path(__file__).resolve().parents[2]
MEMORY = 24 << 30  # of address space, of which TensorFlow and OpenVINO reserve much
SECONDS = 10
PAYLOAD = "payload-ran"
CASE = tuple[str, str, list[str]]  # what it is, program, arguments


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=PROJECT / "pretrained" / "candy")
    parser.add_argument("--files", type=int, default=40, help="damaged ones of each kind")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    # What has to be imported once is no case's time.
    import openvino  # noqa: F401
    import tensorflow  # noqa: F401

    outcomes: Counter[tuple[str, str]] = Counter()
    findings: list[str] = []
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        for kind, program, arguments in cases(args):
            began = time.process_time()
            status, said = run(program, arguments)
            seconds = time.process_time() - began
            refused = status == 2 and said.startswith("error: ") and said.count("\n") == 1
            # Damage of a byte may leave a file as good as it was.
            outcome = "refused" if refused else "accepted" if status == 0 else "crashed"
            if seconds > SECONDS and refused:
                outcome = "over time"
            if outcome == "accepted" and "damaged" not in kind:
                outcome = "wrong"
            if Path(PAYLOAD).exists():
                outcome = "ran"
                Path(PAYLOAD).unlink()
            outcomes[f"{program} {kind}", outcome] += 1
            if outcome not in ("refused", "accepted"):
                findings.append(f"{program} {arguments}: {kind}: {outcome}: {said[-300:]!r}")
                print(findings[-1], flush=True)
    columns = ("refused", "accepted", "wrong", "crashed", "over time", "ran")
    print(f"{'':>44}{'tried':>10}" + "".join(f"{column:>10}" for column in columns))
    for kind in sorted({kind for kind, _ in outcomes}):
        counts = [outcomes[kind, column] for column in columns]
        print(f"{kind:>44}{sum(counts):>10}" + "".join(f"{count:>10}" for count in counts))
    print("\n".join(findings) or "no findings")
    return 1 if findings else 0


def run(program: str, arguments: list[str]) -> tuple[int, str]:
    """Exit status, and what was written to stderr but for warnings of the log."""
    sys.argv = [program, *arguments]
    said, out = io.StringIO(), io.StringIO()
    status = 0
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(out):
        try:
            runpy.run_path(str(PROJECT / program), run_name="__main__")
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        except BaseException as error:
            return 1, f"{type(error).__name__}: {error}"
    lines = [line for line in said.getvalue().splitlines() if line.startswith("error: ")]
    return status, "\n".join(lines) + "\n"


class Payload:
    """What unpickling makes a file of."""

    def __reduce__(self):
        return open, (PAYLOAD, "w")


def cases(args: argparse.Namespace) -> Iterator[CASE]:
    for number, (kind, text) in enumerate(confs()):
        path = Path(f"conf{number}.yml")
        path.write_bytes(text)
        yield f"conf: {kind}", "train.py", ["-c", str(path)]
    loss = PROJECT / "pretrained" / "vgg_16_half.npz"
    for kind, path in loss_weights(args, loss):
        overrides = [f"loss_model_file={path}", "steps=1", "image_size=32", "batch_size=1"]
        overrides += ["dataset=synthetic", "preview_images=[]", "validation_images=null"]
        overrides += ["warmup_steps=0", f"naming={path.stem}"]
        conf = str(PROJECT / "conf" / "small.yml")
        flags = [part for override in overrides for part in ("--set", override)]
        yield f"weights: {kind}", "train.py", ["-c", conf, *flags, "--restart"]
    picture = str(PROJECT / "img" / "sample.jpg")
    for kind, folder in models(args):
        out = f"{folder.name}.png"
        image = ["--image", picture, "--max-size", "64", "--output", out]
        yield f"model: {kind}", "eval.py", ["--model", str(folder), *image]
        if "damaged" not in kind:
            yield f"model: {kind}", "export.py", ["--model", str(folder), "--output", f"e-{folder}"]


def confs() -> Iterator[tuple[str, bytes]]:
    for tag in ("apply:builtins.open", "new:builtins.open", "name:builtins.open", "module:os"):
        yield "Python objects", f"naming: !!python/object/{tag} [{PAYLOAD}, w]\n".encode()
    yield "Python objects", f"? !!python/object/apply:os.system ['touch {PAYLOAD}']\n".encode()
    for width in (2, 9, 100):
        levels = ["a0: &a0 [x, x]"]
        for level in range(1, 30):
            inside = ", ".join([f"*a{level - 1}"] * width)
            levels.append(f"a{level}: &a{level} [{inside}]")
        yield "aliases", "\n".join(levels).encode()
    yield "aliases", b"style_layers: &a {conv1_2: *a}\n"
    yield "10 MB of keys", b"".join(b"key%d: %d\n" % (n, n) for n in range(700_000))
    yield "10 MB of one value", b"naming: " + b"x" * 10_000_000
    for opening in (b"[", b"{a: ", b"- ", b"!!seq ["):
        yield "nested without end", opening * 100_000
    for value in (b"2001-99-99", b"9" * 9000, b"0x" + b"f" * 90_000, b"!!binary @", b"!!set 3"):
        yield "values that are none", b"steps: " + value + b"\n"
    for naming in ('"../out"', '"a/b"', '"/tmp/x"', '".."', '"."', '"a\\0b"', '"a\\nb"', '""'):
        yield "paths out", f"style_image: x.png\nnaming: {naming}\n".encode()
    for base in ("/dev/zero", "/etc/passwd", "/", "../../../../../../etc/shadow", "conf0.yml"):
        yield "bases", f"base: {base}\n".encode()
    for noise in range(20):
        yield "bytes of noise", random.Random(noise).randbytes(300)


def loss_weights(args: argparse.Namespace, good: Path) -> Iterator[tuple[str, Path]]:
    rng = random.Random(args.seed)
    data = good.read_bytes()
    for number in range(args.files):
        path = Path(f"loss{number}.npz")
        damaged = bytearray(data)
        for _ in range(4):
            damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged[: rng.randrange(len(data))] if number % 2 else damaged)
        yield "cut short or damaged", path
    for ending in (".npz", ".h5", ".ckpt", ".mat", ".safetensors"):
        for words, content in foreign().items():
            path = Path(f"foreign {words}{ending}".replace(" ", "_"))
            path.write_bytes(content)
            yield "another program's", path
    with np.load(good) as archive:
        arrays = dict(archive)
    yield from lying_arrays("loss", arrays)


def models(args: argparse.Namespace) -> Iterator[tuple[str, Path]]:
    rng = random.Random(args.seed + 1)
    weights = (args.model / "weights.npz").read_bytes()
    conf = (args.model / "conf.yml").read_bytes()

    def folder(name: str, weights: bytes = weights, conf: bytes = conf) -> Path:
        path = Path(name)
        path.mkdir()
        (path / "weights.npz").write_bytes(weights)
        (path / "conf.yml").write_bytes(conf)
        return path

    for number in range(args.files):
        damaged = bytearray(weights)
        for _ in range(4):
            damaged[rng.randrange(len(weights))] ^= 1 << rng.randrange(8)
        cut = damaged[: rng.randrange(len(weights))] if number % 2 else damaged
        yield "cut short or damaged", folder(f"damaged{number}", bytes(cut))
    for words, content in foreign().items():
        yield "another program's", folder(f"foreign_{words}".replace(" ", "_"), content)
    with np.load(args.model / "weights.npz") as archive:
        arrays = dict(archive)
    for kind, path in lying_arrays("model", arrays):
        yield kind, folder(f"folder_{path.stem}", path.read_bytes())
    values = {"output": "os.system", "naming": "../../x", "style_images": {"../x": "y", "z": "w"}}
    for key, value in values.items():
        text = conf + f"\n{key}: {json.dumps(value)}\n".encode()
        yield "a conf of wrong values", folder(f"conf_{key}", conf=text)
    for number, (kind, text) in enumerate(confs()):
        if kind not in ("paths out", "bases"):
            yield f"conf: {kind}", folder(f"hostile{number}", conf=text)
    for name in ("saved_model", "checkpoints"):
        path = Path(f"only_{name}")
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        if name == "saved_model":
            (path / "saved_model.pb").write_bytes(random.Random(1).randbytes(999))
        else:
            (path / name).mkdir()
            header = pickle.dumps(Payload())
            (path / name / "00000001.npz").write_bytes(header)
        yield f"only {name}", path


def foreign() -> dict[str, bytes]:
    """Contents that are not weights of ours, some with a payload."""
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:  # as PyTorch's, with a pickle in it
        archive.writestr("archive/data.pkl", pickle.dumps(Payload()))
    objects = io.BytesIO()
    np.savez(objects, **{"network/conv1/kernel": np.array([Payload()], object)})
    object_array = io.BytesIO()
    np.save(object_array, np.array([Payload()], object))
    return {
        "pickle": pickle.dumps(Payload()),
        "pickle in a zip": zipped.getvalue(),
        "objects in an npz": objects.getvalue(),
        "objects in an npy": object_array.getvalue(),
        "nothing": b"",
        "zeros": bytes(10_000),
        "hdf5 head": b"\x89HDF\r\n\x1a\n" + bytes(2000),
        "matlab head": b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + b"\xff" * 2000,
        "leveldb tail": random.Random(2).randbytes(2000) + bytes.fromhex("57fb808b247547db"),
        "safetensors of 2^40": (1 << 40).to_bytes(8, "little") + b"{}",
        "safetensors that lie": _safetensors({"features.0.weight": [0, 1 << 40]}),
    }


def _safetensors(offsets: dict[str, list[int]]) -> bytes:
    tensors = {
        name: {"dtype": "F32", "shape": [1 << 38], "data_offsets": places}
        for name, places in offsets.items()
    }
    header = json.dumps(tensors).encode()
    return len(header).to_bytes(8, "little") + header


def lying_arrays(name: str, arrays: dict[str, np.ndarray]) -> Iterator[tuple[str, Path]]:
    """Files of arrays of which one is not as it has to be."""
    first = next(key for key in arrays if key.endswith("kernel"))
    wrong = {
        "another shape": arrays[first].reshape(-1),
        "of texts": np.array(["x"]),
        "NaN": np.full_like(arrays[first], np.nan),
        "Inf": np.full_like(arrays[first], np.inf),
        "huge": np.full(arrays[first].shape, 1e12, np.float32),
        "complex": arrays[first].astype(np.complex64),
    }
    for kind, array in wrong.items():
        path = Path(f"{name}_{kind}.npz".replace(" ", "_"))
        np.savez(path, **(arrays | {first: array}))
        yield f"array {kind}", path
    path = Path(f"{name}_lacking.npz")
    np.savez(path, **{key: array for key, array in arrays.items() if key != first})
    yield "array lacking", path
    path = Path(f"{name}_bomb.npz")
    header = b"\x93NUMPY\x01\x00v\x00" + (
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (1073741824,), }".ljust(117) + b"\n"
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open(f"{first}.npy", "w", force_zip64=True) as file:
            file.write(header)
            for _ in range(4096 // 4):
                file.write(bytes(1 << 20))
        archive.writestr("other.npy", header + bytes(1 << 20))
    yield "array of 2^30 values, deflated", path


if __name__ == "__main__":
    sys.exit(main())
