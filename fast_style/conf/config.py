"""The keys of a conf file. One conf describes one style; keys that it leaves out have a default.

The keys from `style_image` to `loss_model_file` are those of the TF1 program that this project
descends from, and mean what they meant there.
"""

import dataclasses
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from fast_style.conf.locations import locate, locate_weights, looked_in
from fast_style.conf.names import check_name
from fast_style.conf.vgg_layers import convolutions, feature_name, pixels_between
from fast_style.errors import UserError, nearest

LayerWeights = list[str] | dict[str, float]
ScaledLayerWeights = list[str] | dict[str, float | list[float]]
StyleImage = str | list[str]  # several paintings: one style of them all
StyleImages = list[str] | dict[str, StyleImage]


IMAGENET = "imagenet"
"""As loss_model_file: the weights that Keras publishes."""


def _number(default: float | None = dataclasses.MISSING, **limits: float) -> Any:  # type: ignore[assignment]
    return field(default=default, metadata=limits)


@dataclass(frozen=True, kw_only=True)
class Config:
    """One style, resolved from a conf file; conf/built_in.yml and conf/gatys explain every key."""

    style_image: StyleImage | None = None
    style_images: StyleImages | None = None
    artwork: str = ""
    naming: str
    model_path: str = "models"

    content_weight: float = _number(1.0, at_least=0)
    style_weight: float = _number(100.0, at_least=0)
    tv_weight: float = _number(0.0, at_least=0)

    image_size: int = _number(256, at_least=32)
    batch_size: int = _number(4, at_least=1)
    epoch: int = _number(2, at_least=1)

    loss_model: Literal["vgg_16", "vgg_19", "vgg_16_half"] = "vgg_16"
    content_layers: LayerWeights = field(default_factory=lambda: ["conv3_3"])
    style_layers: ScaledLayerWeights = field(
        default_factory=lambda: ["conv1_2", "conv2_2", "conv3_3", "conv4_3"]
    )
    checkpoint_exclude_scopes: str = ""
    loss_model_file: str = IMAGENET  # where it is not given, that of OWN_FILES

    pooling: Literal["max", "avg"] = "max"
    style_statistics: Literal["gram", "mean_covariance"] = "gram"
    content_normalization: Literal["published", "relative", "half_sum", "quarter_mean"] = (
        "published"
    )
    style_normalization: Literal["published", "relative", "gatys"] = "published"
    style_image_sha256: str | dict[str, str] | None = None
    style_image_size: int | None = _number(None, at_least=32)
    style_image_median: int = _number(1, at_least=1, at_most=15)
    style_scales: int = _number(1, at_least=1, at_most=4)
    style_border: int = _number(0, at_least=0)
    patch_weight: float = _number(0.0, at_least=0)
    palette_weight: float = _number(0.0, at_least=0)
    range_weight: float = _number(0.0, at_least=0)
    grid_weight: float = _number(0.0, at_least=0)
    temporal_weight: float = _number(0.0, at_least=0)
    network: Literal["paper", "wide"] = "paper"
    output: Literal["tanh", "scaled_tanh", "linear"] = "tanh"

    dataset: str = "coco/2014"
    data_dir: str | None = None
    data_service: str | None = None
    crop: Literal["centre", "random"] = "centre"
    flip: bool = False

    init_from: str | None = None
    steps: int | None = _number(None, at_least=1)
    optimizer: Literal["adam", "soap"] = "adam"
    learning_rate: float = _number(1e-3, above=0)
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: int = _number(0, at_least=0)
    style_ramp: float = _number(0.0, at_least=0, at_most=1)
    seed: int = _number(0, at_least=0, at_most=2**31 - 1)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    distribute: Literal["none", "mirrored", "multi_worker"] = "none"

    preview_images: list[str] = field(default_factory=lambda: ["img/sample.jpg"])
    validation_images: str | None = None
    log_every: int = _number(10, at_least=1)
    preview_every: int = _number(500, at_least=1)
    checkpoint_every: int = _number(500, at_least=1)
    keep_checkpoints: int = _number(3, at_least=1)

    pixel_optimizer: Literal["lbfgs", "adam"] = "lbfgs"
    iterations: int = _number(200, at_least=1)
    pixel_learning_rate: float = _number(8.0, above=0)
    noise_ratio: float = _number(0.0, at_least=0, at_most=1)
    noise_amplitude: float = _number(20.0, at_least=0)
    canvas: int | str | None = None
    scales: list[int] = field(default_factory=list)

    @property
    def model_folder(self) -> Path:
        return Path(self.model_path) / self.naming

    @property
    def named_style_images(self) -> dict[str, StyleImage]:
        """Name to file, folder, URL or list of those, in the order of the network's styles.

        A single style has the conf's `naming`.
        """
        if self.style_images is None:
            return {self.naming: self.style_image or ""}
        return named_images(self.style_images)

    @functools.cached_property
    def paths(self) -> dict[str, Path]:
        """Where the files and folders are that the conf names, by their names in it; no URLs.

        A saved conf has the names, which hold on other machines too.
        """
        names = [*self.preview_images, *filter(None, [self.validation_images])]
        for images in self.named_style_images.values():
            names += [images] if isinstance(images, str) else images
        paths = {name: locate(name) for name in names if not is_url(name)}
        if self.loss_model_file != IMAGENET:
            paths[self.loss_model_file] = locate_weights(self.loss_model_file)
        return paths

    @property
    def loss_weights(self) -> str:
        """`imagenet`, or the path of the file that `loss_model_file` names."""
        return str(self.paths.get(self.loss_model_file, IMAGENET))

    @functools.cached_property
    def content_layer_weights(self) -> dict[str, float]:
        """Canonical layer name, such as relu3_3, to its weight in the content term.

        Raises UserError where a layer is unknown.
        """
        weights = _scaled_layer_weights(self.content_layers, self.loss_model, scales=1)
        return {name: weight for name, (weight,) in weights.items()}

    @functools.cached_property
    def style_layer_weights(self) -> dict[str, list[float]]:
        """Canonical layer name to a weight for each of the style's scales, the full size first.

        A single number in the conf is the weight at every scale. Raises UserError where a layer is
        unknown, or a list does not have one number for each scale.
        """
        return _scaled_layer_weights(self.style_layers, self.loss_model, self.style_scales)

    def of_style(self, name: str) -> "Config":
        """This conf with one of its styles alone."""
        if self.style_images is None:
            return self
        hashes = self.style_image_sha256
        return dataclasses.replace(
            self,
            style_image=self.named_style_images[name],
            style_images=None,
            style_image_sha256=hashes.get(name) if isinstance(hashes, dict) else hashes,
        )


