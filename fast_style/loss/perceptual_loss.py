"""The objective: how far a stylized picture is from its content image and from the style image."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np
from keras import ops

from fast_style.conf.config import Config
from fast_style.conf.vgg_layers import pixels_between
from fast_style.errors import UserError
from fast_style.loss.loss_network import build_loss_network, fingerprint
from fast_style.loss.losses import (
    TERMS,
    Compared,
    content_loss,
    pyramid,
    style_loss,
    style_statistics,
)
from fast_style.loss.style_statistics import DIRECTIONS, Style, StyleStatistics
from fast_style.network.architecture import ARCHITECTURES

# Below these a style image is of one colour, but for rounding.
FLAT_VALUES = 1e-3  # grey levels
FLAT_STATISTICS = 1e-9  # squared, of a layer's means

SCALE_NAMES = ("", "_half", "_quarter", "_eighth")


class PerceptualLoss:
    """The terms of losses.TERMS for stylized pictures, with the weights of a conf.

    The style images' statistics are computed once, here; the content image passes the loss network
    only as deep as the content layers need.
    """

    def __init__(
        self,
        config: Config,
        styles: Sequence[Style],
        dtype: str = "float32",
    ):
        """styles: each a list of paintings, (H, W, 3) RGB 0..255, whose statistics are averaged, or
        the statistics of an earlier training.

        dtype: policy of the loss network. Raises UserError where statistics are of another loss
        network or lack a term that the conf weighs.
        """
        self.config = config
        self.content_layers = config.content_layer_weights
        self.style_layers = config.style_layer_weights
        self.terms = [term for term in TERMS if term.always or getattr(config, term.weight)]
        every_layer = list(dict.fromkeys([*self.content_layers, *self.style_layers]))
        whole = build_loss_network(
            config.loss_model, config.loss_weights, every_layer, config.pooling, dtype
        )
        self.content_network = keras.Model(
            whole.input, {layer: whole.output[layer] for layer in self.content_layers}
        )
        # One for each scale, as deep as its style layers need; that of the full size serves the
        # content layers too.
        self.networks = [
            _part(whole, self._layers_at(scale) | (self.content_layers if scale == 0 else {}))
            for scale in range(config.style_scales)
        ]
        self._made_with = {
            "loss_model": config.loss_model,
            "loss_network": fingerprint(whole),
            "pooling": config.pooling,
            "style_statistics": config.style_statistics,
            DIRECTIONS: "waves",
        }
        of_each = [self._style_targets(style) for style in styles]
        self.style_targets = {
            name: tuple(map(ops.concatenate, zip(*(one[name] for one in of_each), strict=True)))
            for name in self._target_names()
        }

    def statistics(self, style: int, **known: object) -> StyleStatistics:
        """The statistics of one style, for a file. known: further entries about its image."""
        arrays = {
            name: tuple(np.asarray(each)[style : style + 1] for each in targets)
            for name, targets in self.style_targets.items()
        }
        return StyleStatistics(arrays, self._made_with | known)

    def content_targets(self, content) -> Mapping[str, object]:
        """The features of (N, H, W, 3) RGB 0..255 pictures, which stylized ones should keep."""
        features = self.content_network(self._mirrored(content))
        return {layer: self._inside(features, layer, scale=0) for layer in features}

    def __call__(
        self, stylized, content_targets, style_ramp=1.0, style=0, moved=None
    ) -> Mapping[str, object]:
        """The named terms of (N, H, W, 3) RGB 0..255 pictures, each a float32 scalar.

        Those of TERMS that the conf weighs, unweighted, and 'weighted/TERM', which 'total' adds
        up; 'style/LAYER' for each style layer at full size, 'style/LAYER_half' at half size and so
        on.
        style_ramp: a factor on the weights of the terms of style, for the first steps.
        style: which of the style images, counted from 0.
        moved: another view of the content images, stylized, and its shift, as temporal_loss takes
        them; without it the terms that need it are left out.
        """
        config = self.config
        targets = {
            name: tuple(ops.take(each, [style], axis=0) for each in of_styles)
            for name, of_styles in self.style_targets.items()
        }
        features = [
            network(images) if network is not None else {}
            for network, images in zip(
                self.networks,
                pyramid(self._mirrored(stylized), config.style_scales),
                strict=True,
            )
        ]
        content_distance = sum(
            weight
            * content_loss(
                self._inside(features[0], layer, scale=0),
                content_targets[layer],
                config.content_normalization,
            )
            for layer, weight in self.content_layers.items()
        )
        by_layer = {}
        style_distance = 0.0
        for scale, found in enumerate(features):
            for layer, weight in self._layers_at(scale).items():
                name = _style_name(layer, scale)
                by_layer[name] = self._layer_style(found, layer, scale, targets[name])
                style_distance += weight * by_layer[name]
        period = ARCHITECTURES[config.network].downsampling
        compared = Compared(stylized, content_distance, style_distance, targets, period, moved)
        terms, weighted = {}, {}
        for term in self.terms:
            if moved is not None or not term.moves:
                weight = getattr(config, term.weight) * (style_ramp if term.of_style else 1)
                terms[term.name] = term.loss(compared)
                weighted[term.name] = weight * terms[term.name]
        return {
            **terms,
            **{f"weighted/{name}": term for name, term in weighted.items()},
            **{f"style/{layer}": term for layer, term in by_layer.items()},
            "total": sum(weighted.values()),
        }

    def _layers_at(self, scale: int) -> dict[str, float]:
        return {
            layer: weights[scale] for layer, weights in self.style_layers.items() if weights[scale]
        }

    def _target_names(self) -> list[str]:
        layers = [
            _style_name(layer, scale)
            for scale in range(self.config.style_scales)
            for layer in self._layers_at(scale)
        ]
        return [*layers, *(term.name for term in self.terms if term.target)]

    def _style_targets(self, style: Style) -> Mapping[str, tuple]:
        if isinstance(style, StyleStatistics):
            style.check(self._made_with, self._target_names())
            return style.arrays
        of_each = [self._targets_of_painting(painting) for painting in style]
        for targets in of_each:
            self._check_divisors(targets)
        # The mean of quantile functions is the distribution halfway between (the barycentre).
        return {
            name: tuple(
                sum(parts) / len(of_each)
                for parts in zip(*(targets[name] for targets in of_each), strict=True)
            )
            for name in of_each[0]
        }

    def _targets_of_painting(self, painting: np.ndarray) -> dict[str, tuple]:
        pixels = ops.convert_to_tensor(painting[None], "float32")
        targets: dict[str, tuple] = {}
        for scale, images in enumerate(pyramid(pixels, self.config.style_scales)):
            network = self.networks[scale]
            features = network(images) if network is not None else {}
            for layer in self._layers_at(scale):
                inside = self._inside(features, layer, scale)
                statistics = style_statistics(inside, self.config.style_statistics)
                targets[_style_name(layer, scale)] = statistics
        return targets | {term.name: term.target(pixels) for term in self.terms if term.target}

    def _check_divisors(self, targets: Mapping[str, tuple]) -> None:
        """Raise UserError where a term would divide by nothing, as for a picture of one colour."""
        of_pixels = {term.name for term in self.terms if term.target}
        for name, several in targets.items():
            if name in of_pixels:
                spreads = [float(ops.mean(ops.std(each, axis=-1))) for each in several]
                flat = min(spreads) < FLAT_VALUES
            elif self.config.style_normalization == "relative":
                sizes = [float(ops.sum(ops.square(each))) for each in several]
                flat = min(sizes) <= FLAT_STATISTICS * max(sizes)
            else:
                flat = False
            if flat:
                raise UserError(
                    f"style_image: has nothing for {name} to learn, as pictures of one colour; "
                    "take another picture"
                )

    def _layer_style(self, features, layer: str, scale: int, target: tuple):
        inside = self._inside(features, layer, scale)
        return style_loss(
            style_statistics(inside, self.config.style_statistics),
            target,
            tuple(inside.shape[1:]),
            self.config.style_normalization,
        )

    def _mirrored(self, images):
        """(N, H, W, 3) images with a border of the conf's style_border.

        The loss network sees zeros beyond the edges, and a transformer network that has to please
        it there paints a frame. One that no style is required of there leaves the photo's edges as
        they are, which is a frame too.
        """
        border = self.config.style_border
        down, across = (min(border, side - 1) for side in ops.shape(images)[1:3])
        return ops.pad(images, ((0, 0), (down, down), (across, across), (0, 0)), mode="reflect")

    def _inside(self, features, layer: str, scale: int):
        """A layer's features without those of the conf's style_border; of small pictures, one."""
        height, width = ops.shape(features[layer])[1:3]
        border = self.config.style_border // (pixels_between(layer) * 2**scale)
        down, across = min(border, (height - 1) // 2), min(border, (width - 1) // 2)
        return features[layer][:, down : height - down, across : width - across]


def _part(network: keras.Model, layers: Mapping[str, float]) -> keras.Model | None:
    """The network as deep as the layers need; None where there are none."""
    if not layers:
        return None
    return keras.Model(network.input, {layer: network.output[layer] for layer in layers})


def _style_name(layer: str, scale: int) -> str:
    return layer + SCALE_NAMES[scale]
