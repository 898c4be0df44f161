"""Draw the project's own pictures: `python img/draw.py candy mosaic` (none named: all).

Everything comes from one seed, so the same versions of NumPy and Pillow draw the same pictures.
Each picture has a module in img/artwork/; the mosaic needs SciPy (a part of `[dev]`).
"""

import argparse
from pathlib import Path

import numpy as np
from artwork.candy import draw_candy
from artwork.canvas import save
from artwork.cubist import draw_cubist
from artwork.feathers import draw_feathers
from artwork.landscape import draw_sample
from artwork.mosaic import draw_mosaic

SEED = 7
FOLDER = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    pictures = {
        "candy": draw_candy,
        "cubist": draw_cubist,
        "feathers": draw_feathers,
        "mosaic": draw_mosaic,
        "sample": draw_sample,
    }
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(pictures)}")
    names = parser.parse_args().names or list(pictures)
    for name in names:
        if name not in pictures:
            parser.error(f"no picture {name!r}; there is: {', '.join(pictures)}")
    for name in names:
        save(pictures[name](np.random.default_rng(SEED)), FOLDER / f"{name}.jpg", 90)


if __name__ == "__main__":
    main()
