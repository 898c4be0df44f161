"""Measure how much the strokes of a trained network flicker on a clip.

    python -m fast_style.flicker --model models/candy --clip clip.mp4 --smooth 0.3 0.6

Writes flicker.json into the model folder. fast_style.flicker.warping_error explains the figures.
"""

import json

from fast_style.command_line import STYLE_HELP, OneLineParser, exit_on_user_error, unit_interval
from fast_style.errors import check_installed
from fast_style.files import write_atomically
from fast_style.model_folder.layout import find_model_folder
from fast_style.network.style_mix import name_in_style


def main() -> None:
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", required=True, help="model folder, such as models/candy")
    parser.add_argument("--style", help=STYLE_HELP)
    parser.add_argument("--clip", required=True, help="the clip to stylize")
    parser.add_argument(
        "--smooth",
        type=unit_interval,
        nargs="+",
        default=[],
        help="also measure with these values of --smooth of fast_style.video",
    )
    args = parser.parse_args()
    check_installed("videos need", "video", "av", "cv2")
    from fast_style.flicker.warping_error import measure_flicker, table

    folder = find_model_folder(args.model)
    measured = measure_flicker(folder, args.clip, args.style, args.smooth)
    path = folder / f"{name_in_style('flicker', args.style)}.json"
    write_atomically(path, json.dumps(measured, indent=2).encode())
    print(table(measured))


if __name__ == "__main__":
    exit_on_user_error(main)
