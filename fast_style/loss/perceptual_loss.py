"""The objective: how far a stylized picture is from its content image and from the style image."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np
from keras import ops

from fast_style.config import Config, layer_weights, scaled_layer_weights
from fast_style.errors import UserError
from fast_style.loss.loss_network import build_loss_network, fingerprint
from fast_style.loss.losses import (
    PALETTE_HALVINGS,
    PATCH,
    PATCH_STRIDES,
    QUANTILES,
    content_loss,
    detail,
    grid_loss,
    out_of_range_loss,
    patch_directions,
    pyramid,
    quantiles,
    sliced_values,
    sliced_wasserstein_loss,
    style_loss,
    style_statistics,
    temporal_loss,
    total_variation_loss,
)
from fast_style.loss.style_statistics import Style, StyleStatistics
from fast_style.network.architecture import ARCHITECTURES
from fast_style.vgg_layers import pixels_between

# Below these a style image is of one colour, but for rounding.
FLAT_VALUES = 1e-3  # grey levels
FLAT_STATISTICS = 1e-9  # squared, of a layer's means

SCALE_NAMES = ("", "_half", "_quarter", "_eighth")


class PerceptualLoss:
    """content, style and total variation of stylized pictures, weighted as a conf says.

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
        self.content_layers = layer_weights(config.content_layers, config.loss_model)
        self.style_layers = scaled_layer_weights(
            config.style_layers, config.loss_model, config.style_scales
        )
        sliced = {"patch": config.patch_weight, "palette": config.palette_weight}
        self.sliced = {name: weight for name, weight in sliced.items() if weight}
        every_layer = list(dict.fromkeys([*self.content_layers, *self.style_layers]))
        whole = build_loss_network(
            config.loss_model, config.loss_model_file, every_layer, config.pooling, dtype
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
            "patch_directions": "waves",
        }
        of_each = [self._style_targets(style) for style in styles]
        self.style_targets = {
            name: tuple(map(ops.concatenate, zip(*(one[name] for one in of_each), strict=True)))
            for name in self._target_names()
        }

    def statistics(self, style: int, **known: object) -> StyleStatistics:
        """What is kept of a style, to be written to a file; known: more about its image."""
        arrays = {
            name: tuple(np.asarray(each)[style : style + 1] for each in targets)
            for name, targets in self.style_targets.items()
        }
        return StyleStatistics(arrays, self._made_with | known)

    def content_targets(self, content) -> Mapping[str, object]:
        """The features that stylized versions of (N, H, W, 3) RGB 0..255 pictures shall keep."""
        features = self.content_network(self._mirrored(content))
        return {layer: self._inside(features, layer, scale=0) for layer in features}

    def __call__(
        self, stylized, content_targets, style_ramp=1.0, style=0, moved=None
    ) -> Mapping[str, object]:
        """The named terms of (N, H, W, 3) RGB 0..255 pictures, each a float32 scalar.

        'content', 'style' and 'tv' (and 'patch', 'palette', 'range' and 'grid' where the conf
        weighs them) are unweighted, as is 'style/LAYER' for each style layer at full size,
        'style/LAYER_half' at half size and so on; 'total' adds up 'weighted/...'.
        style_ramp: a factor on the weights of style, patch and palette, for the first steps.
        style: which of the style images, counted from 0.
        moved: another view of the content images, stylized, and its shift, as temporal_loss takes
        them; with it there is 'temporal'.
        """
        config = self.config
        features = [
            network(images) if network is not None else {}
            for network, images in zip(
                self.networks,
                pyramid(self._mirrored(stylized), config.style_scales),
                strict=True,
            )
        ]
        terms = {
            "content": sum(
                weight
                * content_loss(
                    self._inside(features[0], layer, scale=0),
                    content_targets[layer],
                    config.content_normalization,
                )
                for layer, weight in self.content_layers.items()
            )
        }
        by_layer = {}
        terms["style"] = 0.0
        for scale, found in enumerate(features):
            for layer, weight in self._layers_at(scale).items():
                name = _style_name(layer, scale)
                by_layer[name] = self._layer_style(found, layer, scale, style)
                terms["style"] += weight * by_layer[name]
        terms["tv"] = total_variation_loss(stylized)
        weights = {
            "content": config.content_weight,
            "style": config.style_weight * style_ramp,
            "tv": config.tv_weight,
        }
        for name, weight in self.sliced.items():
            terms[name] = self._sliced(name, stylized, style)
            weights[name] = weight * style_ramp
        if config.range_weight:
            terms["range"] = out_of_range_loss(stylized)
            weights["range"] = config.range_weight
        if config.grid_weight:
            terms["grid"] = grid_loss(stylized, ARCHITECTURES[config.network].downsampling)
            weights["grid"] = config.grid_weight
        if moved is not None:
            terms["temporal"] = temporal_loss(stylized, *moved)
            weights["temporal"] = config.temporal_weight
        weighted = {name: weights[name] * term for name, term in terms.items()}
        terms.update({f"weighted/{name}": term for name, term in weighted.items()})
        terms.update({f"style/{layer}": term for layer, term in by_layer.items()})
        terms["total"] = sum(weighted.values())
        return terms

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
        return [*layers, *self.sliced]

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
        for name in self.sliced:
            targets[name] = tuple(quantiles(values, QUANTILES) for values in _slices(name, pixels))
        return targets

    def _check_divisors(self, targets: Mapping[str, tuple]) -> None:
        """Raise UserError where a term would divide by nothing, as for a picture of one colour."""
        for name, several in targets.items():
            if name in self.sliced:
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

    def _targets_of(self, name: str, style) -> tuple:
        return tuple(ops.take(each, [style], axis=0) for each in self.style_targets[name])

    def _layer_style(self, features, layer: str, scale: int, style):
        inside = self._inside(features, layer, scale)
        return style_loss(
            style_statistics(inside, self.config.style_statistics),
            self._targets_of(_style_name(layer, scale), style),
            tuple(inside.shape[1:]),
            self.config.style_normalization,
        )

    def _sliced(self, name: str, stylized, style):
        found = _slices(name, stylized)
        # A small picture has fewer sizes than the style image; zip takes those of both.
        pairs = list(zip(found, self._targets_of(name, style), strict=False))
        return sum(sliced_wasserstein_loss(values, target) for values, target in pairs) / len(pairs)

    def _mirrored(self, images):
        """(N, H, W, 3) images with a border of the conf's style_border.

        The loss network sees zeros beyond the edges, and a transformer network that is to please it
        there paints a frame; one of which nothing is asked there leaves the photo's edges as they
        are, which is a frame too.
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


def _slices(name: str, images) -> list:
    """The sorted values that the term called 'patch' or 'palette' compares, for each size."""
    if name == "palette":
        small = pyramid(images, PALETTE_HALVINGS + 1)[-1]
        return [sliced_values(small, patch_directions(1, seed=0))]
    sizes = pyramid(images, len(PATCH_STRIDES))
    return [
        sliced_values(detail(images), patch_directions(PATCH, seed), stride)
        for seed, (images, stride) in enumerate(zip(sizes, PATCH_STRIDES, strict=True))
        if min(images.shape[1:3]) >= PATCH
    ]
