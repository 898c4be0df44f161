"""The style image: where its file is, and what the loss network sees of it."""

import hashlib
import os
import urllib.request
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import numpy as np

from fast_style import __version__
from fast_style.config import Config, is_url
from fast_style.errors import UserError
from fast_style.files import read_bytes
from fast_style.locations import locate
from fast_style.pictures.images import Picture, flatten_on_white, read_picture
from fast_style.pictures.pixels import fit_within, square

CACHE = "fast_style"


def style_image_file(config: Config) -> Path:
    """The style image on this disk of a conf of one style; a URL is fetched once, kept by Keras.

    Raises UserError where it cannot be fetched or is not the file that `style_image_sha256` says,
    and where the conf has several.
    """
    image, wanted = config.style_image, config.style_image_sha256
    if image is None or isinstance(wanted, dict):
        raise UserError(
            f"style_images: one is wanted here, of {', '.join(config.named_style_images)}"
        )
    path = _fetched(image) if is_url(image) else locate(image)
    if wanted is not None and style_image_sha256(path) != wanted.lower():
        raise UserError(
            f"style_image: {image} ({path}) has the SHA-256 "
            f"{style_image_sha256(path)}, and style_image_sha256 is {wanted}; it is another file"
        )
    return path


def style_image_sha256(path: Path) -> str:
    """The hash by which cards and confs name a style image."""
    return hashlib.sha256(read_bytes(path)).hexdigest()


def prepare_style_image(config: Config) -> np.ndarray:
    """The style image as a training's loss network sees it: (S, S, 3) uint8 RGB.

    As in the TF1 program the short side becomes `image_size` and the centre is cropped;
    `style_image_size` asks for another size, and so for larger or smaller strokes.
    """
    side = config.style_image_size or config.image_size
    return square(flatten_on_white(_read(config)), side)


def painting_style_image(config: Config, height: int, width: int) -> np.ndarray:
    """The style image for the painting of one picture of that size, (h, w, 3) uint8 RGB.

    Where the conf says `style_image_size` it is the square that a training takes. Otherwise all of
    it, its long side at most that of the picture; Gatys et al. (2016) scale it to exactly the
    picture's size, and so squeeze it.
    """
    if config.style_image_size:
        return prepare_style_image(config)
    return flatten_on_white(fit_within(_read(config), max(height, width)))


def _read(config: Config) -> Picture:
    try:
        return read_picture(style_image_file(config))
    except UserError as error:
        message = str(error)
        if message.startswith("style_image"):
            raise
        raise UserError(f"style_image: {message}") from None


def _fetched(url: str) -> Path:
    import keras  # here, because it takes seconds and most style images are files

    # Wikimedia refuses clients that do not say what they are.
    opener = urllib.request.build_opener()
    opener.addheaders = [("User-Agent", f"fast-style/{__version__}")]
    urllib.request.install_opener(opener)
    name = PurePosixPath(unquote(urlsplit(url).path)).name or "style_image"
    unique = f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{name}"
    try:
        return Path(keras.utils.get_file(unique, url, cache_subdir=CACHE))
    # Keras raises a bare Exception where it cannot download.
    except Exception as error:
        home = os.environ.get("KERAS_HOME", "~/.keras")
        raise UserError(
            f"style_image: {url} cannot be fetched ({' '.join(str(error).split())[:200]}); put the "
            f"picture at {home}/{CACHE}/{unique}, or name a file of your own"
        ) from error
