"""The style image: its file, and the pixels that the loss network sees."""

import dataclasses
import functools
import hashlib
import re
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import numpy as np
from absl import logging
from PIL import Image, ImageFilter

from fast_style.conf.config import Config, fewest_pixels, is_url
from fast_style.errors import UserError, naming
from fast_style.files import downloads, fetched, make_folder, read_bytes, write_atomically
from fast_style.pictures.images import (
    Picture,
    decode_picture,
    find_pictures,
    flatten_on_white,
    read_picture,
)
from fast_style.pictures.pixels import fit_within, resized, square

MOST_BYTES = 100_000_000
FEWEST_PIXELS = 64  # of a side; a smaller style image gives a warning

_warn_once = functools.cache(logging.warning)  # a painting reads the image for each of its sizes


def paintings(config: Config) -> list[Config]:
    """Splits a conf of one style into one conf for each of its paintings.

    A folder stands for all pictures in it. Raises UserError if a folder has none, and if the conf
    has several styles.
    """
    if config.style_image is None:
        names = ", ".join(config.named_style_images)
        raise UserError(f"style_images: only one can be used here, of {names}")
    given = config.style_image if isinstance(config.style_image, list) else [config.style_image]
    found: list[str] = []
    for image in given:
        if not is_url(image) and (folder := config.paths[image]).is_dir():
            with naming("style_image"):
                found += map(str, find_pictures(folder))
        else:
            found.append(image)
    if found == [config.style_image]:
        return [config]
    return [dataclasses.replace(config, style_image=image) for image in found]


def style_image_file(config: Config) -> Path:
    """Returns the file of a conf of one painting; a URL is fetched once and kept.

    It is kept in the Keras home folder, if it is a picture and `style_image_sha256` fits. Raises
    UserError if it cannot be fetched, the file has another hash, or the conf has several paintings.
    """
    painting, *others = paintings(config)
    image, wanted = painting.style_image, config.style_image_sha256
    if others:
        raise UserError(
            f"style_image: only one painting can be used here, the conf has {1 + len(others)}: "
            f"{image}, {others[0].style_image} ..."
        )
    assert isinstance(image, str) and not isinstance(wanted, dict)
    path = _kept_at(image) if is_url(image) else painting.paths[image]
    with naming("style_image"):
        if is_url(image) and not path.exists():
            encoded = fetched(
                image, MOST_BYTES, f"put the picture at {path}, or name a file of your own"
            )
            _check_sha256(encoded, wanted, image)
            decode_picture(encoded, image)
            make_folder(path.parent)
            write_atomically(path, encoded)
            if wanted is None:
                hint = "%s is kept unchecked; set style_image_sha256: %s to refuse any other file"
                logging.warning(hint, image, hashlib.sha256(encoded).hexdigest())
        elif wanted is not None:
            _check_sha256(read_bytes(path), wanted, f"{image} ({path})")
    return path


def style_image_sha256(config: Config) -> str:
    """Returns the SHA-256 of the file of a conf of one style, in hexadecimal.

    For several paintings it is the hash of their concatenated hashes.
    """
    hashes = [
        hashlib.sha256(read_bytes(style_image_file(painting))).hexdigest()
        for painting in paintings(config)
    ]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def prepare_style_image(config: Config) -> np.ndarray:
    """Returns the style image as the loss network of a training sees it: (S, S, 3) uint8 RGB.

    S is `style_image_size`, or else `image_size`. The short side is scaled to S and the centre
    cropped, as in the TF1 program. `style_image_part` selects a part of the file before that, and
    `style_image_median` filters the square. The log warns about an image that is transparent, of
    one colour, or smaller than FEWEST_PIXELS.
    """
    side = config.style_image_size or config.image_size
    return _without_grain(square(flatten_on_white(_read(config)), side), config)


def painting_style_image(config: Config, height: int, width: int) -> np.ndarray:
    """Returns the style image for painting a picture of this size: (h, w, 3) uint8 RGB.

    With `style_image_size` it is that of prepare_style_image. Otherwise it is the whole image,
    with a long side of at most that of the picture. (Gatys et al. 2016 scale it to the picture's
    size, which can distort it.) Each side is at least long enough for two features in the deepest
    layer, as one feature has no covariance.
    """
    if config.style_image_size:
        return prepare_style_image(config)
    picture = fit_within(_read(config), max(height, width))
    fewest = 2 * (fewest_pixels(config) + config.style_border)
    height, width = (max(side, fewest) for side in picture.rgb.shape[:2])
    return _without_grain(flatten_on_white(resized(picture, height, width)), config)


def _without_grain(rgb: np.ndarray, config: Config) -> np.ndarray:
    """Applies a median filter: it removes canvas, paper and noise, and keeps edges of strokes."""
    # A filter of size 1 changes nothing.
    median = ImageFilter.MedianFilter(config.style_image_median)
    return np.asarray(Image.fromarray(rgb).filter(median))


def _read(config: Config) -> Picture:
    path = style_image_file(config)
    with naming("style_image"):
        picture = _part(read_picture(path), config.style_image_part)
    if (lack := _lack(picture)) is not None:
        _warn_once(f"style_image: {config.style_image}: {lack}; there is little to learn from it")
    return picture


def _part(picture: Picture, part: list[float]) -> Picture:
    """Crops to left, top, right and bottom in 0 to 1; at least one pixel remains."""
    left, top, right, bottom = part

    def cut(side: int, first: float, last: float) -> slice:
        start = min(round(first * side), side - 1)
        return slice(start, max(round(last * side), start + 1))

    height, width = picture.rgb.shape[:2]
    place = cut(height, top, bottom), cut(width, left, right)
    alpha = None if picture.alpha is None else picture.alpha[place]
    return dataclasses.replace(picture, rgb=picture.rgb[place], alpha=alpha)


def _lack(picture: Picture) -> str | None:
    """Returns why a style image is probably not the one you want, or None."""
    height, width = picture.rgb.shape[:2]
    if picture.alpha is not None and not picture.alpha.any():
        return "is fully transparent"
    rgb = flatten_on_white(picture)
    if (rgb == rgb[0, 0]).all():
        return f"is of one colour ({width}x{height})"
    if min(height, width) < FEWEST_PIXELS:
        return f"is {width}x{height}, less than {FEWEST_PIXELS} pixels a side"
    return None


def _kept_at(url: str) -> Path:
    """Returns where a fetched style image is kept."""
    name = PurePosixPath(unquote(re.split(r"[?#]", url)[0])).name.replace("\0", "")
    name = name.encode()[-200:].decode(errors="ignore")  # a disk allows 255 bytes
    return downloads() / f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{name}"


def _check_sha256(encoded: bytes, wanted: str | None, where: str) -> None:
    found = hashlib.sha256(encoded).hexdigest()
    if wanted is not None and found != wanted.lower():
        raise UserError(
            f"{where} is another file: its SHA-256 is {found}, and style_image_sha256 is {wanted}"
        )
