"""Measure a trained network: the painting's strokes and palette, and the photo's scene.

    python -m fast_style.measure --model models/candy --images photos
    python -m fast_style.measure --model models/candy --images photo.jpg --pictures theirs.jpg
    python -m fast_style.measure --model models/candy --images photos --lbfgs
    python -m fast_style.measure --model models/candy models/wave --portraits photos_of_people

Shows the figures of likeness.py, without a loss network, for the models, the plain photo and the
pictures of other programs; a contact sheet; and the models' artefacts (artefacts.py) at several
sizes. With --lbfgs also the objective in iterations of L-BFGS on the pixels, from white noise and
from the content image: Johnson et al. (2016, section 4.1) report 50 to 100 from noise.
With --portraits, how many of the people in them are still found and recognized.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fast_style.command_line import STYLE_HELP, OneLineParser, at_least_1, exit_on_user_error
from fast_style.errors import UserError, check_installed
from fast_style.files import read_bytes, write_atomically
from fast_style.measure.figures import (
    PAINTING,
    PHOTO,
    Subject,
    compare,
    measure,
    one_painting,
    read_subject,
)
from fast_style.measure.lbfgs_equivalence import plot
from fast_style.measure.tables import likeness_table, table
from fast_style.model_folder.layout import find_model_folder
from fast_style.network.style_mix import name_in_style
from fast_style.pictures.images import (
    Picture,
    find_pictures,
    flatten_on_white,
    read_picture,
    write_picture,
)
from fast_style.stylize.stylizer import Stylizer

MEASURE = "measure"  # .json, and with --lbfgs .png; measure-STYLE of a folder with several
SHEET = "contact_sheet"  # .jpg; contact_sheet-STYLE
PORTRAITS = "portraits"  # .json and .png; portraits-STYLE
MOST_OTHER_PROPORTIONS = 0.03  # programs crop or add some pixels at the edges
SMALLEST = 96
OPTIMIZED, ITERATIONS = 2, 200
NEEDED = {  # by a flag: another one
    "pictures": "images",
    "style_image": "images",
    "lbfgs": "images",
    "optimized": "lbfgs",
    "iterations": "lbfgs",
}


def main() -> None:
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    flag = parser.add_argument
    many: dict[str, Any] = {"nargs": "+", "action": "extend", "default": []}
    flag("--model", **many, help="model folders, such as models/candy")
    flag("--style", help=STYLE_HELP)
    flag("--images", help="photos that were not trained on: a folder or glob")
    flag("--style-image", help="the painting, if the file in the conf does not exist")
    flag("--pictures", **many, metavar="FILE", help="results of other programs for a single photo")
    flag("--portraits", help="measure how many people are still recognized: a folder or glob")
    flag("--sizes", type=at_least_1, nargs="+", default=[256, 512, 1024])
    flag("--lbfgs", action="store_true", help="also measure the objective in iterations of L-BFGS")
    flag("--optimized", type=at_least_1, help=f"with --lbfgs: number of photos ({OPTIMIZED})")
    flag("--iterations", type=at_least_1, help=f"with --lbfgs: number of them ({ITERATIONS})")
    flag("--compare", **many, metavar="DIR", help="measured models to compare with")
    args = parser.parse_args()
    for name, needed in NEEDED.items():
        if getattr(args, name) and not getattr(args, needed):
            raise UserError(f"--{name.replace('_', '-')}: needs --{needed}")
    if args.portraits is not None:
        if not args.model or args.images is not None or args.compare:
            raise UserError("--portraits: needs --model, and neither --images nor --compare")
        _measure_portraits(args.model, args.style, args.portraits)
        return
    if bool(args.model) != (args.images is not None):
        raise UserError("--model and --images go together; --compare alone shows earlier figures")
    if not args.model and not args.compare:
        raise UserError("give --model and --images to measure, or --compare for earlier figures")
    if min(args.sizes) < SMALLEST:
        raise UserError(f"--sizes {min(args.sizes)}: is too small; at least {SMALLEST}")
    if args.lbfgs:
        check_installed("--lbfgs: needs", "gatys", "scipy", "matplotlib")
    figures: dict[str, dict | None] = {}
    measured: dict[str, dict] = {}
    if args.model:
        lbfgs = (args.optimized or OPTIMIZED, args.iterations or ITERATIONS) if args.lbfgs else None
        subjects = _read_subjects(args.model, args.style, args.style_image)
        figures, measured = _measure_models(subjects, args.images, args.pictures, args.sizes, lbfgs)
    earlier = [found for name in args.compare for found in _read_measured(find_model_folder(name))]
    labels = _labels([(one["model"], str(path)) for path, one in earlier], figures)
    for label, (_, one) in zip(labels, earlier, strict=True):
        measured[label], figures[label] = one, one.get("likeness")
    print(likeness_table(figures))
    print()
    print(table(measured))


def _measure_portraits(models: Sequence[str], style: str | None, images: str) -> None:
    check_installed("--portraits: needs", "portraits", "matplotlib")
    # An optional extra.
    from fast_style.measure.portraits import measure_portraits, plot_portraits, portraits_table
    from fast_style.portraits.faces import check_faces_installed

    check_faces_installed()
    folders = [find_model_folder(name) for name in models]
    named = [(name_in_style(path.resolve().name, style), str(path)) for path in folders]
    stylizers = [Stylizer(folder, style=style) for folder in folders]
    stylizers_by_label = dict(zip(_labels(named, []), stylizers, strict=True))
    photos = [flatten_on_white(read_picture(path)) for path in find_pictures(images)]
    measured = measure_portraits(stylizers_by_label, photos)
    name = name_in_style(PORTRAITS, style)
    for folder, figures in zip(folders, measured.values(), strict=True):
        write_atomically(folder / f"{name}.json", json.dumps(figures, indent=2).encode())
    plot_portraits(folders[0] / f"{name}.png", measured)
    print(portraits_table(measured))
    print(folders[0] / f"{name}.png")


def _read_subjects(
    models: Sequence[str], style: str | None, style_image: str | None
) -> list[Subject]:
    folders = [find_model_folder(name) for name in models]
    named = [(name_in_style(path.resolve().name, style), str(path)) for path in folders]
    labels = _labels(named, [PHOTO, PAINTING])
    return [
        read_subject(folder, label, style, style_image)
        for folder, label in zip(folders, labels, strict=True)
    ]


def _measure_models(
    subjects: Sequence[Subject],
    images: str,
    pictures: list[str],
    sizes: Sequence[int],
    lbfgs: tuple[int, int] | None,
) -> tuple[dict[str, dict | None], dict[str, dict]]:
    """Returns the figures of compare() and of measure() by label, and writes them to the folders.

    images: photos, a folder or glob. pictures: results of other programs for a single photo.
    """
    photos = [flatten_on_white(read_picture(path)) for path in find_pictures(images)]
    labels = [subject.label for subject in subjects]
    others = _read_others(pictures, photos, [PHOTO, PAINTING, *labels])
    if others and not one_painting(subjects):
        raise UserError(
            "--pictures: the models have different style images; name the painting to compare "
            "with as --style-image"
        )
    figures, sheet = compare(subjects, photos, others)
    measured = {}
    for subject in subjects:
        ours = measure(subject, photos, sizes, figures[subject.label], lbfgs)
        name = name_in_style(MEASURE, subject.style)
        write_atomically(subject.folder / f"{name}.json", json.dumps(ours, indent=2).encode())
        if lbfgs is not None:
            plot(ours, subject.folder / f"{name}.png")
        measured[subject.label] = ours
    sheet_path = subjects[0].folder / f"{name_in_style(SHEET, subjects[0].style)}.jpg"
    write_picture(sheet_path, Picture(sheet))
    print(sheet_path)
    return dict(figures), measured


def _read_others(
    names: list[str], photos: list[np.ndarray], taken: Sequence[str]
) -> dict[str, np.ndarray]:
    """Returns the results of other programs for a single photo by label."""
    if names and len(photos) > 1:
        raise UserError(f"--pictures: needs a single photo; --images names {len(photos)}")
    labels = _labels([(Path(name).name, name) for name in names], taken)
    others = {}
    for name, label in zip(names, labels, strict=True):
        picture = flatten_on_white(read_picture(name))
        ratios = [rgb.shape[1] / rgb.shape[0] for rgb in (picture, photos[0])]
        if abs(ratios[0] / ratios[1] - 1) > MOST_OTHER_PROPORTIONS:
            sizes = [f"{rgb.shape[1]}x{rgb.shape[0]}" for rgb in (picture, photos[0])]
            raise UserError(
                f"--pictures {name}: is {sizes[0]}, and the photo is {sizes[1]}; it must have the "
                "same proportions"
            )
        others[label] = picture
    return others


def _labels(names: Sequence[tuple[str, str]], taken: Iterable[str]) -> list[str]:
    """Returns the short one of each (short, long) name, or the long one if the short is taken."""
    counts = Counter([*(short for short, _ in names), *taken])
    labels = [short if counts[short] == 1 else long for short, long in names]
    for label, count in Counter(labels).items():
        if count > 1:
            raise UserError(f"{label}: is given more than once")
    return labels


def _read_measured(folder: Path) -> list[tuple[Path, dict]]:
    paths = sorted(folder.glob(f"{MEASURE}*.json"))
    if not paths:
        raise UserError(
            f"--compare {folder}: has no {MEASURE}.json; measure it first with --model {folder}"
        )
    measured = []
    for path in paths:
        try:
            measured.append((path, json.loads(read_bytes(path))))
        except ValueError as error:
            raise UserError(f"{path}: is damaged: {error}") from error
    return measured


if __name__ == "__main__":
    exit_on_user_error(main)
