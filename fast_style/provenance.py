"""Where a trained network comes from."""

import datetime
from importlib import metadata

from fast_style import hardware
from fast_style.config import Config
from fast_style.loss.style_statistics import style_sha256


def provenance(config: Config) -> dict:
    """Today's date, this machine, the versions at work, and the hashes of the style images."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "hardware": hardware.describe(),
        "versions": {
            name: metadata.version(name) for name in ("fast-style", "tensorflow", "keras")
        },
        "style_image_sha256": {
            name: style_sha256(config.of_style(name)) for name in config.named_style_images
        },
    }