# The weights of each loss network where a conf names no file.
OWN_FILES = {
    "vgg_16": IMAGENET,
    "vgg_19": IMAGENET,
    "vgg_16_half": "pretrained/vgg_16_half.npz",
}

# Keys that name files, which may be in the folder of the conf.
FILE_KEYS = frozenset({"style_image", "style_images", "preview_images"})

# Keys of the optimization of one picture's pixels, which a training does not read.
PAINTING_KEYS = frozenset(
    {
        "pixel_optimizer",
        "iterations",
        "pixel_learning_rate",
        "noise_ratio",
        "noise_amplitude",
        "canvas",
        "scales",
    }
)

# Keys that change what is written about a training and where it runs, but not the weights that it
# arrives at (several replicas add up in another order, and round otherwise).
OBSERVING_KEYS = frozenset(
    {
        "model_path",
        "preview_images",
        "validation_images",
        "log_every",
        "preview_every",
        "checkpoint_every",
        "keep_checkpoints",
        "data_dir",
        "data_service",
        "distribute",
        "artwork",
    }
)

# Keys that name places on the machine that trained; models that are shipped or exported lack them.
PLACE_KEYS = frozenset(
    {
        "model_path",
        "dataset",
        "data_dir",
        "data_service",
        "distribute",
        "init_from",
        "preview_images",
        "validation_images",
    }
)

