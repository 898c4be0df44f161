"""Paint one picture by minimizing the objective over its pixels (Gatys, Ecker and Bethge 2016).

    python -m fast_style.gatys -c conf/gatys/lbfgs.yml --content photo.jpg --output out.png

It needs minutes instead of one pass. Feed-forward networks are measured against it.
"""

from dataclasses import replace
from pathlib import Path

from fast_style.command_line import (
    OneLineParser,
    add_set_flag,
    at_least_1,
    exit_on_user_error,
    unit_interval,
)
from fast_style.conf.conf_file import load_config
from fast_style.conf.config import canvas_size
from fast_style.files import make_folder
from fast_style.gatys.painting import PaintingSession, painting_sizes
from fast_style.hardware import start_tensorflow
from fast_style.pictures.images import check_picture_target, read_picture, write_picture
from fast_style.pictures.pixels import blend, fit_within, resized, with_chroma_of


def main() -> None:
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-c", "--conf", required=True, help="such as conf/gatys/lbfgs.yml")
    parser.add_argument("--content", required=True, help="the picture to paint")
    parser.add_argument("--style", help="the style image, instead of the conf's")
    parser.add_argument("--output", required=True, type=Path, help="where the painted picture goes")
    parser.add_argument("--steps", type=at_least_1, help="instead of the conf's iterations")
    parser.add_argument("--max-size", type=at_least_1, help="shrink the long side to this")
    parser.add_argument("--every", type=at_least_1, help="steps between intermediate pictures")
    parser.add_argument("--strength", type=unit_interval, default=1.0, help="0 to 1: how much")
    parser.add_argument("--preserve-color", action="store_true", help="keep the photo's colours")
    add_set_flag(parser)
    args = parser.parse_args()
    overrides = args.overrides
    if args.style is not None:
        overrides.append(f"style_image={args.style}")
    if args.steps is not None:
        overrides.append(f"iterations={args.steps}")
    config = load_config(args.conf, overrides)
    content = read_picture(args.content)
    content = resized(content, *canvas_size(config.canvas, *content.rgb.shape[:2]))
    if args.max_size is not None:
        content = fit_within(content, args.max_size)
    config = replace(config, canvas=None)  # the content image is on it now
    painting_sizes(config, *content.rgb.shape[:2])  # refuses small pictures before any work
    make_folder(args.output.parent)
    check_picture_target(args.output)
    start_tensorflow()
    session = PaintingSession(config, content.rgb, args.output, args.every)
    painted = session.paint()
    if args.preserve_color:
        painted = with_chroma_of(content.rgb, painted)
    if args.strength < 1:
        painted = blend(content.rgb, painted, args.strength)
    write_picture(args.output, replace(content, rgb=painted))
    print(args.output)
    if session.interrupted:
        raise KeyboardInterrupt


if __name__ == "__main__":
    exit_on_user_error(main)
