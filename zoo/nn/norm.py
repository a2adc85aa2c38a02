"""Group normalisation with SiLU, and MoVQ's form of it that a second map modulates.

GroupNorm (Wu & He, arXiv:1803.08494): channels in G groups, each group of one picture shifted to mean 0 and
variance 1 over its channels and positions, then scaled and shifted by channel. SpatialNorm (Zheng et al., "MoVQ",
arXiv:2209.09002): the scale and shift of each position are linear in the quantised latent at that position.

Without gradients on a CPU, channels-last maps are normalised by one affine map a channel and in place where the
caller gives the map away. That is exact (torch's own kernel for this layout takes the variance as E[x^2] - E[x]^2,
which loses digits when a mean is large beside its deviation) and spares the allocation: a fresh map of 32 MiB
costs 20 ms of page faults, five times the arithmetic.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class GroupNorm(nn.GroupNorm):
    """nn.GroupNorm for channels-last maps on a CPU: (B, C, H, W) -> (B, C, H, W).

    `own` gives x away: its memory may become the result's.
    """

    def forward(self, x: Tensor, own: bool = False) -> Tensor:
        """Normalise; see the class."""
        if torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad):
            # torch's CPU backward crashes the process on a channels-last input that needs no gradient itself
            # while the weight does (a frozen layer below).
            return super().forward(x if x.requires_grad else x.contiguous())
        if x.device.type != "cpu" or x.is_contiguous() or x.dtype is not self.weight.dtype:
            return super().forward(x)
        scale, shift = self._affine(x)
        return torch.addcmul(shift, x, scale, out=x if own else None)

    def _affine(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The scale and shift, (B, C, 1, 1) each, that normalise x (B, C, H, W)."""
        moments = [torch.batch_norm_update_stats(each, None, None, 0.0) for each in x.split(1)]
        mean, variance = (torch.stack(each) for each in zip(*moments, strict=True))  # (B, C)
        mean = mean.unflatten(1, (self.num_groups, -1))  # (B, G, C / G)
        variance = variance.unflatten(1, (self.num_groups, -1))
        middle = mean.mean(2, keepdim=True)  # (B, G, 1)
        spread = (variance + (mean - middle).square()).mean(2, keepdim=True)
        scale = (spread + self.eps).rsqrt() * self.weight.unflatten(0, (self.num_groups, -1))
        shift = self.bias.unflatten(0, (self.num_groups, -1)) - middle * scale
        return scale.flatten(1)[:, :, None, None], shift.flatten(1)[:, :, None, None]


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

    def forward(self, x: Tensor, z: Tensor, own: bool = False) -> Tensor:
        """Normalise x by the map z; `own` gives x away."""
        h: Tensor = self.norm_layer(x, own)
        size = h.shape[-2:]
        scale = F.interpolate(self.conv_y(z), size=size, mode="nearest")  # (B, C, H, W)
        shift = F.interpolate(self.conv_b(z), size=size, mode="nearest")  # (B, C, H, W)
        if h.requires_grad or scale.requires_grad:
            return torch.addcmul(shift, h, scale)
        return h.mul_(scale).add_(shift)  # h is a norm's output, nobody else's


def norm(channels: int, groups: int, spatial: int | None) -> nn.Module:
    """GroupNorm with eps 1e-6, or SpatialNorm where a map of `spatial` channels conditions it."""
    if spatial is not None:
        return SpatialNorm(channels, spatial)
    return GroupNorm(groups, channels, eps=1e-6)


def normalise(layer: nn.Module, x: Tensor, z: Tensor | None, own: bool = False) -> Tensor:
    """`layer`, made by `norm`, on x (B, C, H, W), conditioned on z if there is one; `own` gives x away."""
    out: Tensor = layer(x, own) if z is None else layer(x, z, own)
    return out
