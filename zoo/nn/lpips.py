"""Learned perceptual image patch similarity, LPIPS 0.1 (Zhang et al., 2018, arXiv:1801.03924).

    d(x, y) = sum_l mean_{h,w} w_l . (f_l(x) / |f_l(x)| - f_l(y) / |f_l(y)|)^2

f_l are the activations of five layers of an ImageNet classifier (AlexNet or VGG16), |.| the norm over channels
and w_l >= 0 weights learned from human judgements.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Backbone = Literal["alex", "vgg"]
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
TAPS = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29)}
WIDTHS = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}


def _alexnet() -> Iterator[nn.Module]:
    yield nn.Conv2d(3, 64, 11, stride=4, padding=2)
    yield nn.ReLU()
    yield nn.MaxPool2d(3, 2)
    yield nn.Conv2d(64, 192, 5, padding=2)
    yield nn.ReLU()
    yield nn.MaxPool2d(3, 2)
    for before, after in ((192, 384), (384, 256), (256, 256)):
        yield nn.Conv2d(before, after, 3, padding=1)
        yield nn.ReLU()


def _vgg16() -> Iterator[nn.Module]:
    before = 3
    for level, (width, depth) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))):
        if level:
            yield nn.MaxPool2d(2, 2)
        for _ in range(depth):
            yield nn.Conv2d(before, width, 3, padding=1)
            yield nn.ReLU()
            before = width


class LPIPS(nn.Module):
    """Distance of two batches of pictures; its parameters are frozen.

    Args:
        backbone: "alex" (the published metric) or "vgg" (the usual training loss).
    """

    def __init__(self, backbone: Backbone = "alex") -> None:
        super().__init__()
        self.backbone = backbone
        self.features = nn.Sequential(*(_alexnet() if backbone == "alex" else _vgg16()))
        self.lin = nn.ModuleList(nn.Conv2d(width, 1, 1, bias=False) for width in WIDTHS[backbone])
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)

    def taps(self, images: Tensor) -> list[Tensor]:
        """Activations of the five layers, unit length over channels; images (B, 3, H, W) in [-1, 1]."""
        x = (images - self.shift) / self.scale
        found = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in TAPS[self.backbone]:
                # vector_norm has gradient 0 where all channels are 0; sqrt would give NaN there.
                found.append(x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + 1e-10))
        return found

    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        """LPIPS distance (B,) of images (B, 3, H, W) in [-1, 1] to others of the same shape."""
        if images.shape != others.shape:
            raise ValueError(f"LPIPS compares pictures of one shape; got {tuple(images.shape)} and {tuple(others.shape)}.")
        with torch.set_grad_enabled(torch.is_grad_enabled() and others.requires_grad):
            wanted = self.taps(others)
        distance = images.new_zeros(len(images))
        for lin, a, b in zip(self.lin, self.taps(images), wanted, strict=True):
            distance = distance + F.conv2d((a - b).square(), lin.weight).mean((1, 2, 3))
        return distance
