"""Many styles trained on JAX, in a process of its own: Keras has one backend in each."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from fast_style.conf.conf_file import load_config
from fast_style.loss.losses import palette_slices, sliced_target
from fast_style.loss.style_statistics import read_style, read_style_statistics
from fast_style.model_folder.model import read_model
from fast_style.stylize.stylizer import Stylizer

pytest.importorskip("jax")
PROJECT = Path(__file__).parents[1]
TINY = {
    "base": str(PROJECT / "conf/built_in.yml"),
    "image_size": 64,
    "style_image_size": 96,
    "style_border": 0,
    "style_scales": 1,
    "style_layers": ["conv1_2"],
    "content_layers": ["conv2_2"],
    "init_from": None,
    "network": "wide",
    "temporal_weight": 0.0,
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
        timeout=600,
    )


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    values = np.random.default_rng(0).integers(0, 256, (3, 24, 32, 3), np.uint8)
    for number, rgb in enumerate(values):
        Image.fromarray(rgb).resize((128, 96)).save(folder / f"{number}.png")
    return folder


def conf(folder: Path, name: str, **values: object) -> Path:
    path = folder / f"{name}.yml"
    path.write_text(yaml.safe_dump(TINY | {"naming": name, "model_path": str(folder)} | values))
    return path


def zoo_conf(folder: Path, **values: object) -> Path:
    images = {"candy": "img/candy.jpg", "mosaic": "img/mosaic.jpg"}
    return conf(folder, "zoo", style_images=images, **values)


def test_zoo_and_single_styles_are_models_that_stylize(tmp_path: Path, photos: Path) -> None:
    zoo = zoo_conf(tmp_path, palette_weight=0.0)
    # Other than the zoo's conf: the palette is weighed there alone.
    own = {
        "temporal_weight": 0.5,
        "palette_weight": 2.0,
        "style_image_size": 64,
        "style_image_median": 3,
    }
    alone = conf(tmp_path, "mosaic", style_image="img/mosaic.jpg", optimizer="soap", **own)
    done = on_jax(
        *("-m", "fast_style.train_zoo", "-c", str(zoo), "--alone", str(alone)),
        *("--photos", str(photos)),
    )
    assert done.returncode == 0, done.stderr
    picture = np.random.default_rng(1).integers(0, 256, (40, 52, 3), np.uint8)
    together = Stylizer(tmp_path / "zoo", "tensorflow", "float32", "mosaic")(picture)
    single = Stylizer(tmp_path / "mosaic", "tensorflow", "float32")(picture)
    assert np.asarray(single).shape == picture.shape
    assert not np.array_equal(np.asarray(together), np.asarray(single))
    assert {file.name for file in (tmp_path / "zoo").glob("style*")} == {
        "style-candy.npz",
        "style-mosaic.npz",
    }
    assert np.abs(read_model(tmp_path / "mosaic").arrays["network/noise/mix"]).max() > 0
    result = json.loads((tmp_path / "mosaic/result.json").read_text())
    assert result["steps"] == 3 and result["versions"].keys() == {"jax", "keras"}
    assert result["last_step"]["palette"] > 0 and result["last_step"]["temporal"] > 0
    written = read_model(tmp_path / "mosaic").conf
    assert (written["dataset"], written["init_from"]) == (str(photos), str(tmp_path / "zoo"))
    [of_image] = result["style_image_sha256"].values()
    [painting] = read_style(load_config(alone))
    [expected] = sliced_target(palette_slices(painting[None].astype(np.float32)))
    for file in ("zoo/style-mosaic.npz", "mosaic/style.npz"):
        statistics = read_style_statistics(tmp_path / file)
        assert statistics.made_with["style_image_sha256"] == of_image
        np.testing.assert_allclose(statistics.arrays["palette"][0], expected, atol=0.5)


def test_a_model_folder_that_exists_stays_as_it_is(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "zoo").mkdir()
    done = on_jax(
        "-m", "fast_style.train_zoo", "-c", str(zoo_conf(tmp_path)), "--photos", str(photos)
    )
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.endswith("zoo: exists already; remove it, or set another model_path")
    assert list((tmp_path / "zoo").iterdir()) == []


@pytest.mark.parametrize(
    "values, message",
    [
        ({"naming": "wave"}, "naming: wave is no style of zoo: candy, mosaic"),
        ({"pooling": "max"}, "pooling: is max for mosaic and avg for zoo"),
        (
            {"style_image": "img/candy.jpg"},
            "style_image: zoo has another one for mosaic",
        ),
        ({"steps": None}, "steps: null for mosaic; give a number"),
    ],
)
def test_confs_that_do_not_belong_are_refused(
    tmp_path: Path, photos: Path, values: dict, message: str
) -> None:
    alone = conf(tmp_path, "mosaic", **({"style_image": "img/mosaic.jpg"} | values))
    done = on_jax(
        *("-m", "fast_style.train_zoo", "-c", str(zoo_conf(tmp_path)), "--alone", str(alone)),
        *("--photos", str(photos)),
    )
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].endswith(message)


def test_a_zoo_of_one_style_and_two_confs_of_one_name_are_refused(
    tmp_path: Path, photos: Path
) -> None:
    one = str(conf(tmp_path, "mosaic", style_image="img/mosaic.jpg"))
    for flags, message in (
        (["-c", one], "style_images: mosaic has one style; train it with train.py"),
        (["-c", str(zoo_conf(tmp_path)), "--alone", one, one], "naming: 2 confs are called mosaic"),
    ):
        done = on_jax("-m", "fast_style.train_zoo", *flags, "--photos", str(photos))
        assert done.returncode == 2
        assert done.stderr.strip().splitlines()[-1].endswith(message)


def test_a_training_that_diverges_is_one_line_and_writes_nothing(
    tmp_path: Path, photos: Path
) -> None:
    zoo = zoo_conf(tmp_path, optimizer="adam", learning_rate=1e30)
    done = on_jax("-m", "fast_style.train_zoo", "-c", str(zoo), "--photos", str(photos))
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "; try a lower learning_rate or style_weight" in done.stderr.strip().splitlines()[-1]
    assert not (tmp_path / "zoo").exists()


TERMS = """
import json, sys
import numpy as np
from fast_style.model_folder.model import read_model
from fast_style.conf.conf_file import load_config
from fast_style.loss.perceptual_loss import PerceptualLoss
from fast_style.loss.style_statistics import read_style

config = load_config(sys.argv[1])
objective = PerceptualLoss(config, [read_style(config)])
content, stylized = np.random.default_rng(1).uniform(0, 255, (2, 1, 64, 64, 3)).astype("float32")
terms = objective(stylized, objective.content_targets(content))
print(json.dumps({name: float(term) for name, term in terms.items()}))
"""


def test_objective_is_the_same_on_jax_and_tensorflow(tmp_path: Path, capsys) -> None:
    path = conf(tmp_path, "candy", style_image="img/candy.jpg", style_scales=2)
    done = on_jax("-c", TERMS, str(path))
    assert done.returncode == 0, done.stderr
    on_the_other = json.loads(done.stdout)
    sys_argv, sys.argv = sys.argv, ["", str(path)]
    try:
        exec(TERMS, {})
    finally:
        sys.argv = sys_argv
    here = json.loads(capsys.readouterr().out)
    assert load_config(path).style_scales == 2
    assert here == pytest.approx(on_the_other, rel=2e-3)
