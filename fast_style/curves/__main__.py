"""Compare trainings: the steps that each needs to reach the final objective of the first.

    python -m fast_style.curves models/plain models/candy --output curves.png

Trainings with one data set and seed have the same pictures at each step. Each point is a mean over
the last steps, because single pictures differ more than trainings.
"""

from pathlib import Path

from fast_style.command_line import OneLineParser, at_least_1, exit_on_user_error
from fast_style.curves.totals import plot, read_totals, smoothed, steps_to_reach
from fast_style.errors import check_installed
from fast_style.files import check_target


def main() -> None:
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+", help="model folders, the goal first")
    parser.add_argument("--window", type=at_least_1, default=50, help="steps of each mean")
    parser.add_argument("--output", type=Path, default=Path("curves.png"), help="a PNG")
    args = parser.parse_args()
    check_installed("curves need", "gatys", "matplotlib")
    check_target(args.output)
    curves = []
    for folder in args.folders:
        steps, totals = read_totals(folder)
        curves.append((str(folder), steps, smoothed(steps, totals, args.window)))
    plot(curves, args.output)
    (first, last_steps, last_means), *others = curves
    wanted = float(last_means[-1])
    print(f"{first} ends at {wanted:.3f} after {last_steps[-1]} steps")
    for name, steps, means in others:
        reached = steps_to_reach(steps, means, wanted, args.window)
        there = f"reaches it after {reached} steps" if reached else "does not reach it"
        print(f"{name} {there}; ends at {means[-1]:.3f} after {steps[-1]} steps")
    print(args.output)


if __name__ == "__main__":
    exit_on_user_error(main)
