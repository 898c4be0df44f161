"""Export a trained style: python export.py --model models/candy --output candy_saved_model"""

from pathlib import Path

from fast_style.command_line import OneLineParser, exit_on_user_error
from fast_style.hardware import start_tensorflow


def main() -> None:
    parser = OneLineParser(description="Export a trained style for other programs.")
    parser.add_argument("--model", required=True, help="model folder, such as models/candy")
    parser.add_argument(
        "--format", default="saved_model", choices=["saved_model"], help="what to write"
    )
    parser.add_argument("--style", help="of a model of several: candy, or candy=0.6,wave=0.4")
    parser.add_argument("--output", type=Path, help="where to; default: exported/NAME")
    args = parser.parse_args()

    start_tensorflow()
    from fast_style.checkpoints import find_model_folder
    from fast_style.export import export
    from fast_style.style_mix import name_in_style

    folder = find_model_folder(args.model)
    output = args.output or Path("exported") / name_in_style(folder.name, args.style)
    parity = export(folder, output, args.style)
    print(f"{output}: SavedModel, at most {parity:.4f} grey levels off the network")


if __name__ == "__main__":
    exit_on_user_error(main)
