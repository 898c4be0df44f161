"""Compare trainings: how many steps each needs to reach the objective of another.

    python -m fast_style.curves models/plain models/candy --output curves.png

Trainings of one conf and seed see the same pictures at the same steps, so their objectives compare
step by step. Each point is the mean over the steps around it, as single pictures differ more than
recipes do.
"""

from pathlib import Path

from fast_style.command_line import OneLineParser, at_least_1, exit_on_user_error
from fast_style.curves.totals import plot, read_totals, smoothed, steps_to_reach
from fast_style.errors import check_installed
from fast_style.files import check_target


def main() -> None:
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+", help="model folders; the first is reached")
    parser.add_argument("--window", type=at_least_1, default=50, help="steps that a mean is over")
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
        there = f"is there after {reached} steps" if reached else "does not come there"
        print(f"{name} {there}; ends at {means[-1]:.3f} after {steps[-1]} steps")
    print(args.output)


if __name__ == "__main__":
    exit_on_user_error(main)
