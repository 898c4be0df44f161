"""Pictures in the memory of the device, and crops of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fast_style.errors import UserError
from fast_style.train_loss_network.packs import Decoded, decoded

# Random resized crops as in Szegedy et al. 2015, with less of a zoom.
SMALLEST_PART = 0.35
MOST_STRETCHED = 4 / 3
BRIGHTNESS, CONTRAST, SATURATION = 0.2, 0.2, 0.3


@dataclass(frozen=True)
class Pictures:
    """Decoded pictures of any sizes on one device."""

    pixels: Tensor  # (P, 3) uint8, the rows of all pictures one after the other
    first: Tensor  # (N,) int64, the index in `pixels` of the first pixel of each picture
    height: Tensor  # (N,) int64, as are width and label
    width: Tensor
    label: Tensor

    def __len__(self) -> int:
        return len(self.label)

    def cut(self, chosen: Tensor, boxes: Tensor, mirrored: Tensor, side: int) -> Tensor:
        """Returns parts of pictures, scaled to (N, side, side, 3) float32 RGB 0..255.

        chosen: (N,) picture numbers. boxes: (N, 4) float32 top, left, height and width in pixels.
        mirrored: (N,) bool. Scaling is bilinear, so parts should be at most twice as large as
        `side`.
        """
        width = self.width[chosen]
        steps = (torch.arange(side, device=boxes.device) + 0.5) / side
        across = torch.where(mirrored[:, None], 1 - steps, steps)
        top, upper, down = _neighbours(boxes[:, 0], boxes[:, 2], steps, self.height[chosen])
        left, right, over = _neighbours(boxes[:, 1], boxes[:, 3], across, width)
        top, upper = (
            (self.first[chosen, None] + row * width[:, None])[:, :, None] for row in (top, upper)
        )
        over, down = over[:, None, :, None], down[:, :, None, None]

        def row(start: Tensor) -> Tensor:
            near = self.pixels[start + left[:, None]].float()
            far = self.pixels[start + right[:, None]].float()
            return near.lerp_(far, over)

        return row(top).lerp_(row(upper), down)

    def random_crops(self, chosen: Tensor, side: int, generator: torch.Generator) -> Tensor:
        """Returns (N, side, side, 3) float32: random parts, half mirrored, with other colours."""
        device = self.pixels.device

        def between(low: float, high: float, *shape: int) -> Tensor:
            sample = torch.rand((len(chosen), *shape), generator=generator, device=device)
            return low + (high - low) * sample

        height, width = self.height[chosen].float(), self.width[chosen].float()
        area = height * width * between(SMALLEST_PART, 1)
        stretch = MOST_STRETCHED ** between(-1, 1)
        tall = torch.minimum((area / stretch).sqrt(), height)
        wide = torch.minimum((area * stretch).sqrt(), width)
        top, left = (height - tall) * between(0, 1), (width - wide) * between(0, 1)
        boxes = torch.stack([top, left, tall, wide], dim=1)
        crops = self.cut(chosen, boxes, between(0, 1) < 0.5, side)
        grey = crops.mean(dim=3, keepdim=True)
        crops = grey.lerp(crops, between(1 - SATURATION, 1 + SATURATION, 1, 1, 1))
        mean = grey.mean(dim=(1, 2), keepdim=True)
        crops = mean.lerp(crops, between(1 - CONTRAST, 1 + CONTRAST, 1, 1, 1))
        return crops.mul_(between(1 - BRIGHTNESS, 1 + BRIGHTNESS, 1, 1, 1)).clamp_(0, 255)

    def whole(self, chosen: Tensor, side: int) -> Tensor:
        """Returns (N, side, side, 3) float32: the largest central square of each picture."""
        height, width = self.height[chosen], self.width[chosen]
        part = torch.minimum(height, width)
        boxes = torch.stack([(height - part) / 2, (width - part) / 2, part, part], dim=1)
        return self.cut(chosen, boxes, torch.zeros_like(chosen, dtype=torch.bool), side)


def _neighbours(
    start: Tensor, length: Tensor, steps: Tensor, size: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns (N, side): the two pixels beside each sampled place, and the second one's weight."""
    place = start[:, None] + length[:, None] * steps - 0.5
    last = size[:, None] - 1
    place = place.clamp(min=0).minimum(last)
    before = place.long()
    return before, torch.minimum(before + 1, last), place - before


def read_pictures(pack: Path, device: torch.device) -> tuple[Pictures, Pictures]:
    """Reads the training and the validation pictures of a pack.

    Raises UserError as `decoded` does, and if there are none to train or to validate on.
    """
    parts: dict[bool, list[Decoded]] = {False: [], True: []}
    for part in decoded(pack):
        parts[part.validation].append(part)
    for validation, purpose in ((False, "train"), (True, "validate")):
        if not parts[validation]:
            raise UserError(f"--data {pack}: has no picture to {purpose} on")
    return _joined(parts[False], device), _joined(parts[True], device)


def _joined(parts: list[Decoded], device: torch.device) -> Pictures:
    labels = torch.from_numpy(np.concatenate([part.labels for part in parts]))
    sizes = torch.from_numpy(np.concatenate([part.sizes for part in parts]))
    areas = sizes.prod(dim=1)
    pixels = torch.empty((int(areas.sum()), 3), dtype=torch.uint8, device=device)
    row = 0
    while parts:  # frees each part after it is copied
        part = parts.pop(0)
        pixels[row : row + len(part.pixels)] = torch.from_numpy(part.pixels)
        row += len(part.pixels)
    first = areas.cumsum(0) - areas
    height, width = sizes.unbind(1)
    return Pictures(pixels, *(t.to(device) for t in (first, height, width, labels)))
