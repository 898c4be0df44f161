"""Painting one picture by its pixels: the published recipes, the optimizers, the command."""

import contextlib
import dataclasses
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fast_style.conf.conf_file import config_from_mapping, load_config
from fast_style.conf.config import Config
from fast_style.conf.vgg_layers import PIXEL_MEAN
from fast_style.errors import UserError
from fast_style.gatys import __main__ as program
from fast_style.gatys import painting, pixel_optimizers
from fast_style.loss.perceptual_loss import PerceptualLoss
from fast_style.pictures.images import Picture, read_picture, write_picture
from fast_style.pictures.pixels import fit_within

Photo = Callable[..., np.ndarray]

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture
def config(conf_values: dict[str, Any]) -> Config:
    config = config_from_mapping(conf_values, "conf")
    return dataclasses.replace(config, iterations=6, seed=3)


# The published recipes


def gatys_style(f: np.ndarray, a: np.ndarray) -> float:
    """Gatys et al. 2016, eq. 3 and 4, for one picture's (H, W, C) features."""
    height, width, channels = f.shape
    f, a = f.reshape(-1, channels), a.reshape(-1, channels)
    squares = np.square(f.T @ f - a.T @ a).sum()
    return squares / (4 * channels**2 * (height * width) ** 2)


def half_of_squares(f: np.ndarray, p: np.ndarray) -> float:
    return np.square(f - p).sum() / 2


def mean_of_squares(f: np.ndarray, p: np.ndarray) -> float:
    return np.square(f - p).mean()


def quarter_of_mean(f: np.ndarray, p: np.ndarray) -> float:
    return np.square(f - p).sum() / (4 * f.size)


EVEN = (0.2, 0.2, 0.2, 0.2, 0.2)


@pytest.mark.parametrize(
    ("recipe", "content_weight", "content_layer", "content_term", "style_weight", "layer_weights"),
    [
        ("vgg16_adam", 0.5, "relu5_3", half_of_squares, 1e4, EVEN),
        ("vgg19_torch", 1.0, "relu4_2", mean_of_squares, 1e4, (1, 0.8, 0.5, 0.3, 0.1)),
        ("vgg19_course", 10.0, "relu4_2", quarter_of_mean, 40.0, EVEN),
        ("vgg19_blog", 5.0, "relu5_2", half_of_squares, 100.0, (0.5, 1, 1.5, 3, 4)),
    ],
)
def test_a_recipes_loss_is_the_published_one(
    recipe: str,
    content_weight: float,
    content_layer: str,
    content_term: Callable[[np.ndarray, np.ndarray], float],
    style_weight: float,
    layer_weights: tuple[float, ...],
    photo: Photo,
) -> None:
    config = load_config(PROJECT / f"conf/gatys/{recipe}.yml", ["loss_model=vgg_16_half"])
    painted, content, style = (photo(48, 64, seed=seed) for seed in (1, 2, 3))
    objective = PerceptualLoss(config, [[style]])
    pixels = painted[None].astype(np.float32)
    terms = objective(pixels, objective.content_targets(content[None].astype(np.float32)))

    def features(picture: np.ndarray, layer: str) -> np.ndarray:
        found = objective.networks[0](picture[None].astype(np.float32))[layer]
        return np.asarray(found, np.float64)[0]

    expected_content = content_term(*(features(p, content_layer) for p in (painted, content)))
    layers = [f"relu{block}_1" for block in range(1, 6)]
    expected_style = sum(
        weight * gatys_style(features(painted, layer), features(style, layer))
        for layer, weight in zip(layers, layer_weights, strict=True)
    )
    assert float(terms["content"]) == pytest.approx(expected_content, rel=1e-4)
    assert float(terms["style"]) == pytest.approx(expected_style, rel=1e-4)
    assert float(terms["total"]) == pytest.approx(
        content_weight * expected_content + style_weight * expected_style, rel=1e-4
    )


