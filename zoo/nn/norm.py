"""Group normalisation with SiLU, and MoVQ's form of it that a second map modulates.

GroupNorm (Wu & He, arXiv:1803.08494): channels in G groups, each group of one picture shifted to
mean 0 and variance 1 over its channels and positions, then scaled and shifted by channel.
SpatialNorm (Zheng et al., "MoVQ", arXiv:2209.09002): the scale and shift of each position are
linear in the quantised latent at that position.

Without gradients on a CPU, channels-last maps are normalised by one affine map a channel and in
place where the caller gives the map away. That is exact (torch's own kernel for this layout takes
the variance as E[x^2] - E[x]^2, which loses digits when a mean is large beside its deviation) and
spares the allocation: a fresh map of 32 MiB costs 20 ms of page faults, five times the arithmetic.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


class GroupNorm(nn.GroupNorm):
    """nn.GroupNorm for channels-last maps on a CPU: (B, C, H, W) -> (B, C, H, W).

    `own` gives x away: its memory may become the result's.
    """

    def forward(self, x: Tensor, own: bool = False) -> Tensor:
        """Normalise; see the class."""
        if self.learns(x):
            # torch's CPU backward crashes the process on a channels-last input that needs no
            # gradient itself while the weight does (a frozen layer below).
            return super().forward(x if x.requires_grad else x.contiguous())
        if not self.planar(x):
            return super().forward(x)
        scale, shift, _, _ = affine(x, self)
        return torch.addcmul(shift, x, scale, out=x if own else None)

    def learns(self, x: Tensor) -> bool:
        """Whether a gradient will be asked for."""
        return torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad)

    def planar(self, x: Tensor) -> bool:
        """Whether x (B, C, H, W) is a channels-last map on a CPU, of the weight's type."""
        if x.device.type != "cpu" or x.dtype is not self.weight.dtype or x.ndim != 4:
            return False
        return not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)


def affine(x: Tensor, layer: nn.GroupNorm) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What normalises x (B, C, H, W): scale, shift, mean, 1 / deviation; (B, C, 1, 1) each."""
    moments = [torch.batch_norm_update_stats(x[i : i + 1], None, None, 0.0) for i in range(len(x))]
    groups = (len(x), layer.num_groups, -1)
    mean = torch.stack([each[0] for each in moments]).view(groups)  # (B, G, C / G)
    variance = torch.stack([each[1] for each in moments]).view(groups)
    middle = mean.mean(2, keepdim=True)  # (B, G, 1)
    spread = (variance + (mean - middle).square()).mean(2, keepdim=True)
    inverse = (spread + layer.eps).rsqrt().expand_as(mean)
    scale = inverse * layer.weight.view(1, *groups[1:])
    shift = layer.bias.view(1, *groups[1:]) - middle * scale
    shape = (*x.shape[:2], 1, 1)
    middle = middle.expand_as(mean)
    return scale.view(shape), shift.view(shape), middle.reshape(shape), inverse.reshape(shape)


class _NormSilu(torch.autograd.Function):
    """SiLU of a group norm of a channels-last map; keeps the input alone for the backward pass.

    With h = scale x + shift, d = dy silu'(h) and n numbers a group, dx = scale d - (m1 + m2 x^) /
    deviation where m1, m2 are a group's means of weight d and weight d x^: again affine in d and x,
    channel by channel.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, layer: nn.GroupNorm) -> Tensor:
        kept = affine(x, layer)
        ctx.save_for_backward(x, weight, *kept)
        ctx.groups = layer.num_groups
        out: Tensor = F.silu(torch.addcmul(kept[1], x, kept[0]), inplace=True)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        x, weight, scale, shift, mean, inverse = ctx.saved_tensors
        groups = (len(x), ctx.groups, -1)
        h = torch.addcmul(shift, x, scale)  # (B, C, H, W)
        d = torch.ops.aten.silu_backward(grad, h)  # (B, C, H, W)
        total = d.sum((2, 3), keepdim=True)  # (B, C, 1, 1)
        along = inverse * (torch.mul(d, x, out=h).sum((2, 3), keepdim=True) - mean * total)
        into = None
        if ctx.needs_input_grad[0]:
            count = x[0, 0].numel() * x.shape[1] // ctx.groups

            def middle(values: Tensor) -> Tensor:
                """Mean over a group of weight * values, (B, C, 1, 1) -> (B, C, 1, 1)."""
                parts = (values.flatten(1) * weight).view(groups)  # (B, G, C / G)
                spread: Tensor = (parts.sum(2, keepdim=True) / count).expand_as(parts)
                return spread.reshape(values.shape)

            slope = inverse.square() * middle(along)
            into = torch.addcmul(mean * slope - inverse * middle(total), x, slope, value=-1, out=h)
            into = into.addcmul_(d, scale)
        return into, along.sum((0, 2, 3)), total.sum((0, 2, 3)), None


class SpatialNorm(nn.Module):
    """norm(x) * conv_y(z) + conv_b(z), z resized (nearest) to x's size; always 32 groups, eps 1e-6.

    x (B, C, H, W), z (B, Z, h, w), gives (B, C, H, W). The 1x1 convolutions commute with the
    nearest resize, so they run at z's size. Source: diffusers' SpatialNorm.
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
    """`layer`, made by `norm`, on x (B, C, H, W) and z, if there is one; `own` gives x away."""
    out: Tensor = layer(x, own) if z is None else layer(x, z, own)
    return out


def normalise_silu(layer: nn.Module, x: Tensor, z: Tensor | None, own: bool = False) -> Tensor:
    """SiLU of `normalise`; in training on channels-last maps one step with one tensor kept."""
    if isinstance(layer, GroupNorm) and layer.learns(x) and layer.planar(x):
        out: Tensor = _NormSilu.apply(x, layer.weight, layer.bias, layer)
        return out
    h = normalise(layer, x, z, own)
    return F.silu(h, inplace=not h.requires_grad)  # a norm's output, nobody else's
