"""Pictures without contrast and weights at the ends of what is read: no output is NaN or infinite.

tests/stress/extreme_numbers.py has the long form, and trainings.
"""

from pathlib import Path

import numpy as np
import pytest

from fast_style.model_folder.model import read_model
from tests.stress.extreme_numbers import networks, pictures, runs

pytest.importorskip("openvino", reason="OpenVINO is an optional extra")


@pytest.mark.parametrize(
    "name", ["as trained, tanh", "nothing, linear", "all 1e4, scaled_tanh", "largest 1e4, linear"]
)
def test_every_output_is_a_number(trained_model: Path, name: str) -> None:
    model = networks(read_model(trained_model))[name]
    few = ["0 at 1 x 1", "255 at 1 x 40", "128 at 64 x 48", "black or white"]
    for runtime, precision, run in runs(model):
        for picture in few:
            found = run(pictures()[picture])
            assert found.shape[-1] == 3
            assert np.isfinite(found).all(), (runtime, precision, picture)