@pytest.mark.parametrize(
    ("recipe", "optimizer", "rate", "iterations", "pooling", "size"),
    [
        ("vgg16_adam", "adam", 10.0, 30, "max", (512, 683)),
        ("vgg19_torch", "adam", 0.17, 2000, "max", (300, 400)),
        ("vgg19_course", "adam", 2.0, 200, "avg", (300, 400)),
        ("vgg19_blog", "adam", 2.0, 3000, "avg", (600, 800)),
        ("lbfgs", "lbfgs", 8.0, 200, "avg", (600, 800)),
    ],
)
def test_a_recipes_optimization_is_the_published_one(
    recipe: str, optimizer: str, rate: float, iterations: int, pooling: str, size: tuple[int, int]
) -> None:
    config = load_config(PROJECT / f"conf/gatys/{recipe}.yml")
    assert (config.pixel_optimizer, config.iterations, config.pooling) == (
        optimizer,
        iterations,
        pooling,
    )
    assert config.pixel_learning_rate == rate
    assert painting.painting_sizes(config, 600, 800)[-1] == size


# Sizes and starts


def test_painting_goes_from_small_scales_to_the_canvas(config: Config) -> None:
    config = dataclasses.replace(config, scales=[32, 64, 128])
    assert painting.painting_sizes(config, 50, 100) == [(16, 32), (32, 64), (50, 100)]
    assert painting.painting_sizes(config, 20, 10) == [(20, 10)]
    wide = dataclasses.replace(config, canvas="128x96")
    assert painting.painting_sizes(wide, 50, 100) == [(24, 32), (48, 64), (96, 128)]


def test_a_side_too_short_for_the_loss_network_is_left_out_or_refused(config: Config) -> None:
    config = dataclasses.replace(config, scales=[32, 64], style_layers=["conv4_3"])
    assert painting.painting_sizes(config, 16, 100) == [(10, 64), (16, 100)]
    assert painting.painting_sizes(config, 8, 8) == [(8, 8)]
    for height, width in [(7, 7), (1, 3000), (3, 64)]:
        with pytest.raises(
            UserError, match=f"of {width}x{height} is too small .* at least 8 pixels"
        ):
            painting.painting_sizes(config, height, width)
    shallow = dataclasses.replace(config, content_layers=["conv1_1"], style_layers=["conv1_1"])
    assert painting.painting_sizes(shallow, 4, 4) == [(4, 4)]
    with pytest.raises(UserError, match=r"of 4x3 is too small .* at least 4 pixels"):
        painting.painting_sizes(shallow, 3, 4)
    on_canvas = dataclasses.replace(config, canvas="40x4")
    with pytest.raises(UserError, match="of 40x4 is too small"):
        painting.painting_sizes(on_canvas, 400, 400)


@pytest.mark.parametrize("style", [(2, 2), (1, 3000)])
def test_the_smallest_picture_is_painted_in_the_smallest_style(
    config: Config, photo: Photo, tmp_path: Path, style: tuple[int, int]
) -> None:
    write_picture(tmp_path / "style.png", Picture(photo(*style, seed=5)))
    small = dataclasses.replace(
        config,
        style_image=str(tmp_path / "style.png"),
        pixel_optimizer="adam",
        iterations=2,
        style_statistics="mean_covariance",
        style_normalization="relative",
        content_normalization="relative",
        grid_weight=1.0,
    )
    totals: list[float] = []
    painted = painting.paint(small, photo(4, 4), lambda _, terms: totals.append(terms["total"]))
    assert painted.shape == (4, 4, 3) and np.isfinite(totals).all() and len(totals) == 3


def test_the_start_is_content_noise_or_between(config: Config, photo: Photo) -> None:
    content = photo(40, 50)
    np.testing.assert_array_equal(painting.starting_pixels(config, content), content)
    noisy = dataclasses.replace(config, noise_ratio=0.6, noise_amplitude=20.0)
    start = painting.starting_pixels(noisy, content)
    np.testing.assert_array_equal(start, painting.starting_pixels(noisy, content))
    another_seed = dataclasses.replace(noisy, seed=4)
    assert np.any(start != painting.starting_pixels(another_seed, content))
    noise = (start - np.array(PIXEL_MEAN) - 0.4 * (content - np.array(PIXEL_MEAN))) / 0.6
    assert np.abs(noise).max() <= 20.001 and 11 < noise.std() < 12.1  # 20 / sqrt(3) is 11.5
    white = dataclasses.replace(config, noise_ratio=1.0, noise_amplitude=128.0)
    assert 65 < painting.starting_pixels(white, content).std() < 78


# The optimizers


