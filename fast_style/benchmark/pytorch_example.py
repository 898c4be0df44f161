"""The fast_neural_style example of github.com/pytorch/examples, rewritten to be timed.

python -m fast_style.benchmark.pytorch_example INPUT OUTPUT stylizes a picture, as the example does
in float32. The weights are random, as times do not depend on them.
"""

import sys

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import mse_loss

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512))  # of VGG16, to relu4_3
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
CONTENT_WEIGHT, STYLE_WEIGHT, LEARNING_RATE = 1e5, 1e10, 1e-3


def _convolution(channels: int, filters: int, size: int, stride: int = 1) -> nn.Sequential:
    padding = nn.ReflectionPad2d(size // 2)
    return nn.Sequential(padding, nn.Conv2d(channels, filters, size, stride))


def _normalized(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels, affine=True)


class _Residual(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.branch = nn.Sequential(
            *(_convolution(channels, channels, 3), _normalized(channels), nn.ReLU()),
            *(_convolution(channels, channels, 3), _normalized(channels)),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.branch(features)


def transformer_net() -> nn.Module:
    """Returns the example's TransformerNet: (N, 3, H, W) of 0..255 in and out."""
    return nn.Sequential(
        *(_convolution(3, 32, 9), _normalized(32), nn.ReLU()),
        *(_convolution(32, 64, 3, 2), _normalized(64), nn.ReLU()),
        *(_convolution(64, 128, 3, 2), _normalized(128), nn.ReLU()),
        *(_Residual(128) for _ in range(5)),
        *(nn.Upsample(scale_factor=2), _convolution(128, 64, 3), _normalized(64), nn.ReLU()),
        *(nn.Upsample(scale_factor=2), _convolution(64, 32, 3), _normalized(32), nn.ReLU()),
        _convolution(32, 3, 9),
    ).to(DEVICE)


class _Vgg16(nn.Module):
    """Returns relu1_2, relu2_2, relu3_3 and relu4_3 of a picture."""

    def __init__(self) -> None:
        super().__init__()
        channels, self.blocks = 3, nn.ModuleList()
        for widths in WIDTHS:
            layers: list[nn.Module] = [nn.MaxPool2d(2)] if channels > 3 else []
            for filters in widths:
                layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(inplace=True)]
                channels = filters
            self.blocks.append(nn.Sequential(*layers))

    def forward(self, features: Tensor) -> list[Tensor]:
        found = []
        for block in self.blocks:
            features = block(features)
            found.append(features)
        return found


def _gram_matrices(features: list[Tensor]) -> list[Tensor]:
    matrices = []
    for one in features:
        count, channels, height, width = one.shape
        flat = one.view(count, channels, height * width)
        matrices.append(flat.bmm(flat.transpose(1, 2)) / (channels * height * width))
    return matrices


def as_tensor(pictures: np.ndarray) -> Tensor:
    """Returns (N, H, W, 3) of 0..255 as (N, 3, H, W) float32 on the device."""
    channels_first = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2), np.float32)
    return torch.from_numpy(channels_first).to(DEVICE)


class Training:
    """A training of the example. Calling it does a step and returns the loss."""

    def __init__(self, pictures: np.ndarray):
        """pictures: the batch of every step, (N, H, W, 3) of 0..255; the first is the style."""
        self.pictures = as_tensor(pictures)
        self.transformer = transformer_net()
        self.optimizer = torch.optim.Adam(self.transformer.parameters(), LEARNING_RATE)
        self.vgg = _Vgg16().to(DEVICE).requires_grad_(False)
        style = self.pictures[:1].repeat(len(pictures), 1, 1, 1)
        self.style = _gram_matrices(self.vgg(_of_imagenet(style)))

    def __call__(self) -> float:
        self.optimizer.zero_grad()
        stylized = self.vgg(_of_imagenet(self.transformer(self.pictures)))
        content = self.vgg(_of_imagenet(self.pictures))
        loss = CONTENT_WEIGHT * mse_loss(stylized[1], content[1])
        for matrix, wanted in zip(_gram_matrices(stylized), self.style, strict=True):
            loss = loss + STYLE_WEIGHT * mse_loss(matrix, wanted)
        loss.backward()
        self.optimizer.step()
        return loss.item()


def _of_imagenet(pictures: Tensor) -> Tensor:
    mean, deviation = (pictures.new_tensor(of).view(-1, 1, 1) for of in (MEAN, DEVIATION))
    return (pictures / 255 - mean) / deviation


@torch.no_grad()
def stylize(network: nn.Module, pictures: Tensor) -> np.ndarray:
    """Returns (N, H, W, 3) uint8 from (N, 3, H, W) of 0..255."""
    stylized = network(pictures).clamp(0, 255).cpu().numpy()
    return stylized.transpose(0, 2, 3, 1).astype(np.uint8)


def main() -> None:
    name, output = sys.argv[1:]
    picture = np.asarray(Image.open(name).convert("RGB"))
    [stylized] = stylize(transformer_net(), as_tensor(picture[None]))
    Image.fromarray(stylized).save(output)


if __name__ == "__main__":
    main()
