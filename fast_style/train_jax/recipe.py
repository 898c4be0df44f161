"""Train networks on one accelerator: one for any style, and single styles that begin from it.

Networks, objective, optimizers and confs are those of `python train.py`, whose TensorFlow loop
resumes to the bit and reads pictures as it goes. Here pictures are decoded once and stay on the
accelerator, where random views are cut from them, every picture of a batch has its own style image,
and one compiled step serves all confs that differ in weights and style images alone. Views and
rounding differ from train.py's, so that the weights do too.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"

import datetime
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

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
    Style,
    image_sha256,
    read_style,
    statistics_file,
    write_style_statistics,
)
from fast_style.model_folder.layout import find_model_folder
from fast_style.model_folder.model import (
    load_initial_weights,
    load_teacher,
    write_model,
    write_result,
)
from fast_style.model_folder.npz import LARGEST_WEIGHT
from fast_style.network.any_style_network import AnyStyleNetwork
from fast_style.network.architecture import architecture_of
from fast_style.network.layers import default_dtype
from fast_style.network.styled_network import StyledNetwork
from fast_style.network.transformer_network import build_transformer_network
from fast_style.train_jax.views import (
    Squares,
    moved_view,
    random_views,
    read_squares,
    with_other_colours,
)
from fast_style.training.provenance import hashes
from fast_style.training.schedule import learning_rate, style_ramp
from fast_style.training.soap import Soap
from fast_style.training.teacher_colours import PICTURES, match_colours

POLICY = "mixed_bfloat16"
PHOTO_SIDE, PAINTING_SIDE = 1.25, 2.0  # of the squares that are kept, in image_sizes
SEEN = 64  # style images that centre and scale the input of a predictor
# Confs that are equal in these share a compiled step.
COMPILED_KEYS = (
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
    "image_size",
    "batch_size",
    "flip",
    "dataset",
    "style_dataset",
    "teacher",
)


class SoapWithRareBases(Soap):
    """Soap for accelerators, which compute bases slowly."""

    basis_every = 40


OPTIMIZERS = {"adam": keras.optimizers.Adam, "soap": SoapWithRareBases}


class Trainer:
    """The compiled step of confs that are equal in COMPILED_KEYS, and the network that it trains.

    styles: those of all confs, whose numbers `train` takes.
    """

    def __init__(self, configs: Sequence[Config], styles: Sequence[Style]):
        # A term is computed if any of the confs weighs it.
        weights = {term.weight: max(getattr(c, term.weight) for c in configs) for term in TERMS}
        self.config = config = replace(configs[0], **weights)
        self.objective = PerceptualLoss(config, styles, POLICY)
        self.photos = read_squares(config.dataset, round(PHOTO_SIDE * config.image_size))
        self.paintings: Squares | None = None
        if config.style_dataset is not None:
            side = round(PAINTING_SIDE * config.image_size)
            self.paintings = read_squares(config.style_dataset, side)
        keras.utils.set_random_seed(config.seed)
        with default_dtype(POLICY):
            network = build_transformer_network(architecture_of(config.network, config.output))
        self.teacher = load_teacher(config, POLICY)
        self.network: Any = StyledNetwork(network, 1)
        if self.paintings is not None:
            images = self._style_images(self.paintings, jax.random.key(config.seed), SEEN)
            found = jax.jit(jax.vmap(self.objective.style_targets))(images[:, None])
            seen = [jax.tree.map(lambda each, n=n: each[n], found) for n in range(SEEN)]
            self.network = AnyStyleNetwork(network, seen, config.seed)
        self.optimizer = OPTIMIZERS[config.optimizer](config.learning_rate, name=config.optimizer)
        self.optimizer.build(self.network.variables)
        self._fresh = [np.asarray(variable.value) for variable in self.optimizer.variables]
        self._step = jax.jit(self._one_step, donate_argnames=("variables", "state"))

    def train(self, config: Config, style: int) -> dict[str, float]:
        """Takes the conf's steps from the network's present weights; returns the last one's terms.

        style: its number; of no effect with a style_dataset. Raises UserError if the objective is
        not finite, or if a weight is larger than a model's may be.
        """
        steps = config.steps
        assert steps is not None  # as `train` has checked
        variables = [jnp.array(variable.value) for variable in self.network.variables]
        state = [jnp.array(value) for value in self._fresh]
        weights = np.array([getattr(config, term.weight) for term in TERMS], np.float32)
        key = jax.random.key(config.seed)
        for step in tqdm(range(steps), config.naming, mininterval=5, unit=" steps"):
            of_style = [term.of_style for term in TERMS]
            ramp = np.where(of_style, style_ramp(config, step, steps), 1).astype(np.float32)
            variables, state, terms = self._step(
                variables,
                state,
                (self.photos, self.paintings),
                np.int32(style),
                weights * ramp,
                np.float32(learning_rate(config, step, steps)),
                jax.random.fold_in(key, step),
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

    def _style_images(self, paintings: Squares, key, count: int):
        """Returns (count, S, S, 3) float32 RGB 0..255."""
        of_views, of_colours = jax.random.split(key)
        views = random_views(paintings, count, self.config.image_size, True, of_views)
        return with_other_colours(views, jax.random.split(of_colours, count))

    def _one_step(self, variables, state, squares, style, weights, rate, key):
        photos, paintings = squares
        config, count = self.config, self.config.batch_size
        of_views, of_styles, key = jax.random.split(key, 3)
        pictures = random_views(photos, count, config.image_size, config.flip, of_views)
        styles = jnp.full(count, style)
        if paintings is not None:
            styles = self._style_images(paintings, of_styles, count)[:, None]

        def loss(variables):
            of_each = jax.vmap(partial(self._terms, variables, weights))
            terms = of_each(pictures[:, None], styles, jax.random.split(key, count))
            terms = jax.tree.map(jnp.mean, terms)
            return terms["total"], terms

        (_, terms), gradients = jax.value_and_grad(loss, has_aux=True)(variables)
        state = [
            rate if variable.name == "learning_rate" else value
            for variable, value in zip(self.optimizer.variables, state, strict=True)
        ]
        variables, state = self.optimizer.stateless_apply(state, gradients, variables)
        return variables, state, terms

    def _terms(self, variables, weights, picture, style, key):
        """Returns the terms of a (1, S, S, 3) picture. style: a number or a (1, S, S, 3) image."""
        objective = self.objective
        targets = objective.content_targets(picture)
        style_targets = objective.style_targets(style)
        of_network = style_targets if self.paintings is not None else 0
        moved = None
        pairs = zip(self.network.variables, variables, strict=True)
        with keras.StatelessScope(state_mapping=list(pairs)):
            stylized = self.network(picture, of_network, training=True)
            if self.config.temporal_weight:
                part, shift = moved_view(picture, key)
                moved = self.network(part, of_network, training=True), shift
        taught = None if self.teacher is None else self.teacher(picture)
        found = objective(stylized, targets, style_targets, moved=moved, taught=taught)
        terms = {term.name: found[term.name] for term in objective.terms}
        named = zip(TERMS, weights, strict=True)
        terms["total"] = sum(w * terms[term.name] for term, w in named if term.name in terms)
        return terms


def train(configs: Sequence[Config]) -> Iterator[Path]:
    """Trains each conf, and yields its model folder.

    Raises UserError if a conf has several styles, no steps or precision: float32, if a model folder
    exists already, and if a training diverges.
    """
    for config in configs:
        if config.steps is None:
            raise UserError(f"steps: null for {config.naming}; give a number")
        if config.precision == "float32":
            raise UserError(f"precision: float32 for {config.naming}; train_jax takes bfloat16")
        if config.style_dataset is None and config.style_images is not None:
            raise UserError(f"style_images: {config.naming} has several; train it with train.py")
        if config.model_folder.exists():
            raise UserError(
                f"{config.model_folder}: exists already; remove it, or set another model_path"
            )
    for _, alike in itertools.groupby(configs, lambda c: [getattr(c, k) for k in COMPILED_KEYS]):
        group = list(alike)
        styles = {
            (config.naming, name): read_style(config.of_style(name))
            for config in group
            for name in config.named_style_images
        }
        trainer = Trainer(group, list(styles.values()))
        for config in group:
            own = {
                name: (number, style)
                for number, ((naming, name), style) in enumerate(styles.items())
                if naming == config.naming
            }
            yield _trained(trainer, config, own)


def _trained(trainer: Trainer, config: Config, styles: dict[str, tuple[int, Style]]) -> Path:
    """styles: the numbers and style images of this conf, by name."""
    started, of_files = time.perf_counter(), hashes(config)
    several = config.style_images is not None
    statistics = {
        name: trainer.objective.statistics(
            number, style_image_sha256=image_sha256(style, of_files["style_image_sha256"][name])
        )
        for name, (number, style) in styles.items()
    }
    if config.init_from is not None:
        of_each = {name: of.arrays for name, of in statistics.items()}
        folder = find_model_folder(config.init_from)
        load_initial_weights(trainer.network, config.network, of_each, folder)
    numbers = [number for number, _ in styles.values()]
    last = trainer.train(config, numbers[0] if numbers else 0)
    if trainer.teacher is not None:
        views = random_views(
            *(trainer.photos, PICTURES, config.image_size, config.flip),
            jax.random.key(config.seed),
        )
        match_colours(trainer.network, trainer.teacher, views[:, None], config.output)
    folder = config.model_folder
    make_folder(folder)
    write_model(folder, config, trainer.network)
    for name, of_style in statistics.items():
        write_style_statistics(folder / statistics_file(name if several else None), of_style)
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


def _diverged(config: Config, problem: str) -> UserError:
    return UserError(f"{config.model_folder}: {problem}; try a lower learning_rate or style_weight")
