"""Stylizer as other programs use it: from many threads."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from fast_style.stylize import Stylizer
from tests.conftest import Photo


@pytest.fixture(scope="module", params=["tensorflow", "openvino"])
def stylizer(request: pytest.FixtureRequest, trained_model: Path) -> Stylizer:
    pytest.importorskip(request.param)
    return Stylizer(trained_model, request.param, "float32")


# Threads


def test_64_calls_in_8_threads_give_what_one_thread_gives(stylizer: Stylizer, photo: Photo) -> None:
    pictures = [photo(24, 32, seed=seed) for seed in range(64)]
    expected = [stylizer(picture) for picture in pictures]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(stylizer, pictures))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", [(32, 32, 4), (0, 5, 3), (32, 32)])
def test_a_network_that_failed_works_for_other_threads(
    stylizer: Stylizer, photo: Photo, shape: tuple[int, ...]
) -> None:
    picture = photo(32, 32)
    expected = stylizer(picture)
    with pytest.raises(Exception):  # noqa: B017 - each runtime has its own
        stylizer.network.whole(np.zeros(shape, np.uint8))
    found: list[np.ndarray] = []
    thread = threading.Thread(target=lambda: found.append(stylizer(picture)), daemon=True)
    thread.start()
    thread.join(60)
    assert found, "the other thread waits"
    np.testing.assert_array_equal(found[0], expected)


def test_threads_that_load_networks_leave_stderr_as_it_was(trained_model: Path) -> None:
    program = f"""
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from fast_style.stylize import Stylizer
with ThreadPoolExecutor(4) as threads:
    list(threads.map(lambda _: Stylizer(Path({str(trained_model)!r}), "tensorflow"), range(4)))
print("heard", file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr.endswith("heard\n")
