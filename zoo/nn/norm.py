"""Group normalisation, and MoVQ's form of it that a second map modulates.

GroupNorm (Wu & He, arXiv:1803.08494): channels in G groups, each group of one picture shifted to mean 0 and
variance 1 over its channels and positions, then scaled and shifted by channel. SpatialNorm (Zheng et al., "MoVQ",
arXiv:2209.09002): the scale and shift of each position are linear in the quantised latent at that position.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class GroupNorm(nn.GroupNorm):
    """nn.GroupNorm that survives training on channels-last memory: (B, C, *) -> (B, C, *).

    torch's CPU backward crashes the process when the input is channels-last, needs no gradient itself and the
    weight does (a frozen layer below); such an input is laid out contiguously first.
    """

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and not x.requires_grad:
            x = x.contiguous()
        return super().forward(x)


class SpatialNorm(nn.Module):
    """norm(x) * conv_y(z) + conv_b(z), z resized (nearest) to x's size; always 32 groups, eps 1e-6.

    x (B, C, H, W), z (B, Z, h, w), gives (B, C, H, W). The 1x1 convolutions commute with the nearest resize, so they
    run at z's size. Source: diffusers' SpatialNorm.
    """

    def __init__(self, channels: int, spatial: int) -> None:
        super().__init__()
        self.norm_layer = GroupNorm(32, channels, eps=1e-6)
        self.conv_y = nn.Conv2d(spatial, channels, 1)
        self.conv_b = nn.Conv2d(spatial, channels, 1)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        h: Tensor = self.norm_layer(x)
        size = h.shape[-2:]
        scale = F.interpolate(self.conv_y(z), size=size, mode="nearest")  # (B, C, H, W)
        shift = F.interpolate(self.conv_b(z), size=size, mode="nearest")  # (B, C, H, W)
        return torch.addcmul(shift, h, scale)
