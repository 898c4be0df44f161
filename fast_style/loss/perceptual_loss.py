"""The objective: the distance of a stylized picture from its content image and the style image."""

from collections.abc import Iterable, Mapping, Sequence

import keras
import numpy as np
from keras import ops

from fast_style.conf.config import Config
from fast_style.conf.vgg_layers import SCALE_NAMES, pixels_between
from fast_style.errors import UserError
from fast_style.loss.loss_network import FIRST_CONVOLUTION, build_loss_network
from fast_style.loss.losses import (
    TERMS,
    Compared,
    content_loss,
    pyramid,
    style_loss,
    style_statistics,
)
from fast_style.loss.style_statistics import Style, StyleStatistics, made_with
from fast_style.network.architecture import ARCHITECTURES

# Below these a style image has one colour, except for rounding.
FLAT_VALUES = 1e-3  # grey levels
FLAT_STATISTICS = 1e-9  # squared, of a layer's means


class PerceptualLoss:
    """Computes the terms of losses.TERMS for stylized pictures, with the weights of a conf.

    The statistics of the style images are computed once, in the constructor.
    """

    def __init__(self, config: Config, styles: Sequence[Style], dtype: str = "float32"):
        """styles: each a list of paintings, (H, W, 3) RGB 0..255, whose statistics are averaged, or
        the statistics of an earlier training.

        dtype: the policy of the loss network. Raises UserError if statistics are from another loss
        network, or lack a term that the conf weighs.
        """
        self.config = config
        self.content_layers = config.content_layer_weights
        layer_weights = config.style_layer_weights
        # By name, such as relu3_3_half: the scale, the layer and its weight.
        self.style_layers = {
            layer + SCALE_NAMES[scale]: (scale, layer, weights[scale])
            for scale in range(config.style_scales)
            for layer, weights in layer_weights.items()
            if weights[scale]
        }
        self.terms = [term for term in TERMS if term.always or getattr(config, term.weight)]
        every_layer = list(dict.fromkeys([*self.content_layers, *layer_weights]))
        whole = build_loss_network(
            config.loss_model, config.loss_weights, every_layer, config.pooling, dtype
        )
        self.content_network = _part(whole, self.content_layers)
        # One for each scale, only as deep as its layers.
        self.networks: list[keras.Model | None] = []
        for scale in range(config.style_scales):
            layers = {layer for at, layer, _ in self.style_layers.values() if at == scale}
            if scale == 0:
                layers |= self.content_layers.keys()
            self.networks.append(_part(whole, layers) if layers else None)
        self._made_with = made_with(config, whole.get_layer(FIRST_CONVOLUTION).kernel)
        of_each = [self._targets_of_style(style) for style in styles]
        self._style_targets: dict[str, tuple] = {
            name: tuple(map(ops.concatenate, zip(*(one[name] for one in of_each), strict=True)))
            for name in self._target_names()
        }

    def statistics(self, style: int, **known: object) -> StyleStatistics:
        """Returns the statistics of one style. known: further entries of `made_with`."""
        arrays = {
            name: tuple(np.asarray(each)[style : style + 1] for each in targets)
            for name, targets in self._style_targets.items()
        }
        return StyleStatistics(arrays, self._made_with | known)

    def style_targets(self, style) -> Mapping[str, tuple]:
        """Returns the statistics that stylized pictures should have, by the names of the terms.

        style: the number of one of the styles, from 0, or a style image, (1, H, W, 3) RGB 0..255.
        """
        if len(getattr(style, "shape", ())) == 4:
            return self._targets_of_pixels(ops.cast(style, "float32"))
        return {
            name: tuple(ops.take(each, [style], axis=0) for each in of_styles)
            for name, of_styles in self._style_targets.items()
        }

    def content_targets(self, content) -> Mapping[str, object]:
        """Returns the features that the stylized (N, H, W, 3) RGB 0..255 pictures should keep."""
        features = self.content_network(self._mirrored(content))
        return {layer: self._inside(found, layer, scale=0) for layer, found in features.items()}

    def __call__(
        self,
        stylized,
        content_targets,
        style_targets=None,
        style_ramp=1.0,
        moved=None,
        taught=None,
    ) -> Mapping[str, object]:
        """Returns the named terms of (N, H, W, 3) RGB 0..255 pictures, each a float32 scalar.

        These are the terms of TERMS that the conf weighs, unweighted; 'weighted/TERM' and their
        sum 'total'; 'style/LAYER' for each style layer at full size, 'style/LAYER_half' at half
        size and so on.
        content_targets, style_targets: as the methods with these names return them; by default
        those of the first style. style_ramp: a factor on the weights of the terms of style. moved:
        the `moved` and `shift` of temporal_loss. taught: that of teacher_loss. Terms whose input is
        None are left out.
        """
        config = self.config
        if style_targets is None:
            style_targets = self.style_targets(0)
        features = self._features(self._mirrored(stylized))
        content_distance = sum(
            weight
            * content_loss(
                self._inside(features[0][layer], layer, scale=0),
                content_targets[layer],
                config.content_normalization,
            )
            for layer, weight in self.content_layers.items()
        )
        by_layer = {}
        style_distance = 0.0
        for name, (scale, layer, weight) in self.style_layers.items():
            found = self._inside(features[scale][layer], layer, scale)
            by_layer[name] = style_loss(
                style_statistics(found, config.style_statistics),
                style_targets[name],
                tuple(found.shape[1:]),
                config.style_normalization,
            )
            style_distance += weight * by_layer[name]
        period = ARCHITECTURES[config.network].downsampling
        balanced = config.style_normalization == "balanced"
        compared = Compared(
            stylized,
            content_distance,
            style_distance,
            style_targets,
            period,
            balanced,
            moved,
            taught,
        )
        terms, weighted = {}, {}
        for term in self.terms:
            if getattr(compared, term.needs) is not None:
                weight = getattr(config, term.weight) * (style_ramp if term.of_style else 1)
                terms[term.name] = term.loss(compared)
                weighted[term.name] = weight * terms[term.name]
        return {
            **terms,
            **{f"weighted/{name}": term for name, term in weighted.items()},
            **{f"style/{layer}": term for layer, term in by_layer.items()},
            "total": sum(weighted.values()),
        }

    def _target_names(self) -> list[str]:
        return [*self.style_layers, *(term.name for term in self.terms if term.target)]

    def _targets_of_style(self, style: Style) -> Mapping[str, tuple]:
        if isinstance(style, StyleStatistics):
            style.check(self._made_with, self._target_names())
            return style.arrays
        of_each = [self._targets_of_painting(painting) for painting in style]
        # The mean of quantile functions is that of their barycentre.
        return {
            name: tuple(
                sum(parts) / len(of_each)
                for parts in zip(*(targets[name] for targets in of_each), strict=True)
            )
            for name in of_each[0]
        }

    def _targets_of_painting(self, painting: np.ndarray) -> dict[str, tuple]:
        targets = self._targets_of_pixels(ops.convert_to_tensor(painting[None], "float32"))
        self._check_divisors(targets)
        return targets

    def _targets_of_pixels(self, pixels) -> dict[str, tuple]:
        features = self._features(pixels)
        targets: dict[str, tuple] = {}
        for name, (scale, layer, _) in self.style_layers.items():
            found = self._inside(features[scale][layer], layer, scale)
            targets[name] = style_statistics(found, self.config.style_statistics)
        return targets | {term.name: term.target(pixels) for term in self.terms if term.target}

    def _check_divisors(self, targets: Mapping[str, tuple]) -> None:
        """Raises UserError if a term would divide by 0, as for a picture of one colour."""
        for name, several in targets.items():
            flat = False
            if name not in self.style_layers:
                spreads = [float(ops.mean(ops.std(each, axis=-1))) for each in several]
                flat = min(spreads) < FLAT_VALUES
            elif self.config.style_normalization == "relative":
                sizes = [float(ops.sum(ops.square(each))) for each in several]
                flat = min(sizes) <= FLAT_STATISTICS * max(sizes)
            if flat:
                raise UserError(
                    f"style_image: has nothing for {name} to learn, like a picture of one colour; "
                    "take another picture"
                )

    def _features(self, images) -> list[Mapping]:
        """Returns the features of (N, H, W, 3) images by layer, for each scale."""
        pairs = zip(self.networks, pyramid(images, self.config.style_scales), strict=True)
        return [network(smaller) if network is not None else {} for network, smaller in pairs]

    def _mirrored(self, images):
        """Returns (N, H, W, 3) images with a mirrored border of the conf's style_border.

        The loss network sees zeros beyond the edges. If the style were compared there, the
        transformer network would paint a frame; if not, it would leave one of the plain photo.
        """
        border = self.config.style_border
        if not border:
            return images
        down, across = (min(border, side - 1) for side in ops.shape(images)[1:3])
        return ops.pad(images, ((0, 0), (down, down), (across, across), (0, 0)), mode="reflect")

    def _inside(self, features, layer: str, scale: int):
        """Returns a layer's features without the conf's style_border; at least one remains."""
        border = self.config.style_border // (pixels_between(layer) * 2**scale)
        if not border:  # a slice of everything would cost 5% of a step, most of it in the gradient
            return features
        height, width = ops.shape(features)[1:3]
        down, across = min(border, (height - 1) // 2), min(border, (width - 1) // 2)
        return features[:, down : height - down, across : width - across]


def _part(network: keras.Model, layers: Iterable[str]) -> keras.Model:
    return keras.Model(network.input, {layer: network.output[layer] for layer in layers})
