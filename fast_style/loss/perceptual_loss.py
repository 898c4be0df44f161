"""The objective: how far a stylized picture is from its content image and from the style image."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np
from keras import ops

from fast_style.config import Config, layer_weights
from fast_style.loss.loss_network import build_loss_network
from fast_style.loss.losses import (
    content_loss,
    grid_loss,
    out_of_range_loss,
    style_loss,
    style_statistics,
    temporal_loss,
    total_variation_loss,
)
from fast_style.vgg_layers import pixels_between


class PerceptualLoss:
    """content, style and total variation of stylized pictures, weighted as a conf says.

    The style images' statistics are computed once, here; the content image passes the loss network
    only as deep as the content layers need.
    """

    def __init__(self, config: Config, style_images: Sequence[np.ndarray], dtype: str = "float32"):
        """style_images: each (H, W, 3) RGB 0..255; dtype: policy of the loss network."""
        self.config = config
        self.content_layers = layer_weights(config.content_layers, config.loss_model)
        self.style_layers = layer_weights(config.style_layers, config.loss_model)
        every_layer = list(dict.fromkeys([*self.content_layers, *self.style_layers]))
        self.network = build_loss_network(
            config.loss_model, config.loss_model_file, every_layer, config.pooling, dtype
        )
        self.content_network = keras.Model(
            self.network.input,
            {layer: self.network.output[layer] for layer in self.content_layers},
        )
        of_each = [self._style_targets(style_image) for style_image in style_images]
        self.style_targets = {
            layer: tuple(map(ops.concatenate, zip(*(one[layer] for one in of_each), strict=True)))
            for layer in self.style_layers
        }

    def content_targets(self, content) -> Mapping[str, object]:
        """The features that stylized versions of (N, H, W, 3) RGB 0..255 pictures shall keep."""
        return self.content_network(content)

    def __call__(
        self, stylized, content_targets, style_ramp=1.0, style=0, moved=None
    ) -> Mapping[str, object]:
        """The named terms of (N, H, W, 3) RGB 0..255 pictures, each a float32 scalar.

        'content', 'style' and 'tv' (and 'range' and 'grid' where the conf weighs them) are
        unweighted, as is 'style/LAYER' for each style layer; 'total' adds up 'weighted/...'.
        style_ramp: a factor on the style weight, for the first steps of a training.
        style: which of the style images, counted from 0.
        moved: another view of the content images, stylized, and its shift, as temporal_loss takes
        them; with it there is 'temporal'.
        """
        config = self.config
        features = self.network(stylized)
        terms = {
            "content": sum(
                weight
                * content_loss(
                    features[layer], content_targets[layer], config.content_normalization
                )
                for layer, weight in self.content_layers.items()
            )
        }
        by_layer = {layer: self._layer_style(features, layer, style) for layer in self.style_layers}
        terms["style"] = sum(self.style_layers[layer] * term for layer, term in by_layer.items())
        terms["tv"] = total_variation_loss(stylized)
        weights = {
            "content": config.content_weight,
            "style": config.style_weight * style_ramp,
            "tv": config.tv_weight,
        }
        if config.range_weight:
            terms["range"] = out_of_range_loss(stylized)
            weights["range"] = config.range_weight
        if config.grid_weight:
            terms["grid"] = grid_loss(stylized)
            weights["grid"] = config.grid_weight
        if moved is not None:
            terms["temporal"] = temporal_loss(stylized, *moved)
            weights["temporal"] = config.temporal_weight
        weighted = {name: weights[name] * term for name, term in terms.items()}
        terms.update({f"weighted/{name}": term for name, term in weighted.items()})
        terms.update({f"style/{layer}": term for layer, term in by_layer.items()})
        terms["total"] = sum(weighted.values())
        return terms

    def _style_targets(self, style_image: np.ndarray) -> dict:
        features = self.network(ops.convert_to_tensor(style_image[None], "float32"))
        return {
            layer: style_statistics(self._inside(features, layer), self.config.style_statistics)
            for layer in self.style_layers
        }

    def _layer_style(self, features, layer: str, style):
        inside = self._inside(features, layer)
        return style_loss(
            style_statistics(inside, self.config.style_statistics),
            tuple(ops.take(each, [style], axis=0) for each in self.style_targets[layer]),
            tuple(inside.shape[1:]),
            self.config.style_normalization,
        )

    def _inside(self, features, layer: str):
        """A layer's features without those of the conf's style_border; of small pictures, one."""
        height, width = ops.shape(features[layer])[1:3]
        border = self.config.style_border // pixels_between(layer)
        down, across = min(border, (height - 1) // 2), min(border, (width - 1) // 2)
        return features[layer][:, down : height - down, across : width - across]
