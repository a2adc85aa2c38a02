"""Group normalisation, and MoVQ's form of it that a second map modulates.

GroupNorm (Wu & He, arXiv:1803.08494): channels in G groups, each group of one picture shifted to mean 0 and
variance 1 over its channels and positions, then scaled and shifted by channel. SpatialNorm (Zheng et al., "MoVQ",
arXiv:2209.09002): the scale and shift of each position are linear in the quantised latent at that position.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_FAR = 1.0  # a mean this many deviations from zero costs torch's channels-last kernel a digit


class GroupNorm(nn.GroupNorm):
    """nn.GroupNorm that is safe on channels-last memory on a CPU: (B, C, H, W) -> (B, C, H, W).

    Two faults of torch's CPU kernels for that layout are stepped around. Its backward crashes the process when the
    input needs no gradient and the weight does (a frozen layer below): such an input is laid out contiguously
    first. Its variance is E[x^2] - E[x]^2, which cancels when a group's mean is large beside its deviation (an
    error of 1e-2 at 20 to 1): without gradients, such an input is first shifted by the means, which changes
    nothing else.
    """

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad):
            return super().forward(x if x.requires_grad else x.contiguous())
        if x.device.type != "cpu" or x.is_contiguous() or torch.compiler.is_compiling():
            return super().forward(x)
        batch, channels = x.shape[:2]
        area = x.shape[2:].numel()
        out, mean, inverse = torch.native_group_norm(
            x, self.weight, self.bias, batch, channels, area, self.num_groups, self.eps
        )
        if not float((mean * inverse).abs().max()) > _FAR:
            return out
        mean = mean.repeat_interleave(channels // self.num_groups, dim=1)  # (B, C)
        return super().forward(x - mean[:, :, None, None])


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
