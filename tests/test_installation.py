"""What an installation brings: the command, the wheel's content, the versions that were tested."""

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fast_style.__main__ import PROGRAMS

PROJECT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
IN_THE_BOX = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]

WITHOUT_TENSORFLOW = """
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = None
from fast_style.__main__ import run
run()
"""


def fast_style(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", WITHOUT_TENSORFLOW, *flags]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True)


def test_the_command_alone_lists_the_programs(tmp_path: Path) -> None:
    result = fast_style(tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    for name in PROGRAMS:
        assert f"\n  {name} " in result.stdout
    assert result.stdout == fast_style(tmp_path, "--help").stdout


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_helps_under_its_name_in_any_folder(name: str, tmp_path: Path) -> None:
    result = fast_style(tmp_path, name, "--help")
    assert result.stdout.startswith(f"usage: fast-style {name} "), result.stderr
    assert result.returncode == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["trian"], "fast-style trian: no such program; did you mean 'train'?"),
        (["zzz"], "fast-style zzz: no such program; one of: train, eval, export, "),
        (["eval", "--imgae", "x"], "fast-style eval --help lists the flags"),
        (["train", "-c", "conf/quikstart.yml"], "did you mean 'conf/quickstart.yml'?"),
    ],
)
def test_a_wrong_word_is_one_line_and_status_2(flags: list[str], said: str, tmp_path: Path) -> None:
    result = fast_style(tmp_path, *flags)
    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr and len(result.stderr.splitlines()) == 1


def test_a_shipped_conf_is_found_from_any_folder_and_this_is_said(tmp_path: Path) -> None:
    result = fast_style(tmp_path, "train", "-c", "conf/quickstart.yml", "--steps", "0")
    assert result.returncode == 2
    found, wrong = result.stderr.splitlines()
    conf = PROJECT / "conf" / "quickstart.yml"
    assert f"conf/quickstart.yml is not there; taking {conf}" in found
    assert "steps: 0 is too small" in wrong
    assert list(tmp_path.iterdir()) == []


def test_all_that_the_package_takes_from_the_project_is_in_the_wheel() -> None:
    sources = [path.read_text(encoding="utf-8") for path in PROJECT.glob("fast_style/**/*.py")]
    taken = {name for text in sources for name in re.findall(r'PROJECT / "([\w.]+)', text)}
    taken |= {where for where, _ in PROGRAMS.values() if where.endswith(".py")} | {"conf"}
    assert taken == set(IN_THE_BOX)
    assert {name: f"fast_style/box/{name}" for name in taken} == IN_THE_BOX


@pytest.mark.slow
def test_the_wheel_holds_what_the_clone_does(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), "."]
    subprocess.run(command, cwd=PROJECT, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    listed = subprocess.run(
        ["git", "ls-files", "fast_style", *IN_THE_BOX],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert found == {
        name if name.startswith("fast_style/") else f"fast_style/box/{name}" for name in listed
    }


# Versions


def constraints() -> dict[str, str]:
    lines = (PROJECT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [re.fullmatch(r"([\w.-]+)==([\w.]+)", line) for line in lines if line[:1] != "#"]
    assert all(pins), "names and versions only"
    return {canonicalize_name(pin[1]): pin[2] for pin in pins if pin}


def test_constraints_hold_the_versions_of_all_that_is_installed() -> None:
    pinned, wanted, seen = constraints(), list(_requirements(["", *_extras()])), set()
    while wanted:
        requirement = wanted.pop()
        key = (canonicalize_name(requirement.name), *sorted(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        installed = metadata.distribution(requirement.name)
        assert pinned.get(key[0]) == installed.version, requirement.name
        for text in installed.requires or []:
            inner = Requirement(text)
            extras = ["", *requirement.extras]
            if not inner.marker or any(inner.marker.evaluate({"extra": e}) for e in extras):
                wanted.append(inner)
    assert len(seen) > 80


def test_the_extra_gpu_brings_the_cuda_libraries_of_tensorflow() -> None:
    (gpu,) = _requirements(["gpu"])
    (plain,) = [one for one in _requirements([""]) if one.name == "tensorflow"]
    assert (gpu.name, gpu.specifier) == (plain.name, plain.specifier)
    # pip only warns of an extra that a package does not have.
    offered = metadata.metadata("tensorflow").get_all("Provides-Extra") or []
    assert gpu.extras and gpu.extras <= set(offered)


def _extras() -> list[str]:
    """All but those of accelerators and comparisons, which `dev` does without."""
    extras = PYPROJECT["project"]["optional-dependencies"]
    return [extra for extra in extras if extra not in ("gpu", "benchmark", "jax")]


def _requirements(extras: list[str]) -> list[Requirement]:
    listed = {"": PYPROJECT["project"]["dependencies"]}
    listed |= PYPROJECT["project"]["optional-dependencies"]
    return [Requirement(text) for extra in extras for text in listed[extra]]
