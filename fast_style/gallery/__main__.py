"""Make contact sheets of trained styles, or of variants of a conf.

python -m fast_style.gallery                                 # pretrained styles by photos
python -m fast_style.gallery --sweep style_weight=0.5,1,2 -c conf/candy.yml
"""

import sys
from pathlib import Path

import numpy as np

from fast_style.command_line import OneLineParser, add_set_flag, at_least_1, exit_on_user_error
from fast_style.conf.locations import PROJECT
from fast_style.errors import UserError
from fast_style.gallery.sheets import styles_by_photos, sweep, swept_confs
from fast_style.model_folder.layout import SHIPPED, find_model_folder, shipped_models
from fast_style.pictures.images import (
    Picture,
    find_pictures,
    flatten_on_white,
    read_picture,
    write_picture,
)
from fast_style.pictures.pixels import fit_within

SWEEP_STEPS = 250


def main() -> int:
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    task = parser.add_mutually_exclusive_group()
    task.add_argument("--models", nargs="+", help="model folders; default: those in pretrained/")
    parser.add_argument(
        "--style", nargs="+", help="style images, for the models that take any style"
    )
    task.add_argument("--sweep", metavar="KEY=VALUE,VALUE", help="train once for each value")
    parser.add_argument("--images", default=str(PROJECT / "img" / "sample.jpg"), help="photos")
    parser.add_argument("--size", type=at_least_1, default=320, help="long side of the photos")
    parser.add_argument("--output", type=Path, default=Path("gallery.jpg"), help="contact sheet")
    parser.add_argument("-c", "--conf", help="with --sweep: the conf to vary")
    add_set_flag(parser)
    parser.add_argument("--steps", type=at_least_1, default=SWEEP_STEPS, help="of each in --sweep")
    args = parser.parse_args()
    if (args.sweep is None) != (args.conf is None):
        raise UserError("--sweep and --conf go together")
    if args.sweep is not None and args.style:
        raise UserError("--style: goes with --models, not with --sweep")
    photos, broken = _photos(args.images, args.size)
    if args.sweep is not None:
        sheet = sweep(swept_confs(args.conf, args.overrides, args.sweep, args.steps), photos)
    else:
        models = [find_model_folder(name) for name in args.models or []] or shipped_models()
        if not models:
            raise UserError(f"{SHIPPED}: holds no models; name some with --models")
        sheet = styles_by_photos(models, photos, args.style or [])
    write_picture(args.output, Picture(sheet))
    print(args.output)
    for error in broken:
        print(f"error: {error}", file=sys.stderr)
    return 1 if broken else 0


def _photos(images: str, size: int) -> tuple[list[np.ndarray], list[UserError]]:
    """Returns the readable photos, and the errors of others. Raises UserError if there are none."""
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
