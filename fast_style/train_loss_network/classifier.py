"""The classifier that is trained: the convolutions of a VGG, batch normalization and a head.

The head is one linear layer for the classes of all sets of pictures. For a picture the logits of
the classes of other sets are masked.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from fast_style.conf.vgg_layers import PIXEL_MEAN, convolutions

Weights = dict[str, tuple[Tensor, Tensor]]

PIXEL_SCALE = 64.0
NORM_EPSILON = 1e-3
LABEL_SMOOTHING = 0.1
POOLINGS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "avg": functional.avg_pool2d,
    "max": functional.max_pool2d,
}


class Classifier(nn.Module):
    """loss_model: a key of vgg_layers.CONVOLUTIONS. pooling: a key of POOLINGS."""

    convolutions: dict[str, nn.Conv2d]
    norms: dict[str, nn.BatchNorm2d]
    pixel_mean: Tensor

    def __init__(self, loss_model: str, classes: int, pooling: str) -> None:
        super().__init__()
        self.pool = POOLINGS[pooling]
        self.convolutions = nn.ModuleDict()  # type: ignore[assignment]
        self.norms = nn.ModuleDict()  # type: ignore[assignment]
        width = 3
        for name, (inputs, width) in convolutions(loss_model).items():
            self.convolutions[name] = nn.Conv2d(inputs, width, 3, padding=1, bias=False)
            nn.init.kaiming_normal_(self.convolutions[name].weight, nonlinearity="relu")
            self.norms[name] = nn.BatchNorm2d(width, eps=NORM_EPSILON)
        self.head = nn.Linear(width, classes)
        # Creating the constant in every pass would make the host wait for the GPU.
        self.register_buffer("pixel_mean", torch.tensor(PIXEL_MEAN), persistent=False)

    def _input(self, pictures: Tensor) -> Tensor:
        return (pictures - self.pixel_mean).div_(PIXEL_SCALE).permute(0, 3, 1, 2)

    @torch.no_grad()
    def begin_with(self, weights: Weights, pictures: Tensor) -> None:
        """Sets the layers so that they compute what folded weights do, up to a factor per layer.

        weights: as `fold` returns them. pictures: (N, H, W, 3) float32 RGB 0..255, for the
        statistics of batch normalization. The head does not change.
        """
        scale = torch.tensor(PIXEL_SCALE)
        x = self._input(pictures) * scale
        for name, (kernel, bias) in weights.items():
            convolution, norm = self.convolutions[name], self.norms[name]
            if name != "block1_conv1" and name.endswith("conv1"):
                x = self.pool(x, 2)
            x = functional.conv2d(x, kernel, bias, padding=1)
            convolution.weight.copy_(kernel * scale)
            deviation, mean = torch.std_mean(x, dim=(0, 2, 3), correction=0)
            scale = deviation.square().mean().sqrt()  # leaves activations near 1
            norm.weight.copy_(deviation / scale)
            norm.bias.copy_(mean / scale)
            x = functional.relu(x)

    def features(self, pictures: Tensor) -> dict[str, Tensor]:
        """Returns {"block1_conv1": (N, C, h, w), ...}, the outputs of the convolutions after ReLU.

        pictures: (N, H, W, 3) float32 RGB 0..255.
        """
        x = self._input(pictures)
        features: dict[str, Tensor] = {}
        for name, convolution in self.convolutions.items():
            if features and name.endswith("conv1"):
                x = self.pool(x, 2)
            x = functional.relu(self.norms[name](convolution(x)), inplace=True)
            features[name] = x
        return features

    def logits(self, features: dict[str, Tensor]) -> Tensor:
        """Returns (N, classes) logits for the classes of all sets."""
        *_, deepest = features.values()
        return self.head(deepest.mean(dim=(2, 3)))


def masked(logits: Tensor, labels: Tensor, set_of_label: Tensor) -> Tensor:
    """Returns (N, classes) logits with -inf for the classes of other sets than the picture's."""
    others = set_of_label[None, :] != set_of_label[labels, None]
    return logits.float().masked_fill(others, -torch.inf)


def classification_loss(logits: Tensor, labels: Tensor, set_of_label: Tensor) -> Tensor:
    """Returns the mean cross-entropy in the classes of each picture's set, labels smoothed."""
    log_probability = masked(logits, labels, set_of_label).log_softmax(dim=1)
    likelihood = log_probability.gather(1, labels[:, None])[:, 0]
    others = log_probability == -torch.inf
    uniform = log_probability.masked_fill(others, 0).sum(dim=1) / (~others).sum(dim=1)
    return -torch.lerp(likelihood, uniform, LABEL_SMOOTHING).mean()


def fold(classifier: Classifier) -> Weights:
    """Returns the convolutions with batch normalization and pixel scale folded in.

    These are kernels (out, in, 3, 3) and biases (out,), float32 on the CPU, for RGB 0..255 minus
    PIXEL_MEAN.
    """
    weights = {}
    scale = 1 / PIXEL_SCALE
    for name, convolution in classifier.convolutions.items():
        norm = classifier.norms[name]
        mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
        factor = norm.weight / (variance + NORM_EPSILON).sqrt()
        kernel = convolution.weight * factor[:, None, None, None] * scale
        bias = norm.bias - mean * factor
        weights[name] = (kernel.detach().cpu(), bias.detach().cpu())
        scale = 1.0
    return weights
