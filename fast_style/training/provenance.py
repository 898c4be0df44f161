"""The origin of a trained network: date, machine, versions and hashes."""

import datetime
from importlib import metadata

from fast_style import hardware
from fast_style.conf.config import Config
from fast_style.loss.vgg_weights import weights_sha256
from fast_style.pictures.style_image import style_image_sha256


def provenance() -> dict:
    """Returns today's date, this machine, and the versions of the packages."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "hardware": hardware.describe(),
        "versions": {
            name: metadata.version(name) for name in ("fast-style", "tensorflow", "keras")
        },
    }


def hashes(config: Config) -> dict:
    """Returns the SHA-256 of the style images, by style, and of the loss network's file.

    The latter is None for imagenet. Raises UserError as style_image_file does.
    """
    return {
        "style_image_sha256": {
            name: style_image_sha256(config.of_style(name)) for name in config.named_style_images
        },
        "loss_model_file_sha256": weights_sha256(config.loss_weights),
    }
