"""One command for every program: fast-style train -c conf/candy.yml"""

import importlib
import importlib.util
import sys
from types import ModuleType

from fast_style import __version__
from fast_style.command_line import exit_on_user_error
from fast_style.conf.locations import PROJECT
from fast_style.errors import UserError, nearest

PROGRAMS = {
    "train": ("train.py", "train a style"),
    "eval": ("eval.py", "stylize pictures with a trained style"),
    "export": ("export.py", "write a trained style for other programs"),
    "video": ("fast_style.video.__main__", "stylize a clip"),
    "batch": ("fast_style.batch.__main__", "stylize a collection"),
    "serve": ("fast_style.serve.__main__", "serve styles, with a page"),
    "gatys": ("fast_style.gatys.__main__", "paint one picture slowly"),
    "gallery": ("fast_style.gallery.__main__", "make contact sheets of styles"),
    "zoo": ("fast_style.zoo.__main__", "manage the trained styles in pretrained/"),
    "measure": ("fast_style.measure.__main__", "measure how good a trained style is"),
    "flicker": ("fast_style.flicker.__main__", "measure how much a trained style flickers"),
    "portraits": ("fast_style.portraits.__main__", "say who is in a portrait"),
    "curves": ("fast_style.curves.__main__", "compare trainings"),
    "benchmark": ("fast_style.benchmark.__main__", "measure how fast this machine is"),
}


def main() -> int | None:
    name, *flags = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print("usage: fast-style PROGRAM ...\n")
        for program, (_, what) in PROGRAMS.items():
            print(f"  {program:10} {what}")
        print("\nfast-style PROGRAM --help lists its flags; --version prints the version")
        return 0
    if name == "--version":
        print(f"fast-style {__version__}")
        return 0
    if name not in PROGRAMS:
        raise UserError(
            f"fast-style {name}: no such program; {nearest(name, PROGRAMS)}; "
            "fast-style --help lists them"
        )
    sys.argv = [f"fast-style {name}", *flags]
    return _program(PROGRAMS[name][0]).main()


def _program(where: str) -> ModuleType:
    if not where.endswith(".py"):
        return importlib.import_module(where)
    # The scripts are next to the package in a clone, and in its folder box/ in a wheel.
    spec = importlib.util.spec_from_file_location(where.removesuffix(".py"), PROJECT / where)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def run() -> None:
    """Runs the command `fast-style`."""
    exit_on_user_error(main)


if __name__ == "__main__":
    run()
