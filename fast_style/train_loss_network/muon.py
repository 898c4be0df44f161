"""The optimizer Muon for convolution kernels. PyTorch's own takes matrices only."""

from collections.abc import Iterable

import torch
from torch import Tensor

# Coefficients of the iteration, which brings singular values of 0.01 to 1 near 1 in five steps.
A, B, C = 3.4445, -4.7750, 2.0315
NEWTON_SCHULZ_STEPS = 5


class Muon(torch.optim.Optimizer):
    """Nesterov momentum made orthogonal (https://kellerjordan.github.io/posts/muon).

    A kernel (outputs, inputs, 3, 3) is taken as the matrix (outputs, inputs * 9). Batch
    normalization follows every kernel, so only its direction matters. Its norm is held at
    sqrt(outputs), and `lr` is about the angle in radians by which a step turns it. dtype: of the
    iteration.
    """

    def __init__(
        self,
        kernels: Iterable[Tensor],
        lr: float,
        momentum: float = 0.95,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(kernels, {"lr": lr, "momentum": momentum})
        self.dtype = dtype

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = {}
            for kernel in group["params"]:
                alike.setdefault(kernel.shape, []).append(kernel)
            for kernels in alike.values():
                self._step(kernels, group["lr"], group["momentum"])

    def _step(self, kernels: list[Tensor], lr: float, momentum: float) -> None:
        updates = []
        for kernel in kernels:
            if "average" not in self.state[kernel]:
                self.state[kernel]["average"] = torch.zeros_like(kernel)
            average = self.state[kernel]["average"]
            gradient = kernel.grad
            assert gradient is not None
            average.lerp_(gradient, 1 - momentum)
            updates.append(gradient.lerp(average, momentum).flatten(1))
        # All kernels of a shape at once, because launching kernels on the GPU takes the most time.
        for kernel, update in zip(
            kernels, orthogonal(torch.stack(updates), self.dtype), strict=True
        ):
            norm = len(kernel) ** 0.5
            kernel.add_(update.view_as(kernel), alpha=-lr)
            kernel.mul_(norm / kernel.norm())


def orthogonal(matrices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Returns (N, rows, columns) with the same singular vectors and singular values of 0.7 to 1.2.

    It is a Newton-Schulz iteration in `dtype`; bfloat16 is exact enough.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.to(dtype)
    x = x.mT if tall else x
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = A * x + (B * gram + C * gram @ gram) @ x
    return (x.mT if tall else x).to(matrices.dtype)
