"""The keys of a conf file. One conf describes one style; most keys have a default.

The keys from `style_image` to `loss_model_file` are those of the TF1 program that this project
descends from, with the same meaning.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from fast_style.conf.locations import locate, locate_weights
from fast_style.conf.names import check_name
from fast_style.conf.vgg_layers import SCALE_NAMES, feature_name, pixels_between
from fast_style.errors import UserError, nearest

LayerWeights = list[str] | dict[str, float]
ScaledLayerWeights = list[str] | dict[str, float | list[float]]
StyleImage = str | list[str]  # several paintings: one style of them all
StyleImages = list[str] | dict[str, StyleImage]

IMAGENET = "imagenet"
"""As loss_model_file: the weights that Keras publishes."""


def _number(default: float | None = dataclasses.MISSING, **limits: float) -> Any:  # type: ignore[assignment]
    """Returns a field with limits in its metadata, for typed_values.check_limits."""
    return field(default=default, metadata=limits)


@dataclass(frozen=True, kw_only=True)
class Config:
    """One style, resolved from a conf file; conf/built_in.yml and conf/gatys explain every key."""

    style_image: StyleImage | None = None
    style_images: StyleImages | None = None
    style_dataset: str | None = None
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
    style_normalization: Literal["published", "relative", "balanced", "gatys"] = "published"
    style_image_sha256: str | dict[str, str] | None = None
    style_image_size: int | None = _number(None, at_least=32)
    style_image_part: list[float] = field(default_factory=lambda: [0.0, 0.0, 1.0, 1.0])
    style_image_median: int = _number(1, at_least=1, at_most=15)
    style_scales: int = _number(1, at_least=1, at_most=4)
    style_border: int = _number(0, at_least=0)
    patch_weight: float = _number(0.0, at_least=0)
    palette_weight: float = _number(0.0, at_least=0)
    range_weight: float = _number(0.0, at_least=0)
    grid_weight: float = _number(0.0, at_least=0)
    temporal_weight: float = _number(0.0, at_least=0)
    teacher: str | None = None
    teacher_weight: float = _number(0.0, at_least=0)
    network: Literal["paper", "smooth", "medium", "small"] = "paper"
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
        """The files, folders, URLs or lists of them by style, in the network's order.

        A single style has the name `naming`.
        """
        if self.style_images is not None:
            return named_images(self.style_images)
        return {} if self.style_dataset else {self.naming: self.style_image or ""}

    @functools.cached_property
    def paths(self) -> dict[str, Path]:
        """The paths of the files and folders by their names in the conf; no URLs.

        A saved conf contains the names, which are valid on other machines too.
        """
        values = [getattr(self, key) for key in (*FILE_KEYS, "validation_images")]
        paths = {name: locate(name) for name in files_in(values) if not is_url(name)}
        if self.loss_model_file != IMAGENET:
            paths[self.loss_model_file] = locate_weights(self.loss_model_file)
        return paths

    @property
    def loss_weights(self) -> str:
        """`imagenet`, or the path of the file that `loss_model_file` names."""
        return str(self.paths.get(self.loss_model_file, IMAGENET))

    @functools.cached_property
    def content_layer_weights(self) -> dict[str, float]:
        """The weights of the content term by canonical layer name, such as relu3_3.

        Raises UserError for unknown or repeated layers and negative weights.
        """
        weights = _scaled_layer_weights(self.content_layers, self.loss_model, scales=1)
        return {name: weight for name, (weight,) in weights.items()}

    @functools.cached_property
    def style_layer_weights(self) -> dict[str, list[float]]:
        """The weights of the style term by canonical layer name, for each scale, full size first.

        A single number in the conf is the weight at every scale. Raises UserError for unknown
        layers, and for lists that do not have one number for each scale.
        """
        return _scaled_layer_weights(self.style_layers, self.loss_model, self.style_scales)

    @property
    def style_statistics_names(self) -> list[str]:
        """The names of the style statistics that have a weight, such as relu3_3 and relu3_3_half.

        Raises UserError as style_layer_weights does.
        """
        weights = self.style_layer_weights
        return [
            layer + SCALE_NAMES[scale]
            for scale in range(self.style_scales)
            for layer, of_scales in weights.items()
            if of_scales[scale]
        ]

    def of_style(self, name: str) -> "Config":
        """Returns the conf of one of the styles alone."""
        if self.style_images is None:
            return self
        hashes = self.style_image_sha256
        return dataclasses.replace(
            self,
            style_image=self.named_style_images[name],
            style_images=None,
            style_image_sha256=hashes.get(name) if isinstance(hashes, dict) else hashes,
        )


# The weights of each loss network if a conf names no file.
OWN_FILES = {"vgg_16": IMAGENET, "vgg_19": IMAGENET, "vgg_16_half": "pretrained/vgg_16_half.npz"}

# Keys that say which styles a network has; the last one allows the one before it.
STYLE_KEYS = ("style_image", "style_images", "style_dataset")

# Keys that name files, which can be in the folder of the conf.
FILE_KEYS = ("style_image", "style_images", "preview_images")

# Keys for painting one picture, which a training does not read.
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

_MACHINE_KEYS = frozenset(
    {"model_path", "data_dir", "data_service", "distribute", "preview_images", "validation_images"}
)

# Keys that change where a training runs and what it logs, but not its weights (except for rounding,
# as several replicas add up in another order).
OBSERVING_KEYS = _MACHINE_KEYS | {
    "log_every",
    "preview_every",
    "checkpoint_every",
    "keep_checkpoints",
    "artwork",
}

# Keys that name places on the training machine; shipped and exported models do not have them.
PLACE_KEYS = _MACHINE_KEYS | {"dataset", "style_dataset", "init_from"}

FEWEST_FOR_PALETTE = 16  # 7 x 7 patches, and colours at quarter size


def _scaled_layer_weights(
    layers: LayerWeights | ScaledLayerWeights, loss_model: str, scales: int
) -> dict[str, list[float]]:
    """Returns canonical layer names with a weight for each scale."""
    if not layers:
        raise UserError("names no layer")
    given: Mapping[str, Any] = layers if isinstance(layers, dict) else dict.fromkeys(layers, 1.0)
    weights = {}
    for name, weight in given.items():
        of_scales = weight if isinstance(weight, list) else [weight] * scales
        if len(of_scales) != scales:
            count = len(of_scales)
            raise UserError(f"{name}: {weight} has {count} weights; style_scales is {scales}")
        if min(of_scales) < 0:
            raise UserError(f"{layers} contains a negative weight")
        weights[feature_name(name, loss_model)] = of_scales
    if len(weights) != len(layers):
        raise UserError(f"{list(layers)} names a layer twice")
    return weights


def fewest_pixels(config: Config) -> int:
    """Returns the shortest side of a picture that has features in all of the conf's layers."""
    return max(
        *(pixels_between(layer) for layer in config.content_layer_weights),
        *(
            pixels_between(layer) * 2**scale
            for layer, of_scales in config.style_layer_weights.items()
            for scale, weight in enumerate(of_scales)
            if weight
        ),
        # Each halving needs 2 pixels; the patch term skips sizes that are too small.
        2 ** (config.style_scales - 1),
        FEWEST_FOR_PALETTE if config.palette_weight or config.patch_weight else 1,
    )