FEWEST_FOR_PALETTE = 16  # 7 x 7 patches, and colours at quarter size


def _scaled_layer_weights(
    layers: LayerWeights | ScaledLayerWeights, loss_model: str, scales: int
) -> dict[str, list[float]]:
    """Canonical layer name to a weight for each scale, from a list of layers or a mapping."""
    pairs = layers.items() if isinstance(layers, dict) else ((name, 1.0) for name in layers)
    weights = {}
    for name, weight in pairs:
        of_scales = weight if isinstance(weight, list) else [weight] * scales
        if len(of_scales) != scales:
            raise UserError(
                f"{name}: {weight} has {len(of_scales)} weights; style_scales is {scales}"
            )
        weights[feature_name(name, loss_model)] = [float(each) for each in of_scales]
    return weights


def fewest_pixels(config: Config) -> int:
    """Of a side: with fewer, a picture has no features in the deepest of the conf's layers."""
    return max(
        *(pixels_between(layer) for layer in config.content_layer_weights),
        *(
            pixels_between(layer) * 2**scale
            for layer, of_scales in config.style_layer_weights.items()
            for scale, weight in enumerate(of_scales)
            if weight
        ),
        # Each halving takes 2 pixels; the patches' smallest size does without what is too small.
        2 ** (config.style_scales - 1),
        FEWEST_FOR_PALETTE if config.palette_weight or config.patch_weight else 1,
    )


def check_meaning(config: Config, source: Callable[[str], str]) -> None:
    check_name(config.naming, f"{source('naming')}: naming")
    _check_style_images(config, source)
    _check_layers(config, "content_layers", "content_layer_weights", source)
    _check_layers(config, "style_layers", "style_layer_weights", source)
    if config.style_image_median % 2 == 0:
        raise UserError(
            f"{source('style_image_median')}: style_image_median: {config.style_image_median} is "
            "even; a median filter has an odd side, such as 3 (1: no filter)"
        )
    try:
        canvas_size(config.canvas, 1, 1)
    except UserError as error:
        raise UserError(f"{source('canvas')}: {error}") from None
    if config.scales != sorted(set(config.scales)) or min(config.scales, default=32) < 32:
        raise UserError(
            f"{source('scales')}: scales: {config.scales} must rise from one to the next, from at "
            "least 32 pixels"
        )
    _check_excluded_scopes(config, source("checkpoint_exclude_scopes"))
    for image in config.preview_images:
        _check_file(config, image, "preview_images", source)
    stems = [Path(image).stem for image in config.preview_images]
    if len(set(stems)) != len(stems):
        raise UserError(
            f"{source('preview_images')}: preview_images: {config.preview_images} would overwrite "
            "each other; give the files different names"
        )
    if config.warmup_steps and config.steps is not None and config.warmup_steps >= config.steps:
        raise UserError(
            f"{source('warmup_steps')}: warmup_steps: {config.warmup_steps} is not below "
            f"steps: {config.steps}"
        )


def _check_layers(config: Config, key: str, resolved: str, source: Callable[[str], str]) -> None:
    layers = getattr(config, key)
    if not layers:
        raise UserError(f"{source(key)}: {key}: names no layer")
    try:
        weights = getattr(config, resolved)
    except UserError as error:
        raise UserError(f"{source(key)}: {key}: {error}") from None
    if len(weights) != len(layers):
        raise UserError(f"{source(key)}: {key}: {list(layers)} names a layer twice")
    lowest = (min(each) if isinstance(each, list) else each for each in weights.values())
    if min(lowest) < 0:
        raise UserError(f"{source(key)}: {key}: {layers} holds a negative weight")


