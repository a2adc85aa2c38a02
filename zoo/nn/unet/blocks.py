"""The blocks of a denoising U-Net: residual with an embedding, attention, resampling.

A residual block (Ho et al., arXiv:2006.11239, appendix B; Dhariwal and Nichol, arXiv:2105.05233), with e the
activated embedding of time and label, is

    h = conv(act(norm(x)));   x + conv(act(norm(h + W e)))                       "shift"
                              x + conv(act(norm(h) (1 + s) + b)), (s, b) = W e   "scale-shift"

and may halve or double the sides between the first activation and convolution (of x too: means of 2x2, copies).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.nn.norm import GroupNorm, normalise_silu
from zoo.nn.residual import ACTIVATIONS, Downsample, Upsample
from zoo.nn.unet.options import DOWN, UP, Attending, Residual, Split, at
from zoo.nn.unet.transformer import SpatialTransformer

Resize = Literal["down", "up"]


class Block(nn.Module):
    """x (B, inputs, H, W), e (B, embed) -> (B, outputs, H, W), or half or twice the sides with `resize`.

    `scale` divides the sum of the two branches. The last convolution starts at zero.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        embed: int,
        options: Residual,
        resize: Resize | None = None,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.resize, self.scale, self.activation = resize, scale, options.activation
        self.modulates = options.modulation == "scale-shift"
        self.norm1 = GroupNorm(options.groups, inputs, eps=options.eps)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.embed = nn.Linear(embed, 2 * outputs if self.modulates else outputs)
        self.norm2 = GroupNorm(options.groups, outputs, eps=options.eps)
        self.dropout = nn.Dropout(options.dropout)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else None
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        h = self._activated(self.norm1, x)
        if self.resize is not None:
            h, x = resized(h, self.resize), resized(x, self.resize)
        h = self.conv1(h)
        told = self.embed(e)[:, :, None, None]  # (B, outputs or 2 outputs, 1, 1)
        if self.modulates:
            h = self._modulated(h, *told.chunk(2, dim=1))
        else:
            h = self._activated(self.norm2, h.add_(told), own=True)
        h = self.conv2(self.dropout(h))
        out: Tensor = h.add_(x if self.shortcut is None else self.shortcut(x))
        return out if self.scale == 1 else out / self.scale

    def _modulated(self, h: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        h = self.norm2(h, own=True)
        if h.requires_grad or scale.requires_grad:
            return ACTIVATIONS[self.activation](torch.addcmul(shift, h, 1 + scale))
        h = torch.addcmul(shift, h, 1 + scale, out=h)  # a norm's output, nobody else's
        return F.silu(h, inplace=True) if self._silu else ACTIVATIONS[self.activation](h)

    @property
    def _silu(self) -> bool:
        return self.activation in ("silu", "swish")

    def _activated(self, layer: GroupNorm, x: Tensor, own: bool = False) -> Tensor:
        if self._silu:
            return normalise_silu(layer, x, None, own)
        return ACTIVATIONS[self.activation](layer(x, own))


def resized(x: Tensor, how: Resize) -> Tensor:
    """Half the sides by means of 2x2 pixels, or twice by copies: (B, C, H, W) to the same type."""
    if how == "down":
        return F.avg_pool2d(x, 2)
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class SelfAttention(nn.Module):
    """Attention of every position to every other, with a residual: (B, C, H, W) to the same.

    x + W_o softmax(q k^T / sqrt(d)) v, with q, k, v linear in norm(x); d channels a head. `groups` None: no norm.
    A context is not attended to: `SpatialTransformer` does that.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        head_channels: int,
        *,
        groups: int | None,
        eps: float = 1e-5,
        split: Split = "heads",
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        inner = heads * head_channels
        self.heads, self.split, self.scale = heads, split, scale
        self.norm = GroupNorm(groups, channels, eps=eps) if groups else None
        if split == "apart":
            self.q = nn.Linear(channels, inner)
            self.k = nn.Linear(channels, inner)
            self.v = nn.Linear(channels, inner)
        else:
            self.qkv = nn.Linear(channels, 3 * inner)
        self.out = nn.Linear(inner, channels)
        nn.init.zeros_(self.out.weight)

    def forward(
        self, x: Tensor, context: Tensor | None = None, allowed: Tensor | None = None
    ) -> Tensor:
        h = (x if self.norm is None else self.norm(x)).flatten(2)
        h = h.transpose(1, 2).contiguous()  # (B, N, C), turned once and not by every projection
        q, k, v = self._projected(h)  # (B, heads, N, d) each
        h = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)  # (B, N, inner)
        h = self.out(h).transpose(1, 2).reshape(x.shape)
        out: Tensor = x + h  # in this order: the sum keeps x's memory layout
        return out if self.scale == 1 else out / self.scale

    def _projected(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self.split == "apart":
            shape = (self.heads, -1)
            q, k, v = (
                layer(h).unflatten(2, shape).transpose(1, 2) for layer in (self.q, self.k, self.v)
            )
            return q, k, v
        return split(self.qkv(h), self.heads, self.split)


def split(qkv: Tensor, heads: int, order: Split) -> tuple[Tensor, Tensor, Tensor]:
    """One projection (B, N, 3 heads d) as queries, keys and values (B, heads, N, d) each."""
    if order == "heads":
        q, k, v = qkv.view(*qkv.shape[:2], heads, 3, -1).permute(3, 0, 2, 1, 4)
    else:
        q, k, v = qkv.view(*qkv.shape[:2], 3, heads, -1).permute(2, 0, 3, 1, 4)
    return q, k, v


def attention(
    channels: int,
    options: Attending,
    residual: Residual,
    where: Literal["down", "middle", "up"],
    level: int = -1,
    scale: float = 1.0,
) -> SelfAttention | SpatialTransformer:
    """The attention block of a place. Raises ValueError for what a transformer does not have."""
    heads, each = options.shape(channels, where == "up", level)
    groups = options.groups if options.groups is not None else residual.groups
    if where == "middle" and options.middle_groups is not None:
        groups = options.middle_groups
    if options.context is not None:
        if scale != 1 or not groups:
            raise ValueError("a spatial transformer is normed, and its sums are not divided")
        depth = at(options.depth, level)
        return SpatialTransformer(channels, options.context, heads, each, depth, groups)
    return SelfAttention(
        channels,
        heads,
        each,
        groups=groups or None,
        eps=residual.eps,
        split=options.split,
        scale=scale,
    )


class HalvingConv(nn.Module):
    """A 3x3 convolution of stride 2 with a zero all around: (B, C, H, W) -> (B, C, ceil(H / 2), ceil(W / 2))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


def resampling(kind: str, channels: int, embed: int, options: Residual, up: bool) -> nn.Module:
    """The layer between two levels.

    Down: "conv", "conv-right" (zeros at the right and below alone, as DDPM's), "pool", "block". Up: "conv" (nearest,
    then 3x3), "nearest", "block". Raises ValueError for another.
    """
    if kind not in (UP if up else DOWN):
        raise ValueError(
            f"unknown {'up' if up else 'down'} {kind!r}; there are {UP if up else DOWN}"
        )
    if kind == "block":
        return Block(channels, channels, embed, options, "up" if up else "down")
    if up:
        return Upsample(channels, conv=kind == "conv")
    return HalvingConv(channels) if kind == "conv" else Downsample(channels, kind == "conv-right")


def pieces(network: nn.Module) -> list[nn.Module]:
    """A denoising network's blocks, each called as a module: a DiT's `blocks`, or a U-Net's blocks and attentions."""
    own = getattr(network, "blocks", None)
    if isinstance(own, nn.ModuleList):
        return list(own)
    kinds = (Block, SelfAttention, SpatialTransformer)
    return [each for each in network.modules() if isinstance(each, kinds)]
