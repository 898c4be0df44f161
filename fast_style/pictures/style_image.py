"""The style image: where its file is, and what the loss network sees of it."""

import dataclasses
import functools
import hashlib
import http.client
import os
import re
import urllib.request
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import numpy as np
from absl import logging
from PIL import Image, ImageFilter

from fast_style import __version__
from fast_style.conf.config import Config, fewest_pixels, is_url
from fast_style.errors import UserError, naming
from fast_style.files import make_folder, read_bytes, write_atomically
from fast_style.pictures.images import (
    Picture,
    decode_picture,
    find_pictures,
    flatten_on_white,
    read_picture,
)
from fast_style.pictures.pixels import fit_within, resized, square

CACHE = "fast_style"
MOST_BYTES = 100_000_000
SECONDS_OF_SILENCE = 60
FEWEST_PIXELS = 64
"""Of a side; a smaller style image has few strokes, which are enlarged."""


def paintings(config: Config) -> list[Config]:
    """A conf of one style as one for each of its paintings; a folder is all pictures in it.

    Raises UserError where a folder holds none, and where the conf has several styles.
    """
    if config.style_image is None:
        raise UserError(
            f"style_images: one is wanted here, of {', '.join(config.named_style_images)}"
        )
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
    """The file on this disk of a conf of one painting; a URL is fetched once and kept.

    It is kept where Keras keeps what it fetches, and only if it is a picture, and the one that
    `style_image_sha256` says. Raises UserError where it cannot be fetched, or what is there is not
    that one, and where the conf has several paintings.
    """
    painting, *others = paintings(config)
    image, wanted = painting.style_image, config.style_image_sha256
    if others:
        raise UserError(
            f"style_image: one painting is wanted here, the conf has {1 + len(others)}: "
            f"{image}, {others[0].style_image} ..."
        )
    assert isinstance(image, str) and not isinstance(wanted, dict)
    path = _kept_at(image) if is_url(image) else painting.paths[image]
    if is_url(image) and not path.exists():
        encoded = _fetched(image, path)
        _check_sha256(encoded, wanted, image)
        decode_picture(encoded, f"style_image: {image}")
        make_folder(path.parent)
        write_atomically(path, encoded)
        if wanted is None:
            logging.warning(
                "%s is kept unchecked; style_image_sha256: %s in the conf refuses any other",
                image,
                hashlib.sha256(encoded).hexdigest(),
            )
    elif wanted is not None:
        _check_sha256(read_bytes(path), wanted, f"{image} ({path})")
    return path


def style_image_sha256(config: Config) -> str:
    """The hash by which cards and confs name the style image of a conf of one style.

    That of the file; of several paintings that of their hashes, in hexadecimal, one after another.
    """
    hashes = [
        hashlib.sha256(read_bytes(style_image_file(painting))).hexdigest()
        for painting in paintings(config)
    ]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def prepare_style_image(config: Config) -> np.ndarray:
    """The style image as a training's loss network sees it: (S, S, 3) uint8 RGB.

    As in the TF1 program the short side becomes `image_size` and the centre is cropped;
    `style_image_size` asks for another size, and so for larger or smaller strokes. With
    `style_image_part` only that part of the file counts as the style image. One that is
    transparent, of one colour or smaller than 64 pixels is named in the log.
    `style_image_median` is the side in pixels of a median filter over the square.
    """
    side = config.style_image_size or config.image_size
    return _without_grain(square(flatten_on_white(_read(config)), side), config)


def painting_style_image(config: Config, height: int, width: int) -> np.ndarray:
    """The style image for the painting of one picture of that size, (h, w, 3) uint8 RGB.

    Where the conf says `style_image_size` it is the square that a training takes. Otherwise all of
    it, its long side at most that of the picture; Gatys et al. (2016) scale it to exactly the
    picture's size, and so squeeze it. A side is lengthened that would leave the deepest layer fewer
    than two features, as one alone has no covariance.
    """
    if config.style_image_size:
        return prepare_style_image(config)
    picture = fit_within(_read(config), max(height, width))
    fewest = 2 * (fewest_pixels(config) + config.style_border)
    height, width = (max(side, fewest) for side in picture.rgb.shape[:2])
    return _without_grain(flatten_on_white(resized(picture, height, width)), config)