def problems(config: Config) -> Iterator[tuple[str, str]]:
    """Yields keys and problems of values that have the right types."""
    yield from _raised("naming", check_name, config.naming)
    yield from _problems_of_style_images(config)
    yield from _raised("content_layers", lambda: config.content_layer_weights)
    yield from _raised("style_layers", lambda: config.style_layer_weights)
    yield from _raised("canvas", canvas_size, config.canvas, 1, 1)
    part = config.style_image_part
    if len(part) != 4 or not (0 <= part[0] < part[2] <= 1 and 0 <= part[1] < part[3] <= 1):
        form = "left, top, right and bottom in 0 to 1, such as [0, 0.5, 1, 1] for the lower half"
        yield "style_image_part", f"{part} is not {form}"
    if config.style_image_median % 2 == 0:
        odd = "a median filter has an odd side, such as 3 (1: no filter)"
        yield "style_image_median", f"{config.style_image_median} is even; {odd}"
    if config.scales != sorted(set(config.scales)) or min(config.scales, default=32) < 32:
        rule = "must rise from one to the next, from at least 32 pixels"
        yield "scales", f"{config.scales} {rule}"
    previews = config.preview_images
    if len({Path(image).stem for image in previews}) != len(previews):
        different = "would overwrite each other; rename one of the files"
        yield "preview_images", f"{previews} {different}"
    if config.teacher_weight and config.teacher is None:
        yield "teacher_weight", f"{config.teacher_weight} needs a teacher, a model folder"
    several = config.style_images is not None or config.style_dataset is not None
    if config.teacher_weight and several:
        yield "teacher_weight", f"{config.teacher_weight}: a teacher has one style; set style_image"
    if config.warmup_steps and config.steps is not None and config.warmup_steps >= config.steps:
        yield "warmup_steps", f"{config.warmup_steps} is not below steps: {config.steps}"
    network = config.loss_model
    for scope in filter(None, map(str.strip, config.checkpoint_exclude_scopes.split(","))):
        # Fully connected layers are never read; without its weights a convolution would be random.
        if any(f"{network}/conv{i}/".startswith(scope.rstrip("/") + "/") for i in range(1, 6)):
            only = f"only the fully connected layers can be, such as {network}/fc"
            problem = f"{scope!r} leaves out convolutions of {network}; {only}"
            yield "checkpoint_exclude_scopes", problem


