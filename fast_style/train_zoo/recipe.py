"""Train many styles on one accelerator: all together in one network, then each in its own.

Networks, objective, optimizers and confs are those of `python train.py`, whose TensorFlow loop
resumes to the bit and reads pictures as it goes. Here the photos are decoded once and stay on the
accelerator, where random squares are cut from them, and one compiled step serves all styles. An
NVIDIA H200 took 646 pictures of 256 pixels a second (batch 16, wide network, 19 styles).
Crops and rounding differ from train.py's, so that the weights do too.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"

import datetime
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import metadata
from pathlib import Path

import jax
import jax.numpy as jnp
import keras
import numpy as np
from tqdm import tqdm

from fast_style.conf.config import Config
from fast_style.errors import UserError
from fast_style.files import make_folder
from fast_style.hardware import describe_cpu
from fast_style.loss.losses import TERMS
from fast_style.loss.perceptual_loss import PerceptualLoss
from fast_style.loss.style_statistics import STYLE, SUFFIX, read_style, write_style_statistics
from fast_style.model_folder.layout import find_model_folder
from fast_style.model_folder.model import Model, read_model, write_model, write_result
from fast_style.model_folder.variables import assign_variables, variables_as_arrays
from fast_style.network.architecture import architecture_of
from fast_style.network.layers import default_dtype
from fast_style.network.style_mix import mixed, name_in_style, stacked
from fast_style.network.styled_network import StyledNetwork
from fast_style.network.transformer_network import build_transformer_network
from fast_style.pictures.images import read_picture
from fast_style.pictures.pixels import square
from fast_style.training.provenance import hashes
from fast_style.training.schedule import learning_rate, style_ramp
from fast_style.training.soap import Soap

POLICY = "mixed_bfloat16"
OPTIMIZERS = {"adam": keras.optimizers.Adam, "soap": partial(Soap, basis_every=40)}
LARGEST_VIEW = 1.5  # of the side of a training square: views of photos from 1 to 1.5 times that
OBJECTIVE_KEYS = (
    "loss_model",
    "loss_model_file",
    "pooling",
    "content_layers",
    "style_layers",
    "style_scales",
    "style_border",
    "style_statistics",
    "style_normalization",
    "content_normalization",
    "network",
    "output",
    "optimizer",
)
WEIGHTED = tuple(term for term in TERMS if not term.moves)


def read_photos(files: Sequence[Path], image_size: int) -> jax.Array:
    """Their centre squares, (N, S, S, 3) uint8 RGB, S = 1.5 * image_size, on the accelerator."""
    side = round(LARGEST_VIEW * image_size)
    with ThreadPoolExecutor() as pool:
        squares = pool.map(lambda file: square(read_picture(file).rgb, side), files)
        return jnp.asarray(np.stack(list(tqdm(squares, "photos", len(files)))))


class Trainer:
    """A network of one or several styles, and the compiled step that trains it."""

    def __init__(self, config: Config, objective: PerceptualLoss, weights: np.ndarray, styles: int):
        """objective: with the statistics of all styles; weights: (all styles, terms) of WEIGHTED.

        styles: how many the network has: all of the objective's, or one, whichever is asked for.
        """
        self.objective, self.weights = objective, weights
        keras.utils.set_random_seed(config.seed)
        with default_dtype(POLICY):
            network = build_transformer_network(architecture_of(config.network, config.output))
        self.network = StyledNetwork(network, styles)
        self.optimizer = OPTIMIZERS[config.optimizer](config.learning_rate, name=config.optimizer)
        self.optimizer.build(self.network.variables)
        self._fresh = [np.asarray(variable.value) for variable in self.optimizer.variables]
        self._step = jax.jit(
            self._one_step, static_argnames=("side", "flip"), donate_argnames=("variables", "state")
        )

    def begin_from(self, model: Model, names: Sequence[str]) -> None:
        """Take a model's weights: of several styles those of our names, or else their mean."""
        arrays = [model.in_style_like(name).arrays for name in names]
        assign_variables("network", self.network.variables, stacked(arrays), model.source)

    def train(
        self,
        config: Config,
        photos: jax.Array,
        styles: Sequence[int],
        record: Callable[[int, dict[str, float]], None] = lambda step, terms: None,
    ) -> dict[str, float]:
        """Take the conf's steps from the network's present weights; the terms of the last one.

        styles: the objective's numbers of those that the pictures take in turn.
        """
        steps = config.steps
        if steps is None:
            raise UserError(f"steps: null for {config.naming}; give a number")
        variables = [jnp.array(variable.value) for variable in self.network.variables]
        state = [jnp.array(value) for value in self._fresh]
        key = jax.random.key(config.seed)
        for step in tqdm(range(steps), config.naming, mininterval=5, unit=" steps"):
            turns = np.arange(step * config.batch_size, (step + 1) * config.batch_size)
            variables, state, terms = self._step(
                variables,
                state,
                photos,
                np.asarray(styles, np.int32)[turns % len(styles)],
                np.float32(learning_rate(config, step, steps)),
                np.float32(style_ramp(config, step, steps)),
                jax.random.fold_in(key, step),
                side=config.image_size,
                flip=config.flip,
            )
            if step % 100 == 0 or step == steps - 1:
                last = {name: float(term) for name, term in terms.items()}
                record(step, last)
        for variable, value in zip(self.network.variables, variables, strict=True):
            variable.assign(value)
        return last

    def _one_step(self, variables, state, photos, styles, rate, ramp, key, side, flip):
        pictures = random_views(photos, len(styles), side, flip, key)

        def loss(variables):
            of_each = jax.vmap(lambda picture, style: self._terms(variables, picture, style, ramp))
            terms = jax.tree.map(jnp.mean, of_each(pictures, styles))
            return terms["total"], terms

        (_, terms), gradients = jax.value_and_grad(loss, has_aux=True)(variables)
        state = [
            rate if variable.name == "learning_rate" else value
            for variable, value in zip(self.optimizer.variables, state, strict=True)
        ]
        variables, state = self.optimizer.stateless_apply(state, gradients, variables)
        return variables, state, terms

    def _terms(self, variables, picture, style, ramp):
        picture = picture[None]
        pairs = zip(self.network.variables, variables, strict=True)
        with keras.StatelessScope(state_mapping=list(pairs)):
            stylized = self.network(picture, style, training=True)
        targets = self.objective.content_targets(picture)
        found = self.objective(stylized, targets, style=style)
        terms = {term.name: found[term.name] for term in WEIGHTED if term.name in found}
        weights = zip(WEIGHTED, jnp.asarray(self.weights)[style], strict=True)
        terms["total"] = sum(
            weight * (ramp if term.of_style else 1) * terms[term.name]
            for term, weight in weights
            if term.name in terms
        )
        return terms


