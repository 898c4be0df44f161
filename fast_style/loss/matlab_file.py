"""A limit on the size of MATLAB files, which scipy decompresses completely."""

import struct
import zlib
from pathlib import Path

from fast_style.errors import UserError
from fast_style.files import read_bytes

MOST_BYTES = 1 << 30  # the largest VGG with all its layers has 0.6 GB
MI_COMPRESSED = 15  # a data type of the MAT-File Format


def check_inflated_size(path: Path) -> None:
    """Raises UserError if the elements of a MATLAB 5 file decompress to more than MOST_BYTES."""
    inflated, content = 0, memoryview(read_bytes(path, at_most=MOST_BYTES))
    order = ">" if content[126:128] == b"MI" else "<"
    place = 128
    while place + 8 <= len(content):
        kind, size = struct.unpack_from(order + "II", content, place)
        rest: bytes | memoryview = content[place + 8 : place + 8 + size]
        place += 8 + size
        if kind != MI_COMPRESSED:
            continue
        element = zlib.decompressobj()
        while len(rest) and not element.eof:
            inflated += len(element.decompress(rest, 1 << 20))
            rest = element.unconsumed_tail
            if inflated > MOST_BYTES:
                raise UserError(
                    f"loss_model_file: {str(path)!r} decompresses to more than {MOST_BYTES:,} "
                    "bytes; no VGG is so large"
                )
