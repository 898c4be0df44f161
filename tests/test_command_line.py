"""The programs as a person starts them."""

import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from fast_style.__main__ import PROGRAMS
from fast_style.command_line import exit_on_user_error
from fast_style.errors import UserError, nearest
from fast_style.pictures.images import Picture, read_picture, write_picture

Photo = Callable[..., np.ndarray]

PROJECT = Path(__file__).resolve().parent.parent

# Importing a module that stands as None in sys.modules raises ImportError.
WITHOUT_TENSORFLOW = """
import runpy, sys
sys.modules["tensorflow"] = sys.modules["keras"] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def program(*command: str | Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, *map(str, command)]
    return subprocess.run(line, cwd=PROJECT, capture_output=True, text=True)


def without_tensorflow(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return program("-c", WITHOUT_TENSORFLOW, *command)


def here(monkeypatch: pytest.MonkeyPatch, *command: str | Path) -> int:
    """Run a program in this process; its exit status."""
    monkeypatch.chdir(PROJECT)
    monkeypatch.setattr(sys, "argv", list(map(str, command)))
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(command[0]), run_name="__main__")
    return int(stopped.value.code or 0)


@pytest.mark.parametrize(
    ("script", "flags"),
    [
        ("train.py", "--conf --set --steps --restart --download"),
        (
            "eval.py",
            "--model --image --output --strength --preserve-color --max-size --runtime --precision",
        ),
        ("export.py", "--model --format --half --pixels --output --onnxruntime-web"),
    ],
)
def test_help_comes_without_tensorflow_and_names_every_flag(script: str, flags: str) -> None:
    result = without_tensorflow(script, "--help")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    for flag in flags.split():
        assert flag in result.stdout


def test_no_program_imports_tensorflow_before_it_has_read_its_flags() -> None:
    modules = [where for where, _ in PROGRAMS.values() if not where.endswith(".py")]
    modules.append("fast_style.train_loss_network.__main__")
    code = f"""
import importlib, sys
sys.modules["tensorflow"] = sys.modules["keras"] = None
for module in {modules}:
    importlib.import_module(module)
"""
    result = program("-c", code)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    "command",
    [["train.py"], ["-m", "fast_style.gallery"], ["-m", "fast_style.gatys"]],
)
def test_set_has_the_same_description_in_every_program_with_a_conf(command: list[str]) -> None:
    words = program(*command, "--help").stdout.split()
    assert "--set KEY=VALUE another value for a key of the conf;" in " ".join(words)


@pytest.mark.parametrize(
    "name", [name for name, (where, _) in PROGRAMS.items() if not where.endswith(".py")]
)
def test_every_program_is_called_by_its_command(name: str) -> None:
    result = program("-m", f"fast_style.{name}", "--help")
    assert result.stdout.startswith(f"usage: python -m fast_style.{name} "), result.stderr
    wrong = program("-m", f"fast_style.{name}", "--no-such-flag")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert f"python -m fast_style.{name} --help lists the flags" in wrong.stderr


def test_the_formats_of_an_export_are_listed_without_their_packages() -> None:
    packages = ["tensorflow", "keras", "onnx", "onnxruntime", "openvino", "ai_edge_litert"]
    code = f"""
