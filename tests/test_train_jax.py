"""Trainings on JAX, in a process of their own: Keras has one backend in each."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from fast_style.model_folder.model import read_model
from fast_style.stylize.stylizer import Stylizer

pytest.importorskip("jax")
PROJECT = Path(__file__).parents[1]
TINY = {
    "image_size": 32,
    "style_image_size": 96,
    "style_border": 0,
    "style_scales": 1,
    "style_layers": ["conv1_2"],
    "content_layers": ["conv2_2"],
    "temporal_weight": 5.0e-4,
    "optimizer": "adam",
    "batch_size": 2,
    "steps": 3,
    "warmup_steps": 1,
}


def on_jax(*arguments: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    values = np.random.default_rng(0).integers(0, 256, (3, 24, 32, 3), np.uint8)
    for number, rgb in enumerate(values):
        Image.fromarray(rgb).resize((128, 96)).save(folder / f"{number}.png")
    return folder


def conf(folder: Path, name: str, base: str, **values: object) -> str:
    path = folder / f"{name}.yml"
    fixed = {"base": str(PROJECT / "conf" / base), "naming": name, "model_path": str(folder)}
    fixed |= {"dataset": str(folder / "photos")}
    path.write_text(yaml.safe_dump(TINY | fixed | values))
    return str(path)


@pytest.mark.slow
def test_any_style_and_then_single_styles_that_begin_from_it(tmp_path: Path, photos: Path) -> None:
    any_style = conf(tmp_path, "every", "any.yml", style_dataset=str(photos), init_from=None)
    begins = {"init_from": str(tmp_path / "every"), "teacher_weight": 1.0e-3}
    begins |= {"teacher": str(PROJECT / "pretrained/candy")}
    # Both take the same compiled step, in which weights and style images are arguments.
    candy = conf(tmp_path, "one", "candy.yml", **begins)
    mosaic = conf(tmp_path, "two", "mosaic.yml", **begins, content_weight=9.0, palette_weight=0.0)
    done = on_jax("-m", "fast_style.train_jax", "-c", any_style, candy, mosaic)
    assert done.returncode == 0, done.stderr

    picture = np.random.default_rng(1).integers(0, 256, (40, 52, 3), np.uint8)
    pictures = [
        np.asarray(Stylizer(tmp_path / name, "tensorflow", "float32", style)(picture), float)
        for name, style in (("every", "candy"), ("one", None), ("two", None))
    ]
    assert all(found.shape == picture.shape for found in pictures)
    assert np.abs(pictures[0] - pictures[1]).mean() > 0
    # They have the colours of the teacher, whatever three steps have taught them.
    photo = np.asarray(Image.open(photos / "0.png"))
    colours = [
        np.asarray(Stylizer(folder, "tensorflow", "float32")(photo), float).mean((0, 1))
        for folder in (tmp_path / "one", PROJECT / "pretrained/candy")
    ]
    assert np.abs(colours[0] - colours[1]).max() < 15
    assert np.abs(pictures[1] - pictures[2]).mean() > 0
    assert read_model(tmp_path / "every").takes_any_style
    written = read_model(tmp_path / "one").conf
    assert written["init_from"] == str(tmp_path / "every")
    last = json.loads((tmp_path / "two/result.json").read_text())["last_step"]
    weights = {"content": 9.0, "style": 1.0, "teacher": 1.0e-3}
    assert last["total"] > sum(weight * last[term] for term, weight in weights.items())
    assert all(last[term] > 0 for term in weights)


@pytest.mark.parametrize(
    "values, message",
    [
        ({"steps": None}, "steps: null for one; give a number"),
        ({"precision": "float32"}, "precision: float32 for one; train_jax takes bfloat16"),
        (
            {"style_image": None, "style_images": {"a": "img/candy.jpg", "b": "img/mosaic.jpg"}},
            "style_images: one has several; train it with train.py",
        ),
        ({"model_path": "pretrained", "naming": "candy"}, "pretrained/candy: exists already"),
    ],
)
def test_confs_that_cannot_be_trained_are_refused(
    tmp_path: Path, photos: Path, values: dict, message: str
) -> None:
    done = on_jax("-m", "fast_style.train_jax", "-c", conf(tmp_path, "one", "candy.yml", **values))
    assert done.returncode == 2
    assert message in done.stderr.strip().splitlines()[-1]


def test_views_are_of_whole_pictures_and_never_enlarged_much() -> None:
    done = on_jax(
        "-c",
        """
import jax, jax.numpy as jnp, numpy as np
from fast_style.train_jax.views import Squares, random_views, with_other_colours
ramp = np.broadcast_to(np.arange(64.0)[None, :, None], (64, 64, 3)).astype(np.uint8)
squares = Squares(jnp.asarray(np.stack([ramp, ramp + 100])), jnp.asarray([64.0, 8.0]))
views = np.asarray(random_views(squares, 400, 16, False, jax.random.key(0)))
span = views.max((1, 2, 3)) - views.min((1, 2, 3))
small = views.min((1, 2, 3)) >= 100  # of the picture with 8 pixels
assert span[small].min() > 55, span[small].min()  # the whole
assert span[~small].min() < 20 < 50 < span[~small].max()
assert 0 < small.sum() < 40  # 64 times as rare
changed = with_other_colours(jnp.asarray(views), jax.random.split(jax.random.key(1), 400))
assert 100 < sum(not np.array_equal(a, b) for a, b in zip(changed, views)) < 300
""",
    )
    assert done.returncode == 0, done.stderr
