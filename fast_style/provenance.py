"""Where a trained network comes from."""

import datetime
from importlib import metadata

from fast_style import hardware
from fast_style.config import Config
from fast_style.loss.vgg_weights import weights_sha256
from fast_style.pictures.style_image import style_image_sha256


def provenance() -> dict:
    """Today's date, this machine, and the versions at work."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "hardware": hardware.describe(),
        "versions": {
            name: metadata.version(name) for name in ("fast-style", "tensorflow", "keras")
        },
    }


def hashes(config: Config) -> dict:
    """What the conf's files hold, whatever they are called: the style images' hashes by the names
    of the styles, and that of the loss network's file, None for imagenet.
    """
    return {
        "style_image_sha256": {
            name: style_image_sha256(config.of_style(name)) for name in config.named_style_images
        },
        "loss_model_file_sha256": weights_sha256(config.loss_model_file),
    }