import sys
sys.modules.update(dict.fromkeys({packages}))
from fast_style.export import FORMATS
print(*FORMATS)
"""
    result = program("-c", code)
    assert result.stdout.split() == ["saved_model", "onnx", "openvino", "litert"], result.stderr


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["--set", "style_wieght=5"], "--set: unknown key 'style_wieght'; did you mean"),
        (["--set", "style_image=no.jpg"], "style_image: no file no.jpg"),
        (["--steps", "0"], "steps: 0 is too small; at least 1"),
    ],
)
def test_a_wrong_conf_is_one_line_and_status_2_before_tensorflow_is_imported(
    overrides: list[str], said: str
) -> None:
    result = without_tensorflow("train.py", "-c", "conf/quickstart.yml", *overrides)
    assert result.returncode == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("error: ") and said in result.stderr


@pytest.mark.parametrize(
    "flags",
    [
        ["--strength", "1.5"],
        ["--strength", "nan"],
        ["--max-size", "0"],
        ["--max-size", "-3"],
        ["--runtime", "torch"],
    ],
)
def test_a_wrong_flag_of_eval_is_named(
    flags: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["eval.py", "--model", "models/none", "--image", "img/sample.jpg", *flags]
    assert here(monkeypatch, *command) == 2
    assert f"argument {flags[0]}: " in capsys.readouterr().err


def test_eval_in_a_shell_shows_the_paths_and_tells_what_failed(
    trained_model: Path, tmp_path: Path, photo: Photo
) -> None:
    good, bad, out = tmp_path / "good.png", tmp_path / "bad.png", tmp_path / "out"
    write_picture(good, Picture(photo(21, 34)))
    bad.write_bytes(good.read_bytes()[:50])
    result = program("eval.py", "--model", trained_model, "--image", good, bad, "--output", out)
    assert result.returncode == 1
    assert result.stdout.startswith(f"{out / 'good-tiny.png'}  34x21  ")
    assert f"error: {bad}: is damaged" in result.stderr
    assert "Traceback" not in result.stderr
    assert read_picture(out / "good-tiny.png").rgb.shape == (21, 34, 3)
    assert [path.name for path in out.iterdir()] == ["good-tiny.png"]


def test_train_in_a_shell_finds_its_training_complete(trained_model: Path) -> None:
    result = program("train.py", "-c", trained_model / "conf.yml")
    assert (result.returncode, result.stderr) == (0, "")
    complete, how_to_go_on = result.stdout.splitlines()
    assert complete.startswith(f"{trained_model} is complete: 6 steps.")
    assert f"python eval.py --model {trained_model} --image" in how_to_go_on


def test_a_key_that_differs_from_the_training_is_status_2(
    trained_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train.py", "-c", trained_model / "conf.yml", "--set", "style_weight=1"]
    assert here(monkeypatch, *command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {trained_model}: ")
    assert "style_weight (50.0 there, 1.0 now)" in line


def test_export_says_where_and_how_near(
    trained_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["export.py", "--model", trained_model, "--output", tmp_path / "out"]
    assert here(monkeypatch, *command) == 0
    where, *sizes = capsys.readouterr().out.splitlines()
    assert where == f"{tmp_path / 'out'}: SavedModel"
    assert len(sizes) == 3 and all("grey levels off the network" in line for line in sizes)
    assert (tmp_path / "out" / "saved_model.pb").is_file()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--half"], "--half: a SavedModel stores float32 weights; use onnx, openvino, litert"),
        (["--format", "onnx", "litert", "--output", "x.onnx"], "--output: is for one export"),
        (["--format", "onnx", "--output", "x.tflite"], "for ONNX the name ends in .onnx"),
        (["--format", "tensorrt"], "invalid choice: 'tensorrt'"),
        (["candy", "--format", "onnx", "--output", "x.onnx"], "--output: is for one export"),
        (["--format", "web", "--pixels", "float"], "--pixels float: the networks of --format web"),
        (["--onnxruntime-web", "x.tgz"], "--onnxruntime-web: is for --format web"),
        (["--format", "web", "--onnxruntime-web", "x.tgz"], "x.tgz: no such file"),
    ],
)
def test_what_a_format_cannot_do_is_said_before_any_work(
    flags: list[str],
    said: str,
    trained_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert here(monkeypatch, "export.py", "--model", trained_model, *flags) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line and list(tmp_path.iterdir()) == []


def test_a_style_image_that_is_a_text_is_one_line_and_status_2(
    trained_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    values = yaml.safe_load((trained_model / "conf.yml").read_text())
    (tmp_path / "style.jpg").write_text("no picture")
    values |= {"style_image": str(tmp_path / "style.jpg"), "model_path": str(tmp_path / "models")}
    (tmp_path / "conf.yml").write_text(yaml.safe_dump(values))
    assert here(monkeypatch, "train.py", "-c", tmp_path / "conf.yml") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: style_image: {tmp_path / 'style.jpg'}: is not a JPEG")
    assert not (tmp_path / "models").exists()


# What the programs end with


def raising(error: BaseException) -> Callable[[], None]:
    def main() -> None:
        raise error

    return main


@pytest.mark.parametrize(
    ("main", "status", "said"),
    [
        (raising(UserError("a.yml: two\n  lines")), 2, "error: a.yml: two lines\n"),
        (raising(KeyboardInterrupt()), 130, "interrupted\n"),
        (lambda: 1, 1, ""),
        (lambda: None, 0, ""),
    ],
)
def test_how_a_program_ends(
    main: Callable[[], int | None], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        exit_on_user_error(main)
    assert (stopped.value.code or 0) == status
    assert capsys.readouterr().err == said


def test_other_errors_are_ours_and_keep_their_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        exit_on_user_error(raising(ZeroDivisionError()))


def test_the_nearest_is_suggested_and_else_all_there_are() -> None:
    assert nearest("conv3_9", ["conv1_1", "conv3_3"]) == "did you mean 'conv3_3'?"
    assert nearest("xyz", ["max", "avg"]) == "one of: max, avg"
