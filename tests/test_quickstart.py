"""docs/quickstart.ipynb: that it is what the README's quickstart is, and that it runs."""

import ast
import base64
import io
import json
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from fast_style.conf.conf_file import load_config

PROJECT = Path(__file__).resolve().parent.parent
PICTURE = PROJECT / "img" / "sample.jpg"
STEPS = 60  # above the conf's warmup_steps


@pytest.fixture
def notebook() -> nbformat.NotebookNode:
    return nbformat.read(PROJECT / "docs" / "quickstart.ipynb", as_version=4)


def code_of(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_it_takes_the_steps_of_the_conf_and_stores_no_output(notebook) -> None:
    first, *_ = code_of(notebook)
    (assignment,) = ast.parse(first.source).body
    assert isinstance(assignment, ast.Assign) and ast.unparse(assignment.targets) == "steps"
    config = load_config(PROJECT / "conf" / "quickstart.yml")
    assert ast.literal_eval(assignment.value) == config.steps
    assert f"At least {config.warmup_steps + 1}" in first.source
    assert not any(cell.outputs or cell.execution_count for cell in code_of(notebook))


def pictures_shown(cell: nbformat.NotebookNode) -> list[np.ndarray]:
    data = [output["data"] for output in cell.outputs if "data" in output]
    encoded = [base64.b64decode(one["image/png"]) for one in data if "image/png" in one]
    return [np.asarray(Image.open(io.BytesIO(one)), np.float32) for one in encoded]


@pytest.mark.slow
def test_it_runs_in_a_clone_and_shows_the_pictures(notebook, tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    for folder in ("conf", "img", "pretrained"):
        (tmp_path / folder).symlink_to(PROJECT / folder)
    (tmp_path / "docs").mkdir()
    first, *_ = code_of(notebook)
    first.source = f"steps = {STEPS}"
    where = {"metadata": {"path": str(tmp_path / "docs")}}
    nbclient.NotebookClient(notebook, timeout=1800, resources=where).execute()

    _, style, content, training, previews, stylized, blended, candy = code_of(notebook)
    photo = np.asarray(Image.open(PICTURE), np.float32)
    assert [one.shape for one in pictures_shown(style)] == [(512, 640, 3)]
    assert np.abs(pictures_shown(content)[0] - photo).max() == 0
    result = json.loads((tmp_path / "models" / "quickstart" / "result.json").read_text())
    assert result["steps"] == STEPS and pictures_shown(training) == []
    assert len(pictures_shown(previews)) == 1
    found = [pictures_shown(cell) for cell in (stylized, blended, candy)]
    assert [one.shape for (one,) in found] == [photo.shape] * 3
    off, off_blended, _ = (np.abs(one - photo).mean() for (one,) in found)
    assert off > off_blended > 1
    assert {path.name for path in tmp_path.iterdir() if not path.is_symlink()} == {"docs", "models"}
    assert not any((tmp_path / "docs").iterdir())
