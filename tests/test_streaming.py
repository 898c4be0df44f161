"""Pictures that flow through the network in rows are those that go through at once."""

import argparse
import gc
import os
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path

import numpy as np
import pytest

from fast_style.benchmark.programs import peak_memory
from fast_style.command_line import number_of_bytes
from fast_style.conf.locations import PROJECT
from fast_style.errors import UserError
from fast_style.pictures.images import Picture, read_picture, write_picture
from fast_style.runtimes import streaming
from fast_style.runtimes.streaming import KeptRows
from fast_style.stylize import stylizer as stylizer_module
from fast_style.stylize.stylizer import Stylizer
from tests.conftest import Photo

# Height, width, and rows at once. Not 1 x 1: of a constant picture, instance normalization makes
# rounding errors the content.
STRIPS = [(1, 7, 8), (7, 5, 37), (33, 65, 8), (61, 87, 37), (130, 33, 8)]


@pytest.fixture(scope="module", params=["tensorflow", "openvino"])
def stylizer(request: pytest.FixtureRequest, model_of_each_network: Path) -> Stylizer:
    pytest.importorskip(request.param)
    return Stylizer(model_of_each_network, request.param, "float32")


@pytest.mark.parametrize(("height", "width", "rows_at_once"), STRIPS)
def test_rows_give_what_the_whole_picture_gives(
    stylizer: Stylizer, photo: Photo, height: int, width: int, rows_at_once: int
) -> None:
    picture = photo(height, width)
    parts = list(stylizer.network.in_rows(picture, rows_at_once))
    assert all(part.dtype == np.uint8 for part in parts)
    off = np.concatenate(parts).astype(int) - stylizer.network.whole(picture)
    assert off.shape == (height, width, 3)
    # Of a few pixels, one may be rounded the other way.
    assert np.abs(off).max() <= 1 and np.abs(off).sum() <= max(1, off.size // 100)


def test_a_picture_beyond_the_memory_flows(
    trained_model: Path, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = photo(70, 50)
    expected = Stylizer(trained_model)(picture).astype(int)
    monkeypatch.setattr(stylizer_module, "MOST_ROWS", 16)
    little = Stylizer(trained_model, max_memory=2_500_000)
    monkeypatch.setattr(
        little, "network", stylizer_module.Network(_refused, little.network.in_rows)
    )
    assert np.abs(little(picture) - expected).max() <= 1


def test_want_of_memory_is_told(
    trained_model: Path, photo: Photo, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    monkeypatch.setattr(stylizer_module, "free_memory", lambda: 2_500_000)
    Stylizer(trained_model, max_memory=2_500_000)(photo(70, 50))
    assert "in rows" not in caplog.text  # as it was asked for
    Stylizer(trained_model)(photo(70, 50))
    assert "50 x 70: needs 0.0 GB" in caplog.text


def _refused(rgb: np.ndarray) -> np.ndarray:
    raise AssertionError("a whole pass")


def test_eval_keeps_to_the_memory_it_is_given(
    trained_model: Path, tmp_path: Path, photo: Photo
) -> None:
    pytest.importorskip("openvino")
    picture = tmp_path / "photo.png"
    write_picture(picture, Picture(photo(700, 900)))

    def peak(*flags: str) -> float:
        command = [sys.executable, str(PROJECT / "eval.py"), "--model", str(trained_model)]
        command += ["--image", str(picture), "--output", str(tmp_path / f"{len(flags)}.png")]
        command += ["--runtime", "openvino", *flags]
        return peak_memory(command) / 1e6

    whole, held = peak(), peak("--max-memory", "50MB")
    assert held < 250 < whole  # with Python, OpenVINO and the picture
    written = [read_picture(tmp_path / f"{n}.png").rgb.astype(int) for n in (0, 2)]
    assert np.abs(written[0] - written[1]).max() <= 1


def test_rows_are_kept_as_long_as_anything_reads_them() -> None:
    rows = np.random.default_rng(0).normal(size=(9, 2, 5)).astype(np.float32)
    kept = KeptRows(np.float32)
    for part in np.split(rows, [1, 5]):
        kept.append(part)
        np.testing.assert_array_equal(kept.read(0, 1), rows[:1])
    assert kept.height == 9
    for first, last in [(0, 9), (3, 7), (8, 9)]:
        np.testing.assert_array_equal(kept.read(first, last), rows[first:last])
    descriptor = kept.file.fileno()
    del kept
    gc.collect()
    with pytest.raises(OSError):
        os.fstat(descriptor)


def test_rows_take_the_place_of_others_that_are_read() -> None:
    old, new = np.random.default_rng(0).integers(0, 1 << 16, (2, 9, 2, 5), dtype=np.uint16)
    kept = KeptRows(np.uint16)
    kept.append(old)
    result = KeptRows(np.uint16, kept)
    for first, last in [(0, 4), (4, 8), (8, 9)]:
        seen = max(0, first - 1), min(9, last + 1)  # a row around each strip
        np.testing.assert_array_equal(kept.read(*seen), old[slice(*seen)])
        result.append(new[first:last])
    np.testing.assert_array_equal(result.read(0, 9), new)
    assert os.fstat(result.file.fileno()).st_size == new.nbytes


def test_files_take_as_many_bytes_as_are_documented(
    trained_model: Path, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, most = weakref.WeakSet(), 0

    class Watched(KeptRows):
        def append(self, rows: np.ndarray) -> None:
            nonlocal most
            super().append(rows)
            files.add(self)
            sizes = {kept.file.fileno(): os.fstat(kept.file.fileno()).st_size for kept in files}
            most = max(most, sum(sizes.values()))

    monkeypatch.setattr(streaming, "KeptRows", Watched)
    for _ in Stylizer(trained_model, precision="float32").network.in_rows(photo(80, 112), 8):
        pass
    assert 0 < most <= 128 * (80 + 48) * (112 + 48)


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: open("/dev/full", "wb"))  # noqa: SIM115
    kept = KeptRows(np.float32)
    with pytest.raises(UserError, match=r"cannot be written: No space left.*set TMPDIR"):
        kept.append(np.ones((1, 1, 1), np.float32))
    assert kept.file.closed  # so nothing is written later, which would print another error


@pytest.mark.parametrize(
    ("text", "value"), [("4GB", 4_000_000_000), ("500mb", 500_000_000), ("1e9", 10**9)]
)
def test_amounts_of_memory(text: str, value: int) -> None:
    assert number_of_bytes(text) == value


@pytest.mark.parametrize("text", ["much", "inf", "nan", "0"])
def test_a_wrong_amount_of_memory_is_an_argument_error(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not an amount of memory"):
        number_of_bytes(text)


def test_a_wrong_amount_of_memory_is_told(trained_model: Path) -> None:
    command = [sys.executable, str(PROJECT / "eval.py"), "--model", str(trained_model)]
    command += ["--image", "x.png", "--max-memory", "much"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "--max-memory: 'much' is not an amount of memory, such as 4GB" in done.stderr
