"""The styles that people add to a server: a folder with a painting for each.

A style's folder has the painting, and once it is learned the files of a model folder. Until then
the network that takes any style predicts it.
"""

import contextlib
import shutil
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from fast_style.conf.names import check_name
from fast_style.errors import UserError, naming_os_errors
from fast_style.files import make_folder, write_atomically
from fast_style.model_folder.checkpoint import checkpoint_files
from fast_style.model_folder.layout import WEIGHTS
from fast_style.pictures.images import decode_picture, encode_picture
from fast_style.pictures.pixels import resized

PAINTING = "painting.png"
PAINTING_SIDE = 1024  # pixels that are kept of the short side; a style image needs about 512
LONGEST_NAME = 80
# The checkpoints and results of one learning take about 150 MB.
FREE_BYTES = 300_000_000


class Conflict(UserError):
    """The request does not go with what is there, such as a second style of the same name."""


class DiskFull(UserError):
    """Too little space is free."""


@dataclass(frozen=True)
class OwnStyle:
    """A style that somebody has added."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def painting(self) -> Path:
        return self.folder / PAINTING

    @property
    def newest(self) -> Path:
        """The file that decides how the style looks: weights, a checkpoint, or the painting."""
        weights = self.folder / WEIGHTS
        if weights.exists():
            return weights
        return next(reversed(checkpoint_files(self.folder)), self.painting)

    @property
    def version(self) -> int:
        """A number that changes when the style looks different; 0 if it has been deleted."""
        try:
            return self.newest.stat().st_mtime_ns
        except FileNotFoundError:  # a checkpoint that a newer one has just replaced, or deleted
            return 0


class OwnStyles:
    """The folder of these styles."""

    def __init__(self, folder: Path, most: int = 50):
        """most: the largest number of styles."""
        self.folder = folder
        self.most = most
        self._lock = threading.Lock()

    def all(self) -> dict[str, OwnStyle]:
        """Returns the styles by their names."""
        folders = sorted(path.parent for path in self.folder.glob(f"*/{PAINTING}"))
        return {folder.name: OwnStyle(folder) for folder in folders if folder.name[0] != "."}

    def add(self, name: str, painting: bytes, taken: Collection[str]) -> OwnStyle:
        """Writes a new style. painting: as as_painting returns it. taken: names it cannot have.

        Raises UserError for a wrong name, Conflict if the name is taken or there are too many
        styles, and DiskFull.
        """
        check_name(name, "name: ")
        if len(name) > LONGEST_NAME or name.startswith("."):
            raise UserError(
                f"name: {name}: has more than {LONGEST_NAME} characters, or begins with a dot"
            )
        with self._lock:
            if len(self.all()) >= self.most:
                raise Conflict(f"there are {self.most} styles already; delete one first")
            if name in taken or (self.folder / name).exists():
                raise Conflict(f"name: there is already a style {name!r}; choose another name")
            make_folder(self.folder)
            self.check_disk()
            style = OwnStyle(self.folder / name)
            make_folder(style.folder)
            try:
                write_atomically(style.painting, painting)
            except UserError:
                shutil.rmtree(style.folder, ignore_errors=True)
                raise
        return style

    def delete(self, style: OwnStyle) -> None:
        """Deletes a style's folder. Raises UserError if the system refuses that."""
        hidden = self.folder / f".deleted-{style.name}"
        with self._lock, naming_os_errors(style.name, "deleted"):
            shutil.rmtree(hidden, ignore_errors=True)
            style.folder.rename(hidden)  # so that no half of it is left as a style
            shutil.rmtree(hidden)

    def check_disk(self) -> None:
        """Raises DiskFull if the disk has too little space for a learning."""
        with naming_os_errors(self.folder, "read"):
            free = shutil.disk_usage(self.folder).free
        if free < FREE_BYTES:
            raise DiskFull(
                f"the disk has {free / 1e6:,.0f} MB free, and a new style needs "
                f"{FREE_BYTES / 1e6:,.0f} MB; delete a style, or something else"
            )


def as_painting(encoded: bytes, name: str, most_pixels: int) -> bytes:
    """Returns a picture as a PNG whose short side has at most PAINTING_SIDE pixels.

    name: of the picture, in messages. Raises UserError if it cannot be read.
    """
    picture = decode_picture(encoded, name, at_least=PAINTING_SIDE, most_pixels=most_pixels)
    height, width = picture.rgb.shape[:2]
    scale = min(1.0, PAINTING_SIDE / min(height, width))
    return encode_picture(resized(picture, round(height * scale), round(width * scale)), ".png")


@contextlib.contextmanager
def calling(path: Path, name: str) -> Iterator[None]:
    """Replaces a path by `name` in the message of a UserError that the block raises."""
    try:
        yield
    except UserError as error:
        message = str(error).replace(str(path), name)
        raise UserError(message.removeprefix("style_image: ")) from None