def parabola(pixels: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
    """Smallest at 300, outside the range, in the first row, and at 50 elsewhere."""
    wanted = np.full_like(pixels, 50)
    wanted[:, 0] = 300
    return {"total": float(np.square(pixels - wanted).sum())}, 2 * (pixels - wanted)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_an_optimizer_finds_the_smallest_total_inside_the_range(optimizer: str) -> None:
    totals: list[float] = []
    arrived = np.zeros(0)

    def report(done, terms, pixels, memory):
        nonlocal arrived
        assert done == len(totals) and pixels.min() >= 0 and pixels.max() <= 255
        assert terms == parabola(pixels)[0]
        totals.append(terms["total"])
        arrived = pixels

    start = np.full((1, 4, 5, 3), 120, np.float32)
    if optimizer == "adam":
        pixel_optimizers.minimize_by_adam(parabola, start, 200, 8.0, report)
    else:
        pixel_optimizers.minimize_by_lbfgs(parabola, start, 200, report)
        assert totals == sorted(totals, reverse=True)
    np.testing.assert_allclose(arrived[:, 0], 255, atol=0.5)
    np.testing.assert_allclose(arrived[:, 1:], 50, atol=0.5)


@pytest.mark.parametrize("scale", [1e-10, 1e10])
def test_lbfgs_does_not_mind_how_large_the_total_is(scale: float) -> None:
    def scaled(pixels: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
        terms, slope = parabola(pixels)
        total = np.float32(scale * (1e5 + terms["total"]))  # as exact as a network's total is
        return {"total": float(total)}, scale * slope

    arrived = []
    pixel_optimizers.minimize_by_lbfgs(
        scaled,
        np.full((1, 4, 5, 3), 120, np.float32),
        50,
        lambda done, terms, pixels, memory: arrived.append(pixels),
    )
    np.testing.assert_allclose(arrived[-1][:, 1:], 50, atol=1)


def test_the_gradient_is_that_of_the_total(config: Config, photo: Photo) -> None:
    gradient = pixel_optimizers.gradients_of(config, [photo(40, 40, 1)])(photo(32, 36, 2))
    pixels = photo(32, 36, 3)[None].astype(np.float32)
    _, slope = gradient(pixels)
    uphill = slope / slope.std()
    above, below = (gradient(pixels + step * uphill)[0]["total"] for step in (0.25, -0.25))
    assert above - below == pytest.approx(0.5 * float((slope * uphill).sum()), rel=0.05)


# A painting


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_painting_makes_the_total_smaller_at_every_size(
    optimizer: str, config: Config, photo: Photo
) -> None:
    config = dataclasses.replace(config, pixel_optimizer=optimizer, scales=[32])
    seen: dict[int, list[float]] = {}

    def observe(progress, terms):
        seen.setdefault(progress.scale, []).append(terms["total"])
        assert progress.best_total == min(seen[progress.scale])

    painted = painting.paint(config, photo(36, 40), observe)
    assert painted.shape == (36, 40, 3) and painted.dtype == np.uint8
    assert [len(totals) for totals in seen.values()] == [7, 7]
    assert all(min(totals) < totals[0] for totals in seen.values())


def test_adam_goes_on_as_if_it_had_not_stopped(
    config: Config, photo: Photo, tmp_path: Path
) -> None:
    config = dataclasses.replace(config, pixel_optimizer="adam", scales=[32])
    content = photo(36, 40)
    whole = painting.PaintingSession(config, content, tmp_path / "whole.png", None).paint()
    stopped = painting.PaintingSession(config, content, tmp_path / "stopped.png", None)
    with interrupted(after=10):
        part = stopped.paint()
    assert stopped.interrupted and stopped.file.exists()
    finished = painting.PaintingSession(config, content, tmp_path / "stopped.png", None).paint()
    assert not stopped.file.exists()
    np.testing.assert_array_equal(finished, whole)
    assert np.any(part != whole)


@contextlib.contextmanager
def interrupted(after: int) -> Iterator[None]:
    """Ctrl-C arrives after so many calls of a painting's observer."""
    paint = painting.paint

    def paint_and_stop(config, content, observe, progress=None):
        calls = itertools.count(1)

        def observe_and_stop(*seen):
            observe(*seen)
            if next(calls) == after:
                raise KeyboardInterrupt

        return paint(config, content, observe_and_stop, progress)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(painting, "paint", paint_and_stop)
        yield


def test_more_iterations_go_on_and_another_conf_begins_anew(
    config: Config,
    photo: Photo,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = dataclasses.replace(config, pixel_optimizer="adam")
    content, output = photo(36, 40), tmp_path / "out.png"
    for changed, goes_on in [({"iterations": 9}, True), ({"style_weight": 60.0}, False)]:
        with interrupted(after=3):
            painting.PaintingSession(config, content, output, None).paint()
        capsys.readouterr()
        caplog.clear()
        other = dataclasses.replace(config, **changed)
        painted = painting.PaintingSession(other, content, output, None).paint()
        assert ("continuing from step 2 of size 1" in capsys.readouterr().out) == goes_on
        assert ("another conf; starting again" in caplog.text) == (not goes_on)
        at_once = painting.PaintingSession(other, content, tmp_path / "at_once.png", None).paint()
        np.testing.assert_array_equal(painted, at_once)


# The command


def run(monkeypatch: pytest.MonkeyPatch, *flags: str | Path) -> None:
    monkeypatch.setattr(sys, "argv", ["gatys", *map(str, flags)])
    program.main()


@pytest.fixture
def conf(conf_values: dict[str, Any], tmp_path: Path) -> Path:
    import yaml

    path = tmp_path / "conf.yml"
    path.write_text(yaml.safe_dump(conf_values | {"iterations": 4}))
    return path


def test_the_command_paints_keeps_alpha_and_writes_on_the_way(
    conf: Path, photo: Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alpha = photo(40, 60)[..., 0]
    write_picture(tmp_path / "in.png", Picture(photo(40, 60), alpha))
    write_picture(tmp_path / "other.png", Picture(photo(50, 50, seed=9)))
    output = tmp_path / "new folder" / "out.png"
    flags = ["-c", conf, "--content", tmp_path / "in.png", "--output", output]
    run(monkeypatch, *flags, "--max-size", "48", "--every", "2", "--steps", "5")
    painted = read_picture(output)
    assert painted.rgb.shape == (32, 48, 3) and painted.alpha is not None
    written = sorted(path.name for path in output.parent.iterdir())
    assert written == ["out-00002.png", "out-00004.png", "out.png"]
    run(monkeypatch, *flags, "--max-size", "48", "--style", tmp_path / "other.png")
    assert np.any(read_picture(output).rgb != painted.rgb)
    run(monkeypatch, *flags, "--max-size", "24", "--set", "canvas=60x60")
    assert read_picture(output).rgb.shape == (24, 24, 3)
    run(monkeypatch, *flags, "--max-size", "48", "--strength", "0")
    content = read_picture(tmp_path / "in.png")
    small = fit_within(content, 48)
    np.testing.assert_array_equal(read_picture(output).rgb, small.rgb)


def test_ctrl_c_leaves_the_best_so_far_and_says_so_by_the_exit_status(
    conf: Path, photo: Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_picture(tmp_path / "in.png", Picture(photo(40, 60)))
    flags = ["-c", conf, "--content", tmp_path / "in.png", "--output", tmp_path / "out.png"]
    # A command ends with status 130 then.
    with interrupted(after=3), pytest.raises(KeyboardInterrupt):
        run(monkeypatch, *flags)
    assert read_picture(tmp_path / "out.png").rgb.shape == (40, 60, 3)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--style", "no.png"], "style_image: no file no.png"),
        (["--set", "canvas=400by300"], "canvas: '400by300' is not"),
        (["--set", "scales=[64, 32]"], "scales: [64, 32] must rise"),
        (["--set", "noise_ratio=2"], "noise_ratio: 2 is too large"),
        (["--output", "out.xyz"], "unknown ending '.xyz'"),
        (["--content", "absent.jpg"], "absent.jpg: no such file"),
        (["--max-size", "4"], "a content image of 4x3 is too small to paint"),
    ],
)
def test_bad_input_is_told_before_any_work(
    flags: list[str],
    message: str,
    conf: Path,
    photo: Photo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_picture(tmp_path / "in.png", Picture(photo()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(program, "start_tensorflow", lambda: pytest.fail("work began"))
    good = ["-c", conf, "--content", "in.png", "--output", "out.png"]
    with pytest.raises(UserError) as error:
        run(monkeypatch, *good, *flags)
    assert message in str(error.value)
    assert not list(tmp_path.glob("out*"))


def test_lbfgs_without_scipy_says_what_to_install(
    conf: Path, photo: Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_picture(tmp_path / "in.png", Picture(photo(32, 32)))
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(UserError, match=r"unlike adam.*pip install 'fast-style\[gatys\]'"):
        run(
            monkeypatch,
            *("-c", conf, "--content", tmp_path / "in.png", "--output", tmp_path / "out.png"),
        )
