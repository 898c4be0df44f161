"""Several pictures on one page, in rows and columns with a word at each."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fast_style.pixels import resize

GAP = 6
HEADING = 30
PAPER, INK = (255, 255, 255), (40, 40, 40)


def contact_sheet(rows: Sequence[Sequence[np.ndarray]], headings: Sequence[str]) -> np.ndarray:
    """(H, W, 3) uint8: rows of pictures under the headings of their columns.

    rows: each as long as headings, of (h, w, 3) uint8 pictures; every picture of a row takes the
    height of the row's first, and every picture of a column fits the width of the widest.
    """
    tiles = [[_with_height(picture, row[0].shape[0]) for picture in row] for row in rows]
    widths = [max(row[column].shape[1] for row in tiles) for column in range(len(headings))]
    heights = [row[0].shape[0] for row in tiles]
    page = Image.new(
        "RGB",
        (sum(widths) + GAP * (len(widths) + 1), HEADING + sum(heights) + GAP * len(heights)),
        PAPER,
    )
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(HEADING * 0.6)
    left = GAP
    for column, (heading, width) in enumerate(zip(headings, widths, strict=True)):
        pen.text((left + width / 2, HEADING / 2), heading, INK, font, anchor="mm")
        top = HEADING
        for row, height in zip(tiles, heights, strict=True):
            tile = row[column]
            page.paste(Image.fromarray(tile), (left + (width - tile.shape[1]) // 2, top))
            top += height + GAP
        left += width + GAP
    return np.asarray(page)


def _with_height(picture: np.ndarray, height: int) -> np.ndarray:
    if picture.shape[0] == height:
        return picture
    return resize(picture, height, max(1, round(picture.shape[1] * height / picture.shape[0])))
