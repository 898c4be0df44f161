"""Manage the trained styles in pretrained/: add one, check them, and list their figures.

python -m fast_style.zoo ship models/candy --data "903 photos"
python -m fast_style.zoo check                             # compare them with their records
python -m fast_style.zoo table                             # list their figures
"""

from pathlib import Path

from tqdm import tqdm

from fast_style.command_line import OneLineParser, exit_on_user_error
from fast_style.conf.locations import by_its_name
from fast_style.model_folder.layout import SHIPPED, shipped_models
from fast_style.model_folder.model import read_model
from fast_style.zoo.cards import table
from fast_style.zoo.shipped import check, ship


def main() -> int:
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    shipping = tasks.add_parser("ship", help="put a trained model into pretrained/")
    shipping.add_argument("model", type=Path, help="model folder, such as models/candy")
    shipping.add_argument("--data", required=True, help="what it was trained on, for its card")
    tasks.add_parser("check", help="compare the models with their recorded hashes and pictures")
    tasks.add_parser("table", help="print the figures of the models")
    args = parser.parse_args()
    if args.task == "check":
        return _check_all()
    if args.task == "table":
        print(table(f for f in shipped_models() if not read_model(f).has_choice))
        return 0
    folder = by_its_name(args.model)
    target = SHIPPED / folder.name
    ship(folder, args.data, target)
    print(target)
    return 0


def _check_all() -> int:
    problems = []
    for folder in tqdm(shipped_models(), unit=" models"):
        found = check(folder)
        tqdm.write(f"{folder}: {'; '.join(found) or 'as recorded'}")
        problems += found
    return 1 if problems else 0


if __name__ == "__main__":
    exit_on_user_error(main)