def random_views(photos, count: int, side: int, flip: bool, key):
    """(count, side, side, 3) float32 RGB 0..255: random squares, each of a random zoom."""
    which, zoom, place, mirror = jax.random.split(key, 4)
    whole = photos.shape[1]
    chosen = photos[jax.random.randint(which, (count,), 0, len(photos))]
    viewed = jax.random.uniform(zoom, (count,), minval=side, maxval=whole)
    corner = jax.random.uniform(place, (count, 2)) * (whole - viewed)[:, None]
    if flip:
        mirrored = jax.random.bernoulli(mirror, shape=(count, 1, 1, 1))
        chosen = jnp.where(mirrored, chosen[:, :, ::-1], chosen)
    scale = side / viewed

    def view(photo, scale, corner):
        return jax.image.scale_and_translate(
            photo.astype(jnp.float32),
            (side, side, 3),
            (0, 1),
            jnp.stack([scale, scale]),
            -corner * scale,
            "linear",
        )

    return jnp.clip(jax.vmap(view)(chosen, scale, corner), 0, 255)


def term_weights(configs: Sequence[Config]) -> np.ndarray:
    """(confs, terms) float32: the conf's weight of each of WEIGHTED."""
    return np.array(
        [[getattr(config, term.weight) for term in WEIGHTED] for config in configs], np.float32
    )


def train_zoo(zoo: Config, alone: Sequence[Config], photos: Sequence[Path]) -> Iterator[Path]:
    """Train the zoo's network, then each single style from it; give the model folders one by one.

    The terms of a style have the weights of its own conf in the zoo's network too.
    Raises UserError where a conf is not of a style of the zoo, or asks for another objective.
    """
    names = list(zoo.named_style_images)
    for config in alone:
        _check_belongs(config, zoo, names)
    own = {config.naming: config for config in alone}
    configs = [own.get(name, zoo) for name in names]
    styles = [read_style(zoo.of_style(name)) for name in names]
    objective = PerceptualLoss(zoo, styles, POLICY)
    squares = read_photos(photos, max(config.image_size for config in configs))
    together = Trainer(zoo, objective, term_weights(configs), len(names))
    if zoo.init_from is not None:
        together.begin_from(read_model(find_model_folder(zoo.init_from)), names)
    yield _trained(together, zoo, squares, range(len(names)))
    arrays = variables_as_arrays("network", together.network.variables)
    one = Trainer(zoo, objective, term_weights(configs), 1)
    for config in alone:
        number = names.index(config.naming)
        single = mixed(arrays, np.eye(len(names))[number])
        assign_variables("network", one.network.variables, single, zoo.model_folder)
        yield _trained(one, config, squares, [number])


def _trained(trainer: Trainer, config: Config, squares, numbers: Sequence[int]) -> Path:
    started = time.perf_counter()
    last = trainer.train(config, squares, numbers)
    folder = config.model_folder
    make_folder(folder)
    write_model(folder, config, trainer.network)
    several = len(numbers) > 1
    for number, name in zip(numbers, config.named_style_images, strict=True):
        statistics = trainer.objective.statistics(number)
        stem = name_in_style(STYLE, name if several else None)
        write_style_statistics(folder / f"{stem}{SUFFIX}", statistics)
    result = {
        "steps": config.steps,
        "seconds": round(time.perf_counter() - started, 1),
        "precision": "bfloat16",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "hardware": f"{jax.devices()[0].device_kind}, {describe_cpu()}",
        "versions": {name: metadata.version(name) for name in ("jax", "keras")},
        **hashes(config),
        "broken_pictures": 0,
        "last_step": last,
        "validation_before": None,
        "validation_after": None,
    }
    write_result(folder, result)
    return folder


def _check_belongs(config: Config, zoo: Config, names: Sequence[str]) -> None:
    if config.naming not in names:
        raise UserError(f"naming: {config.naming} is no style of {zoo.naming}: {', '.join(names)}")
    for key in OBJECTIVE_KEYS:
        here, there = getattr(config, key), getattr(zoo, key)
        if here != there:
            raise UserError(f"{key}: is {here} for {config.naming} and {there} for {zoo.naming}")