def _check_style_images(config: Config, source: Callable[[str], str]) -> None:
    several = config.style_images
    if config.style_image is None and several is None:
        raise UserError(f"{source('style_image')}: the key 'style_image' is missing")
    if config.style_image is not None and several is not None:
        raise UserError(
            f"{source('style_images')}: style_images: stands beside style_image; one is wanted"
        )
    key = "style_image" if several is None else "style_images"
    images = config.named_style_images
    if not images or (several is not None and len(images) < len(several)):
        raise UserError(
            f"{source(key)}: {key}: {several} needs a name for each; a list takes the files' names"
        )
    for name in images if several is not None else ():
        check_name(name, f"{source(key)}: {key}")
    for image in images.values():
        for one in [image] if isinstance(image, str) else image:
            if not is_url(one):
                _check_file(config, one, key, source, or_folder=True)
    hashes = config.style_image_sha256
    if isinstance(hashes, dict) != (several is not None) and hashes is not None:
        raise UserError(
            f"{source('style_image_sha256')}: style_image_sha256: is one hash with style_image, "
            "and a mapping of names to hashes with style_images"
        )
    by_name = {config.naming: hashes} if isinstance(hashes, str) else hashes or {}
    for name, sha256 in by_name.items():
        if name not in images:
            raise UserError(
                f"{source('style_image_sha256')}: style_image_sha256: {name!r} is none of the "
                f"style_images; {nearest(name, list(images))}"
            )
        if not re.fullmatch("[0-9a-fA-F]{64}", sha256):
            raise UserError(
                f"{source('style_image_sha256')}: style_image_sha256: {sha256!r} is not a SHA-256 "
                "in 64 hexadecimal digits"
            )


def _check_file(
    config: Config, image: str, key: str, source: Callable[[str], str], or_folder: bool = False
) -> None:
    path = config.paths.get(image)
    if not path or not (path.is_file() or (or_folder and image and path.is_dir())):
        where = looked_in(image, Path(source(key)).parent)
        raise UserError(f"{source(key)}: {key}: no file {image}{where}")


def named_images(style_images: StyleImages) -> dict[str, StyleImage]:
    """Name to file or URL; a list takes the files' names without their endings."""
    if isinstance(style_images, dict):
        return style_images
    paths = (unquote(urlsplit(i).path) if is_url(i) else i for i in style_images)
    return {PurePosixPath(p).stem: i for p, i in zip(paths, style_images, strict=True)}


def is_url(style_image: str) -> bool:
    """Whether a conf's style image is to be fetched."""
    return style_image.startswith(("http://", "https://"))


def canvas_size(canvas: int | str | None, height: int, width: int) -> tuple[int, int]:
    """(height, width) that a `height` x `width` picture has on a conf's `canvas`.

    None keeps the size; 400 makes the long side 400; 'x512' the height 512; '400x300' is the width
    and the height, whatever the proportions. Raises UserError for anything else.
    """
    if canvas is None:
        return height, width
    if isinstance(canvas, int) and canvas > 0:
        scale = canvas / max(height, width)
    elif isinstance(canvas, str) and (sides := re.fullmatch(r"([1-9]\d*)?x([1-9]\d*)", canvas)):
        if sides[1]:
            return int(sides[2]), int(sides[1])
        scale = int(sides[2]) / height
    else:
        raise UserError(f"canvas: {canvas!r} is not a long side (400), 'x512' or '400x300'")
    return max(1, round(height * scale)), max(1, round(width * scale))


def _check_excluded_scopes(config: Config, source: str) -> None:
    # Fully connected layers are never read; an excluded convolution would be a random one.
    for scope in filter(
        None, (part.strip() for part in config.checkpoint_exclude_scopes.split(","))
    ):
        for convolution in convolutions(config.loss_model):
            slim_name = convolution.replace("block", "conv").partition("_")[0]
            if f"{config.loss_model}/{slim_name}/".startswith(scope.rstrip("/") + "/"):
                raise UserError(
                    f"{source}: checkpoint_exclude_scopes: {scope!r} leaves out convolutions of "
                    f"{config.loss_model}; only the fully connected layers can be, such as "
                    f"{config.loss_model}/fc"
                )
