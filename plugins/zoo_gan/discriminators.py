"""The discriminator: pictures, and labels if there are any, to one logit a picture.

    D(x, y) = v . phi(x) + e_y . phi(x)          (B,)

a projection discriminator (Miyato & Koyama, 2018, arXiv:1802.05637); without labels the second term is absent. phi is
a residual net, summed over positions, that begins by space-to-depth. With spectral norm (Miyato et al., 2018,
arXiv:1802.05957) every weight is divided by its largest singular value, found by one power iteration a pass, which
makes each layer 1-Lipschitz as a matrix of (outputs, inputs times kernel).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

SLOPE = 0.2


class Down(nn.Module):
    """A residual block (B, C, H, W) -> (B, C', H / 2, W / 2); `deep` has a convolution at the full resolution."""

    def __init__(self, inputs: int, outputs: int, deep: bool) -> None:
        super().__init__()
        self.refine = nn.Conv2d(inputs, inputs, 3, padding=1) if deep else None
        self.widen = nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = F.leaky_relu(x, SLOPE)
        if self.refine is not None:
            h = F.leaky_relu(self.refine(h), SLOPE)
        out: Tensor = self.widen(h) + self.skip(F.avg_pool2d(x, 2))
        return out


class Discriminator(nn.Module):
    """(B, C, H, W) in [-1, 1] and labels (B,) int64 -> logits (B,).

    Args:
        channels: of the pictures.
        classes: K; 0 for no labels.
        widths: channels of phi at 1 / patch of the resolution, and at each halving after it.
        patch: pixels a side that become channels first.
        deep: whether each block has a second convolution.
        spectral: whether weights are divided by their largest singular value.
    """

    def __init__(
        self,
        channels: int = 3,
        classes: int = 0,
        widths: Sequence[int] = (64, 128, 256),
        patch: int = 2,
        deep: bool = False,
        spectral: bool = True,
    ) -> None:
        super().__init__()
        self.patch = patch
        self.stem = nn.Conv2d(channels * patch**2, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList(Down(a, b, deep) for a, b in pairwise(widths))
        self.last = nn.Conv2d(widths[-1], widths[-1], 3, padding=1)
        self.judge = nn.Linear(widths[-1], 1)
        self.project = nn.Embedding(classes, widths[-1]) if classes else None
        for module in list(self.modules()):
            if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
                nn.init.xavier_uniform_(module.weight)
                if spectral:
                    spectral_norm(module, n_power_iterations=1)

    def features(self, images: Tensor) -> Tensor:
        """phi(x), (B, widths[-1])."""
        h = F.pixel_unshuffle(images, self.patch)
        h = self.stem(h.contiguous(memory_format=torch.channels_last))
        for block in self.blocks:
            h = block(h)
        h = F.leaky_relu(h, SLOPE)
        h = h + F.leaky_relu(self.last(h), SLOPE)
        seen: Tensor = h.sum((2, 3))
        return seen

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        seen = self.features(images)
        logits: Tensor = self.judge(seen).squeeze(1)
        if self.project is not None:
            logits = logits + (self.project(labels) * seen).sum(1)
        return logits
