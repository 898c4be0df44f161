"""Pack folders of labelled pictures into the files that a loss network is trained on.

    python -m fast_style.train_loss_network.pack FOLDER [FOLDER ...] --output PACKS

Each FOLDER is a set of pictures, FOLDER/CLASS/.../PICTURE, and is called by its name.
"""

import argparse
import hashlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from fast_style.command_line import OneLineParser, at_least_1, exit_on_user_error, unit_interval
from fast_style.errors import UserError
from fast_style.files import make_folder, write_atomically
from fast_style.hardware import usable_cores
from fast_style.model_folder.npz import write_arrays
from fast_style.pictures.images import (
    Picture,
    decode_picture,
    encode_picture,
    find_pictures,
    flatten_on_white,
    read_picture_file,
)
from fast_style.pictures.pixels import resized
from fast_style.train_loss_network.packs import CLASSES

QUALITY = 90
LARGEST_PACK = 32_000_000  # bytes of pictures


def parse_arguments() -> argparse.Namespace:
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sets", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--output", type=Path, required=True, help="a new folder")
    parser.add_argument(
        "--side", type=at_least_1, default=128, help="shrink the short side to this many pixels"
    )
    parser.add_argument(
        "--validation", type=unit_interval, default=0.05, help="part that is not trained on"
    )
    return parser.parse_args()


def pack(sets: list[Path], output: Path, side: int, validation: float) -> None:
    """Write packs of the pictures in `sets`, and say on stderr which could not be read.

    Which pictures are for validation depends on their names alone. Raises UserError.
    """
    found = _labelled(sets)
    classes = sorted({(name, kind) for name, kind, _ in found})
    make_folder(output)
    if any(output.iterdir()):
        raise UserError(f"--output {output}: is not empty; name a new folder")
    labels = {pair: label for label, pair in enumerate(classes)}
    rows: list[tuple[bytes, int, bool]] = []
    size = number = left_out = 0
    with ThreadPoolExecutor(usable_cores()) as pool:
        for (name, kind, path), result in zip(
            found, pool.map(lambda entry: _shrunk(entry[2], side), found), strict=True
        ):
            if isinstance(result, UserError):
                print(f"left out: {result}", file=sys.stderr)
                left_out += 1
                continue
            if rows and size + len(result) > LARGEST_PACK:
                _write(output, number, rows)
                rows, size, number = [], 0, number + 1
            rows.append((result, labels[name, kind], _held_out(name, kind, path, validation)))
            size += len(result)
    if not rows:
        raise UserError(f"{', '.join(map(str, sets))}: hold no picture that can be read")
    _write(output, number, rows)
    write_atomically(output / CLASSES, json.dumps(classes, indent=0).encode())
    print(
        f"{output}: {len(found) - left_out:,} pictures of {len(classes):,} classes in "
        f"{len(sets):,} sets; {left_out:,} left out"
    )


def _labelled(sets: list[Path]) -> list[tuple[str, str, Path]]:
    names = [folder.resolve().name for folder in sets]
    if len(set(names)) < len(names):
        raise UserError(f"two of the sets have the same name; they are {', '.join(names)}")
    found = []
    for name, folder in zip(names, sets, strict=True):
        if not folder.is_dir():
            raise UserError(f"{folder}: is not a folder; a set is FOLDER/CLASS/PICTURE")
        for path in find_pictures(folder):
            if path.parent == folder:
                raise UserError(f"{path}: is in no class; a set is FOLDER/CLASS/PICTURE")
            found.append((name, path.relative_to(folder).parts[0], path))
    return found


def _shrunk(path: Path, side: int) -> bytes | UserError:
    try:
        picture = decode_picture(read_picture_file(path), str(path), at_least=side)
        picture = Picture(flatten_on_white(picture))
        height, width = picture.rgb.shape[:2]
        scale = side / min(height, width)
        if scale < 1:
            picture = resized(picture, round(height * scale), round(width * scale))
        return encode_picture(picture, ".jpg", QUALITY)
    except UserError as error:
        return error


def _held_out(name: str, kind: str, path: Path, part: float) -> bool:
    digest = hashlib.sha256(f"{name}/{kind}/{path.name}".encode()).digest()
    return int.from_bytes(digest[:8]) < part * 2**64


def _write(output: Path, number: int, rows: list[tuple[bytes, int, bool]]) -> None:
    files, labels, validation = zip(*rows, strict=True)
    write_arrays(
        output / f"{number:03d}.npz",
        {
            "bytes": np.frombuffer(b"".join(files), np.uint8),
            "offsets": np.cumsum([0, *map(len, files)], dtype=np.int64),
            "labels": np.array(labels, np.int32),
            "validation": np.array(validation, bool),
        },
    )


def main() -> None:
    args = parse_arguments()
    pack(args.sets, args.output, args.side, args.validation)


if __name__ == "__main__":
    exit_on_user_error(main)
