"""The logs of a training: TensorBoard and preview pictures."""

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from fast_style.conf.config import Config
from fast_style.errors import UserError
from fast_style.files import make_folder
from fast_style.loss.named_terms import named_terms
from fast_style.loss.style_statistics import Style
from fast_style.model_folder.layout import LOGS, PREVIEWS
from fast_style.pictures.images import Picture, check_picture_target, read_picture, write_picture
from fast_style.pictures.pixels import fit_within, to_uint8

PREVIEW_SIZES = (256, 512)
Stylize = Callable[[np.ndarray, int], np.ndarray]


class Monitor:
    """Writes scalars and pictures of a training into its model folder.

    Each method raises UserError if the folder cannot be written.
    """

    def __init__(self, config: Config, stylize: Stylize, folder: Path, styles: Mapping[str, Style]):
        """stylize: as Trainer.stylize. styles: paintings, (S, S, 3) uint8, or statistics."""
        self._stylized = stylize
        self.styles = list(styles)
        self.batch_size = config.batch_size
        self.previews_folder = folder / PREVIEWS
        make_folder(self.previews_folder)
        self.previews = {
            f"{Path(name).stem}-{size}": fit_within(read_picture(config.paths[name]), size).rgb
            for name in config.preview_images
            for size in PREVIEW_SIZES
        }
        for name in self.previews:
            for style in self.styles:
                check_picture_target(self._preview_file(name, style, 0))
        self.logs = folder / LOGS
        self.last: tuple[int, float] | None = None
        with self._writing():
            self.writer = tf.summary.create_file_writer(str(self.logs))
        with self._writing(), self.writer.as_default(step=0):
            for name, kept in styles.items():
                if isinstance(kept, list):
                    tf.summary.image(f"style image/{name}", np.stack(kept), max_outputs=len(kept))

    def scalars(self, step: int, terms: dict[str, float]) -> None:
        """Writes the terms of PerceptualLoss, the rates, and images/s since the last call."""
        now = time.perf_counter()
        with self._writing(), self.writer.as_default(step=step):
            named = named_terms(terms)
            for name, value in terms.items():
                tag = f"loss/{name}" if name in named else name
                tf.summary.scalar(re.sub("^style/", "style_layers/", tag), value)
            if self.last:
                steps, seconds = step - self.last[0], now - self.last[1]
                tf.summary.scalar("images_per_second", steps * self.batch_size / seconds)
        self.last = (step, now)

    def pictures(self, step: int, content: np.ndarray) -> None:
        """Writes the step's content images beside the stylized ones, and the previews."""
        for number in range(len(self.styles)):
            self._pictures(step, content, number)
        with self._writing():
            self.writer.flush()

    def _pictures(self, step: int, content: np.ndarray, style: int) -> None:
        suffix = self._suffix(self.styles[style])
        pairs = np.concatenate([content, self._stylize(content, style)], axis=2)
        previews = {name: self._stylize(rgb[None], style) for name, rgb in self.previews.items()}
        with self._writing(), self.writer.as_default(step=step):
            tf.summary.image(f"content and stylized{suffix}", pairs)
            for name, preview in previews.items():
                tf.summary.image(f"preview/{name}{suffix}", preview)
        for name, preview in previews.items():
            path = self._preview_file(name, self.styles[style], step)
            write_picture(path, Picture(preview[0]))

    def _suffix(self, style: str) -> str:
        return f"-{style}" if len(self.styles) > 1 else ""

    def _preview_file(self, name: str, style: str, step: int) -> Path:
        return self.previews_folder / f"{name}{self._suffix(style)}-step-{step:06d}.jpg"

    def validation(self, step: int, terms: dict[str, float] | None) -> None:
        """Writes what HeldOut.mean_terms returns."""
        with self._writing(), self.writer.as_default(step=step):
            for name, value in (terms or {}).items():
                tf.summary.scalar(f"validation/{name}", value)

    def close(self) -> None:
        with self._writing():
            self.writer.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except tf.errors.OpError as error:
            raise UserError(f"{self.logs}: cannot be written: {error.message}") from error

    def _stylize(self, rgb: np.ndarray, style: int) -> np.ndarray:
        return to_uint8(self._stylized(rgb, style))
