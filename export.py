"""Export a trained style: python export.py --model models/candy --format onnx"""

import argparse
from pathlib import Path

from fast_style.command_line import STYLE_HELP, OneLineParser, exit_on_user_error
from fast_style.errors import UserError
from fast_style.export import FORMATS, check_format, check_new, check_style, export, web_site
from fast_style.hardware import start_tensorflow
from fast_style.model_folder.layout import find_model_folder
from fast_style.model_folder.model import read_model
from fast_style.network.style_mix import name_in_style

WEB = web_site.FORMAT


def main() -> None:
    parser = OneLineParser(description="Export trained styles for other programs.")
    parser.add_argument(
        "--model", required=True, nargs="+", help="model folders, such as models/candy"
    )
    parser.add_argument(
        "--format",
        nargs="+",
        default=["saved_model"],
        choices=[*FORMATS, WEB],
        help=f"{WEB}: a site of all the models, which stylizes in the browser",
    )
    parser.add_argument("--style", help=STYLE_HELP)
    parser.add_argument("--pixels", default="uint8", choices=["uint8", "float"], help="in and out")
    parser.add_argument("--half", action="store_true", help="weights in float16")
    parser.add_argument("--output", type=Path, help="file or folder; default: exported/NAME")
    parser.add_argument(
        "--onnxruntime-web",
        type=Path,
        metavar="FILE",
        help=f"for {WEB}: {web_site.ARCHIVE} from npm; without it, it is fetched once",
    )
    args = parser.parse_args()
    _check(args)
    folders = [find_model_folder(name) for name in args.model]
    models = [read_model(folder) for folder in folders]
    for kind in args.format:
        for model in models:
            check_style(model, kind, args.style)
    start_tensorflow()
    for kind in args.format:
        if kind == WEB:
            _export_site(folders, args)
        else:
            for folder in folders:
                _export_model(folder, kind, args)


def _check(args: argparse.Namespace) -> None:
    several = len(args.format) > 1 or (len(args.model) > 1 and args.format != [WEB])
    if args.output is not None and several:
        raise UserError("--output: is for one export; without it, all go to exported/NAME.*")
    if args.output is not None:
        check_new(args.output)
    if args.onnxruntime_web is not None and WEB not in args.format:
        raise UserError(f"--onnxruntime-web: is for --format {WEB}")
    if args.onnxruntime_web is not None and not args.onnxruntime_web.is_file():
        raise UserError(f"--onnxruntime-web {args.onnxruntime_web}: no such file")
    if args.pixels == "float" and WEB in args.format:
        raise UserError(f"--pixels float: the networks of --format {WEB} take uint8")
    for kind in args.format:
        if kind != WEB:
            check_format(kind, args.half)


def _export_model(folder: Path, kind: str, args: argparse.Namespace) -> None:
    name = name_in_style(folder.name, args.style)
    output = args.output or Path("exported") / f"{name}{FORMATS[kind].ending}"
    found = export(folder, output, kind, style=args.style, pixels=args.pixels, half=args.half)
    print(f"{output}: {FORMATS[kind].title}")
    for one in found:
        print(
            f"  {one.height:>3} x {one.width:<3}  at most {one.largest_difference:.4f} grey "
            "levels off the network"
        )


def _export_site(folders: list[Path], args: argparse.Namespace) -> None:
    output = args.output or Path("exported") / "site"
    styles = web_site.export_site(
        folders, output, style=args.style, half=args.half, archive=args.onnxruntime_web
    )
    print(f"{output}: web site")
    for name, found in styles.items():
        worst = max(one.largest_difference for one in found)
        print(f"  {name}: at most {worst:.4f} grey levels off the network")


if __name__ == "__main__":
    exit_on_user_error(main)
