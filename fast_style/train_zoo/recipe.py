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
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
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
from fast_style.loss.style_statistics import (
    STYLE,
    SUFFIX,
    Style,
    image_sha256,
    read_style,
    write_style_statistics,
)
from fast_style.model_folder.layout import find_model_folder
from fast_style.model_folder.model import load_initial_weights, write_model, write_result
from fast_style.model_folder.npz import LARGEST_WEIGHT
from fast_style.model_folder.variables import assign_variables, variables_as_arrays
from fast_style.network.architecture import architecture_of
from fast_style.network.layers import default_dtype
from fast_style.network.style_mix import mixed, name_in_style
from fast_style.network.styled_network import StyledNetwork
from fast_style.network.transformer_network import build_transformer_network
from fast_style.pictures.images import flatten_on_white, read_picture
from fast_style.pictures.pixels import square
from fast_style.pictures.style_image import style_image_sha256
from fast_style.pictures.training_pictures.content_images import MOST_SHIFT, VIEW_NOISE
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


def read_photos(files: Sequence[Path], image_size: int) -> jax.Array:
    """Their centre squares, (N, S, S, 3) uint8 RGB, S = 1.5 * image_size, on the accelerator."""
    side = round(LARGEST_VIEW * image_size)
    with ThreadPoolExecutor() as pool:
        squares = pool.map(lambda file: square(flatten_on_white(read_picture(file)), side), files)
        return jnp.asarray(np.stack(list(tqdm(squares, "photos", len(files)))))


class Trainer:
    """A network of one or several styles, and the compiled step that trains it."""

    def __init__(self, config: Config, objective: PerceptualLoss, weights: np.ndarray, styles: int):
        """objective: with the statistics of all styles; weights: (all styles, terms) of TERMS.

        styles: how many the network has: all of the objective's, or one, whichever is asked for.
        """
        self.objective, self.weights = objective, weights
        self.moves = bool(weights[:, [term.moves for term in TERMS]].any())
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

    def train(self, config: Config, photos: jax.Array, styles: Sequence[int]) -> dict[str, float]:
        """Take the conf's steps from the network's present weights; the terms of the last one.

        styles: the objective's numbers of those that the pictures take in turn. Raises UserError
        where the objective is not finite, or a weight is larger than a model's may be.
        """
        steps = config.steps
        assert steps is not None  # as _check_trainable has seen
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
                if not np.isfinite(last["total"]):
                    raise _diverged(config, f"the objective at step {step} is not finite")
        for variable, value in zip(self.network.variables, variables, strict=True):
            if not (np.abs(np.asarray(value)) <= LARGEST_WEIGHT).all():
                raise _diverged(config, f"{variable.path} has grown beyond {LARGEST_WEIGHT:g}")
            variable.assign(value)
        return last

    def _one_step(self, variables, state, photos, styles, rate, ramp, key, side, flip):
        of_views, key = jax.random.split(key)
        pictures = random_views(photos, len(styles), side, flip, of_views)

        def loss(variables):
            of_each = jax.vmap(partial(self._terms, variables, ramp))
            keys = jax.random.split(key, len(styles))
            terms = jax.tree.map(jnp.mean, of_each(pictures, styles, keys))
            return terms["total"], terms

        (_, terms), gradients = jax.value_and_grad(loss, has_aux=True)(variables)
        state = [
            rate if variable.name == "learning_rate" else value
            for variable, value in zip(self.optimizer.variables, state, strict=True)
        ]
        variables, state = self.optimizer.stateless_apply(state, gradients, variables)
        return variables, state, terms

    def _terms(self, variables, ramp, picture, style, key):
        picture = picture[None]
        moved = None
        pairs = zip(self.network.variables, variables, strict=True)
        with keras.StatelessScope(state_mapping=list(pairs)):
            stylized = self.network(picture, style, training=True)
            if self.moves:
                part, shift = moved_view(picture, key)
                moved = self.network(part, style, training=True), shift
        targets = self.objective.content_targets(picture)
        found = self.objective(stylized, targets, style=style, moved=moved)
        terms = {term.name: found[term.name] for term in TERMS if term.name in found}
        weights = zip(TERMS, jnp.asarray(self.weights)[style], strict=True)
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


def moved_view(pictures, key):
    """Their part, (N, H - 4, W - 4, 3), with noise, and its (2,) shift: as ContentImages has it."""
    of_shift, of_noise = jax.random.split(key)
    shift = jax.random.randint(of_shift, (2,), 0, MOST_SHIFT + 1)
    count, height, width, colours = pictures.shape
    sizes = (count, height - MOST_SHIFT, width - MOST_SHIFT, colours)
    part = jax.lax.dynamic_slice(pictures, (0, *shift, 0), sizes)
    noise = VIEW_NOISE * jax.random.normal(of_noise, sizes)
    return jnp.clip(part + noise, 0, 255), shift


