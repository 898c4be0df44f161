"""Make contact sheets of styles: of trained ones, or of variants of a conf.

python -m fast_style.gallery                                 # pretrained styles by photos
python -m fast_style.gallery --sweep style_weight=0.5,1,2 -c conf/candy.yml
"""

import dataclasses
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fast_style.command_line import OneLineParser, at_least_1, exit_on_user_error
from fast_style.conf.conf_file import load_config
from fast_style.conf.config import Config
from fast_style.conf.locations import PROJECT
from fast_style.conf.names import as_name
from fast_style.errors import UserError
from fast_style.hardware import start_tensorflow
from fast_style.model_folder.layout import find_model_folder
from fast_style.model_folder.model import read_model
from fast_style.pictures.contact_sheet import contact_sheet
from fast_style.pictures.images import (
    Picture,
    find_pictures,
    flatten_on_white,
    read_picture,
    write_picture,
)
from fast_style.pictures.pixels import fit_within
from fast_style.stylize.stylizer import Stylizer
from fast_style.zoo.shipped import SHIPPED, shipped_models

SWEEP_STEPS = 250


def styles_by_photos(models: list[Path], photos: list[np.ndarray]) -> np.ndarray:
    """The contact sheet of every style of `models`, over (H, W, 3) uint8 photos."""
    columns = {"content image": photos}
    styles = [(folder, style) for folder in models for style in read_model(folder).styles]
    for folder, style in tqdm(styles, unit=" styles"):
        stylizer = Stylizer(folder, style=style)
        columns[style] = [stylizer(photo) for photo in photos]
    return contact_sheet(columns)


def sweep(confs: dict[str, Config], photos: list[np.ndarray]) -> np.ndarray:
    """The contact sheet of several trainings, by their headings.

    Each has a model folder of its own; a training that has finished before is not repeated.
    """
    # After the flags are known to be good: TensorFlow takes seconds to import.
    start_tensorflow()
    from fast_style.training.loop import train

    columns = {"content image": photos}
    for heading, config in confs.items():
        stylizer = Stylizer(train(config))
        columns[heading] = [stylizer(photo) for photo in photos]
    return contact_sheet(columns)


def swept_confs(conf: str, overrides: list[str], swept: str, steps: int) -> dict[str, Config]:
    """'key=value' to the conf with that value; `swept` is such as 'seed=1,2,3'."""
    key, separator, values = swept.partition("=")
    if not separator or not values:
        raise UserError(f"--sweep {swept}: is not of the form key=value,value")
    confs: dict[str, Config] = {}
    for value in values.split(","):
        config = load_config(conf, [f"steps={steps}", *overrides, f"{key}={value}"])
        naming = as_name(f"{config.naming}-{key}-{value}")
        if any(naming == other.naming for other in confs.values()):
            raise UserError(f"--sweep {swept}: two of its models would be called {naming!r}")
        confs[f"{key}={value}"] = dataclasses.replace(config, naming=naming)
    return confs


def main() -> int:
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    task = parser.add_mutually_exclusive_group()
    task.add_argument("--models", nargs="+", help="model folders; default: those in pretrained/")
    task.add_argument("--sweep", metavar="KEY=VALUE,VALUE", help="train once for each value")
    parser.add_argument("--images", default=str(PROJECT / "img" / "sample.jpg"), help="photos")
    parser.add_argument("--size", type=at_least_1, default=320, help="long side of the photos")
    parser.add_argument("--output", type=Path, default=Path("gallery.jpg"), help="contact sheet")
    parser.add_argument("-c", "--conf", help="with --sweep: the conf to vary")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--steps", type=at_least_1, default=SWEEP_STEPS, help="of each in --sweep")
    args = parser.parse_args()
    if (args.sweep is None) != (args.conf is None):
        raise UserError("--sweep and --conf go together")
    photos, broken = _photos(args.images, args.size)
    if args.sweep is not None:
        sheet = sweep(swept_confs(args.conf, args.overrides, args.sweep, args.steps), photos)
    else:
        models = [find_model_folder(name) for name in args.models or []] or shipped_models()
        if not models:
            raise UserError(f"{SHIPPED}: holds no models; name some with --models")
        sheet = styles_by_photos(models, photos)
    write_picture(args.output, Picture(rgb=sheet, alpha=None, icc_profile=None))
    print(args.output)
    for error in broken:
        print(f"error: {error}", file=sys.stderr)
    return 1 if broken else 0


def _photos(images: str, size: int) -> tuple[list[np.ndarray], list[UserError]]:
    """The photos that can be read, and why the others cannot. Raises UserError where none can."""
    photos, broken = [], []
    for path in find_pictures(images):
        try:
            photos.append(flatten_on_white(fit_within(read_picture(path), size)))
        except UserError as error:
            broken.append(error)
    if not photos:
        raise broken[0]
    return photos, broken


if __name__ == "__main__":
    exit_on_user_error(main)