def _without_grain(rgb: np.ndarray, config: Config) -> np.ndarray:
    """A median takes canvas, paper and the noise of a scan, and leaves the edges of strokes."""
    if config.style_image_median == 1:
        return rgb
    filtered = Image.fromarray(rgb).filter(ImageFilter.MedianFilter(config.style_image_median))
    return np.asarray(filtered)


def _read(config: Config) -> Picture:
    try:
        picture = read_picture(style_image_file(config))
    except UserError as error:
        message = str(error)
        if message.startswith("style_image"):
            raise
        raise UserError(f"style_image: {message}") from None
    picture = _part(picture, config.style_image_part)
    if (lack := _lack(picture)) is not None:
        _warn_once(f"style_image: {config.style_image}: {lack}; there is little to learn from it")
    return picture


def _part(picture: Picture, part: list[float]) -> Picture:
    """From left and top to right and bottom in 0 to 1, rounded to pixels, of which one remains."""
    cut = []
    for side, first, last in zip(picture.rgb.shape[:2], part[1::-1], part[:1:-1], strict=True):
        start = min(round(first * side), side - 1)
        cut.append(slice(start, max(round(last * side), start + 1)))
    rows, columns = cut
    alpha = picture.alpha
    return dataclasses.replace(
        picture,
        rgb=picture.rgb[rows, columns],
        alpha=None if alpha is None else alpha[rows, columns],
    )


def _lack(picture: Picture) -> str | None:
    """Why a style image can hardly be what was meant, or None."""
    height, width = picture.rgb.shape[:2]
    if picture.alpha is not None and not picture.alpha.any():
        return "is fully transparent"
    rgb = flatten_on_white(picture)
    if (rgb == rgb[0, 0]).all():
        return f"is of one colour ({width}x{height})"
    if min(height, width) < FEWEST_PIXELS:
        return f"is {width}x{height}, less than {FEWEST_PIXELS} pixels a side"
    return None


@functools.cache  # a painting reads it for each of its sizes
def _warn_once(message: str) -> None:
    logging.warning("%s", message)


def _kept_at(url: str) -> Path:
    """Where a fetched style image is kept: it does not change with the version."""
    name = PurePosixPath(unquote(re.split(r"[?#]", url)[0])).name.replace("\0", "")
    # A disk takes 255 bytes.
    name = name.encode()[-200:].decode(errors="ignore")
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    return home / CACHE / f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{name}"


def _fetched(url: str, path: Path) -> bytes:
    print(f"fetching {url}")
    opener = urllib.request.build_opener()
    # Wikimedia refuses clients that do not say what they are.
    opener.addheaders = [("User-Agent", f"fast-style/{__version__}")]
    try:
        with opener.open(url, timeout=SECONDS_OF_SILENCE) as response:
            encoded = response.read(MOST_BYTES + 1)
            if len(encoded) > MOST_BYTES:
                raise ValueError(f"more than {MOST_BYTES // 10**6} MB")
            announced = response.headers["Content-Length"]
            if announced is not None and int(announced) != len(encoded):
                raise ValueError(f"{len(encoded)} of {announced} bytes came")
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise UserError(
            f"style_image: {url} cannot be fetched ({' '.join(str(error).split())[:200]}); put the "
            f"picture at {path}, or name a file of your own"
        ) from error
    return encoded


def _check_sha256(encoded: bytes, wanted: str | None, where: str) -> None:
    found = hashlib.sha256(encoded).hexdigest()
    if wanted is not None and found != wanted.lower():
        raise UserError(
            f"style_image: {where} has the SHA-256 {found}, and style_image_sha256 is {wanted}; "
            "it is another file"
        )