def term_weights(configs: Sequence[Config]) -> np.ndarray:
    """(confs, terms) float32: the conf's weight of each of TERMS."""
    return np.array(
        [[getattr(config, term.weight) for term in TERMS] for config in configs], np.float32
    )


def train_zoo(zoo: Config, alone: Sequence[Config], photos: Sequence[Path]) -> Iterator[Path]:
    """Train the zoo's network, then each single style from it; give the model folders one by one.

    The terms of a style have the weights of its own conf in the zoo's network too, and its style
    image has the size, the part and the median of that conf.
    Raises UserError where a conf is not of a style of the zoo, asks for another objective, or for
    what is not done here, where a model folder exists already, and where a training diverges.
    """
    names = list(zoo.named_style_images)
    if len(names) < 2:
        raise UserError(f"style_images: {zoo.naming} has one style; train it with train.py")
    for name, count in Counter(config.naming for config in alone).items():
        if count > 1:
            raise UserError(f"naming: {count} confs are called {name}")
    for config in (zoo, *alone):
        _check_trainable(config)
        if config.model_folder.exists():
            raise UserError(
                f"{config.model_folder}: exists already; remove it, or set another model_path"
            )
    for config in alone:
        _check_belongs(config, zoo, names)
    alone = [replace(config, init_from=str(zoo.model_folder)) for config in alone]
    own = {config.naming: config for config in alone}
    configs = [own.get(name, zoo) for name in names]
    styles = [read_style(own.get(name, zoo.of_style(name))) for name in names]
    weights = term_weights(configs)
    # A term is computed where the conf of any style weighs it.
    largest = dict(zip((term.weight for term in TERMS), weights.max(axis=0).tolist(), strict=True))
    objective = PerceptualLoss(replace(zoo, **largest), styles, POLICY)
    squares = read_photos(photos, max(config.image_size for config in configs))
    together = Trainer(zoo, objective, weights, len(names))
    if zoo.init_from is not None:
        folder = find_model_folder(zoo.init_from)
        load_initial_weights(together.network.variables, zoo.network, names, folder)
    yield _trained(together, zoo, squares, dict(enumerate(styles)))
    arrays = variables_as_arrays("network", together.network.variables)
    one = Trainer(zoo, objective, weights, 1)
    for config in alone:
        number = names.index(config.naming)
        single = mixed(arrays, np.eye(len(names))[number])
        assign_variables("network", one.network.variables, single, zoo.model_folder)
        yield _trained(one, config, squares, {number: styles[number]})


def _trained(trainer: Trainer, config: Config, squares, styles: dict[int, Style]) -> Path:
    started, of_files = time.perf_counter(), hashes(config)
    last = trainer.train(config, squares, list(styles))
    folder = config.model_folder
    make_folder(folder)
    write_model(folder, config, trainer.network)
    several = len(styles) > 1
    for (number, style), name in zip(styles.items(), config.named_style_images, strict=True):
        sha256 = image_sha256(style, of_files["style_image_sha256"][name])
        statistics = trainer.objective.statistics(number, style_image_sha256=sha256)
        stem = name_in_style(STYLE, name if several else None)
        write_style_statistics(folder / f"{stem}{SUFFIX}", statistics)
    result = {
        "steps": config.steps,
        "seconds": round(time.perf_counter() - started, 1),
        "precision": "bfloat16",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "hardware": f"{jax.devices()[0].device_kind}, {describe_cpu()}",
        "versions": {name: metadata.version(name) for name in ("jax", "keras")},
        **of_files,
        "broken_pictures": 0,
        "last_step": last,
        "validation_before": None,
        "validation_after": None,
    }
    write_result(folder, result)
    return folder


def _check_trainable(config: Config) -> None:
    if config.steps is None:
        raise UserError(f"steps: null for {config.naming}; give a number")


def _diverged(config: Config, problem: str) -> UserError:
    return UserError(f"{config.model_folder}: {problem}; try a lower learning_rate or style_weight")


def _check_belongs(config: Config, zoo: Config, names: Sequence[str]) -> None:
    if config.naming not in names:
        raise UserError(f"naming: {config.naming} is no style of {zoo.naming}: {', '.join(names)}")
    if style_image_sha256(config) != style_image_sha256(zoo.of_style(config.naming)):
        raise UserError(f"style_image: {zoo.naming} has another one for {config.naming}")
    for key in OBJECTIVE_KEYS:
        here, there = getattr(config, key), getattr(zoo, key)
        if here != there:
            raise UserError(f"{key}: is {here} for {config.naming} and {there} for {zoo.naming}")
