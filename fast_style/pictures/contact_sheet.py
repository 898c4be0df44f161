"""Contact sheets: several pictures on one page, in columns with headings."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fast_style.pictures.pixels import resize

GAP = 6
HEADING = 30
PAPER, INK = (255, 255, 255), (40, 40, 40)


def contact_sheet(columns: Mapping[str, Sequence[np.ndarray]], most_across: int = 6) -> np.ndarray:
    """Draws columns of pictures under their headings: (H, W, 3) uint8.

    columns: heading to (h, w, 3) uint8 pictures, the same number for each heading. A row is as
    high as its first picture, a column as wide as its widest. More than most_across columns are
    split evenly into blocks, one below the other.
    """
    headings = list(columns)
    across = math.ceil(len(headings) / math.ceil(len(headings) / most_across))
    blocks = [
        _block({heading: columns[heading] for heading in headings[start : start + across]})
        for start in range(0, len(headings), across)
    ]
    width = max(block.shape[1] for block in blocks)
    margins = [((0, 0), (0, width - block.shape[1]), (0, 0)) for block in blocks]
    padded = [np.pad(b, m, constant_values=255) for b, m in zip(blocks, margins, strict=True)]
    return np.concatenate(padded)


def _block(columns: Mapping[str, Sequence[np.ndarray]]) -> np.ndarray:
    heights = [len(picture) for picture in next(iter(columns.values()))]
    tiles = [
        [
            resize(picture, height, max(1, round(picture.shape[1] * height / len(picture))))
            for picture, height in zip(pictures, heights, strict=True)
        ]
        for pictures in columns.values()
    ]
    widths = [max(tile.shape[1] for tile in column) for column in tiles]
    size = GAP + sum(width + GAP for width in widths), HEADING + sum(h + GAP for h in heights)
    page = Image.new("RGB", size, PAPER)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(HEADING * 0.6)
    left = GAP
    for heading, column, width in zip(columns, tiles, widths, strict=True):
        pen.text((left + width / 2, HEADING / 2), heading, INK, font, anchor="mm")
        top = HEADING
        for tile in column:
            page.paste(Image.fromarray(tile), (left + (width - tile.shape[1]) // 2, top))
            top += len(tile) + GAP
        left += width + GAP
    return np.asarray(page)
