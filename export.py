"""Export a trained style: python export.py --model models/candy --format onnx"""

from pathlib import Path

from fast_style.command_line import STYLE_HELP, OneLineParser, exit_on_user_error
from fast_style.errors import UserError
from fast_style.export import FORMATS, check_format, check_style, export
from fast_style.hardware import start_tensorflow
from fast_style.model_folder.layout import find_model_folder
from fast_style.model_folder.model import read_model
from fast_style.network.style_mix import name_in_style


def main() -> None:
    parser = OneLineParser(description="Export a trained style for other programs.")
    parser.add_argument("--model", required=True, help="model folder, such as models/candy")
    parser.add_argument("--format", nargs="+", default=["saved_model"], choices=list(FORMATS))
    parser.add_argument("--style", help=STYLE_HELP)
    parser.add_argument("--pixels", default="uint8", choices=["uint8", "float"], help="in and out")
    parser.add_argument("--half", action="store_true", help="weights in float16")
    parser.add_argument("--output", type=Path, help="file or folder; default: exported/NAME")
    args = parser.parse_args()
    if args.output is not None and len(args.format) > 1:
        raise UserError("--output: is for one format; without it, all go to exported/NAME.*")
    for kind in args.format:
        check_format(kind, args.half)
    start_tensorflow()
    folder = find_model_folder(args.model)
    model = read_model(folder)
    for kind in args.format:
        check_style(model, kind, args.style)
    name = name_in_style(folder.name, args.style)
    for kind in args.format:
        output = args.output or Path("exported") / f"{name}{FORMATS[kind].ending}"
        found = export(folder, output, kind, style=args.style, pixels=args.pixels, half=args.half)
        print(f"{output}: {FORMATS[kind].title}")
        for one in found:
            print(
                f"  {one.height:>3} x {one.width:<3}  at most {one.largest_difference:.4f} grey "
                "levels off the network"
            )


if __name__ == "__main__":
    exit_on_user_error(main)
