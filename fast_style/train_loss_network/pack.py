"""Pack folders of labelled pictures into a Parquet file, to train a loss network on.

    python -m fast_style.train_loss_network.pack FOLDER [FOLDER ...] --output PACK

Each FOLDER is a set of pictures, FOLDER/CLASS/.../PICTURE. Its name is the name of the set.
"""

import hashlib
import itertools
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fast_style.command_line import OneLineParser, at_least_1, exit_on_user_error, unit_interval
from fast_style.errors import UserError
from fast_style.files import make_folder, replacement
from fast_style.hardware import usable_cores
from fast_style.pictures.images import (
    Picture,
    decode_picture,
    encode_picture,
    find_pictures,
    flatten_on_white,
    read_picture_file,
)
from fast_style.pictures.pixels import resized
from fast_style.train_loss_network.packs import SCHEMA

QUALITY = 90
ROWS_AT_ONCE = 1000


def pack(sets: list[Path], output: Path, side: int, validation: float) -> None:
    """Writes a pack of the pictures in `sets`, and prints to stderr which could not be read.

    side: to which the short sides are shrunk, in pixels. validation: the part of the pictures for
    validation, 0 to 1; which ones depends only on their names. Raises UserError.
    """
    found = _labelled(sets)
    if output.exists():
        raise UserError(f"--output {output}: exists already; name a new file")
    make_folder(output.parent)
    rows, packed = _rows(found, side, validation), 0
    with replacement(output) as temporary, pq.ParquetWriter(temporary, SCHEMA) as writer:
        while some := list(itertools.islice(rows, ROWS_AT_ONCE)):
            writer.write_table(pa.Table.from_pylist(some, SCHEMA))
            packed += len(some)
        if not packed:
            raise UserError(f"{', '.join(map(str, sets))}: no picture can be read")
    classes = {(name, kind) for name, kind, _ in found}
    print(
        f"{output}: {packed:,} pictures of {len(classes):,} classes in {len(sets):,} sets; "
        f"{len(found) - packed:,} left out"
    )


def _rows(found: list[tuple[str, str, Path]], side: int, validation: float) -> Iterator[dict]:
    with ThreadPoolExecutor(usable_cores()) as pool:
        shrunk = pool.map(lambda entry: _shrunk(entry[2], side), found)
        for (name, kind, path), result in zip(found, shrunk, strict=True):
            if isinstance(result, UserError):
                print(f"left out: {result}", file=sys.stderr)
            else:
                held_out = _is_held_out(f"{name}/{kind}/{path.name}", validation)
                yield {"set": name, "class": kind, "validation": held_out, "picture": result}


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


def _is_held_out(name: str, part: float) -> bool:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) < part * 2**64


def main() -> None:
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sets", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--output", type=Path, required=True, help="a new Parquet file")
    parser.add_argument(
        "--side", type=at_least_1, default=128, help="shrink the short side to this many pixels"
    )
    parser.add_argument(
        "--validation", type=unit_interval, default=0.05, help="the part for validation, 0 to 1"
    )
    args = parser.parse_args()
    pack(args.sets, args.output, args.side, args.validation)


if __name__ == "__main__":
    exit_on_user_error(main)
