"""fast-style trains feed-forward style networks and runs them.

Other programs need only one class:

    from fast_style import Stylizer

    Stylizer("candy")("photo.jpg").save("stylized.jpg")
"""

import os
from typing import TYPE_CHECKING, Any

from fast_style.errors import UserError

if TYPE_CHECKING:
    from fast_style.stylize.stylizer import Stylizer

__all__ = ["Stylizer", "UserError"]

# The user's own setting is kept; hardware.start_tensorflow_to_stylize can change ours.
CHOOSES_ONEDNN = "TF_ENABLE_ONEDNN_OPTS" not in os.environ
# TensorFlow disables oneDNN on CPUs without AVX-512, where trainings are faster with it. This must
# be set before TensorFlow is imported.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# Hides the start-up banner and the cuInit message of machines without a GPU, but no real errors.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Imported on demand: NumPy and Pillow take a tenth of a second, too long for --help.
    if name != "Stylizer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fast_style.stylize.stylizer import Stylizer

    return Stylizer


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
