"""Export a trained style: python export.py --model models/candy --format onnx"""

from pathlib import Path

from fast_style.command_line import STYLE_HELP, OneLineParser, exit_on_user_error
from fast_style.export.command import KINDS, WEB, Wanted, export_models
from fast_style.export.web_site import ARCHIVE


def main() -> None:
    parser = OneLineParser(description="Export trained styles for other programs.")
    parser.add_argument(
        "--model",
        dest="models",
        required=True,
        nargs="+",
        help="model folders, such as models/candy",
    )
    parser.add_argument(
        "--format",
        dest="formats",
        nargs="+",
        default=["saved_model"],
        choices=KINDS,
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
        help=f"for {WEB}: {ARCHIVE} from npm; without it, it is fetched once",
    )
    args = parser.parse_args()
    export_models(Wanted(**vars(args)))


if __name__ == "__main__":
    exit_on_user_error(main)