def _problems_of_style_images(config: Config) -> Iterator[tuple[str, str]]:
    several, names = config.style_images, list(config.named_style_images)
    if several is not None:
        key = "style_images"
        if config.style_image is not None:
            yield key, "is given together with style_image; give one"
        if not names or len(names) < len(several):
            yield key, f"{several} needs a name for each; a list takes the files' names"
        for name in names:
            yield from _raised(key, check_name, name)
    if config.style_dataset is not None:
        key = "style_dataset"
        if config.style_image is not None:
            yield key, "is given together with style_image; style_images are those of the previews"
        if config.style_statistics != "mean_covariance":
            yield key, "needs style_statistics: mean_covariance, which the predictor reads"
    key, hashes = "style_image_sha256", config.style_image_sha256
    if hashes is not None and isinstance(hashes, dict) == (several is None):
        kinds = "one hash with style_image, and a mapping of names to hashes with style_images"
        yield key, f"is {kinds}"
    for name, sha256 in ({names[0]: hashes} if isinstance(hashes, str) else hashes or {}).items():
        if name not in names:
            yield key, f"{name!r} is none of the style_images; {nearest(name, names)}"
        if not re.fullmatch("[0-9a-fA-F]{64}", sha256):
            yield key, f"{sha256!r} is not a SHA-256 in 64 hexadecimal digits"


def _raised(key: str, check: Callable, *values: object) -> Iterator[tuple[str, str]]:
    try:
        check(*values)
    except UserError as error:
        yield key, str(error)


def named_images(style_images: StyleImages) -> dict[str, StyleImage]:
    """Returns images by name; those of a list have the files' names without their endings."""
    if isinstance(style_images, dict):
        return style_images
    paths = (unquote(urlsplit(i).path) if is_url(i) else i for i in style_images)
    return {PurePosixPath(p).stem: i for p, i in zip(paths, style_images, strict=True)}


def files_in(value: Any) -> list[str]:
    """Returns the names of files in the value of a key: a text, a list, a mapping or None."""
    if value is None or isinstance(value, str):
        return [] if value is None else [value]
    each = value.values() if isinstance(value, dict) else value
    return [name for one in each for name in files_in(one)]


def is_url(style_image: str) -> bool:
    """Returns whether a conf's style image is a URL."""
    return style_image.startswith(("http://", "https://"))


def canvas_size(canvas: int | str | None, height: int, width: int) -> tuple[int, int]:
    """Returns the (height, width) of a `height` x `width` picture on a conf's `canvas`.

    None keeps the size; 400 is the long side; 'x512' is the height; '400x300' is width and height,
    for any proportions. Raises UserError for anything else.
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
        raise UserError(f"{canvas!r} is not a long side (400), 'x512' or '400x300'")
    return max(1, round(height * scale)), max(1, round(width * scale))
