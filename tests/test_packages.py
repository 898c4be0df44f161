"""How the package is put together: few loose modules, and imports that run one way."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "fast_style"


def part(path: Path) -> str:
    """The folder of fast_style/ that a file is in, or its own name."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The folders and modules of fast_style/ that a file imports, at its top or later."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            first = rest.partition(".")[0]
            if (
                top == "fast_style"
                and (PACKAGE / f"{first}.py").exists() | (PACKAGE / first / "__init__.py").exists()
            ):
                found.add(first)
    return found


def test_imports_between_folders_run_one_way() -> None:
    arrows: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        # The public names of fast_style itself are imported when they are first asked for.
        if path != PACKAGE / "__init__.py":
            arrows.setdefault(part(path), set()).update(imported(path) - {part(path), ""})
    order = list(TopologicalSorter(arrows).static_order())  # raises CycleError
    assert order.index("errors") < order.index("conf") < order.index("training")


def test_few_modules_are_in_no_folder() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 8


def test_every_folder_says_what_it_is_for() -> None:
    for folder in {path.parent for path in PACKAGE.rglob("*.py")}:
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))


def test_the_drawing_has_every_folder_and_module() -> None:
    text = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawing = "\n".join(line for line in text.splitlines() if line.startswith("    "))
    names = set(drawing.replace(",", " ").split())
    for path in PACKAGE.glob("*.py"):
        assert path.stem == "__init__" or path.stem in names, path
    for path in PACKAGE.glob("*/__init__.py"):
        assert f"{path.parent.name}/" in names, path.parent
