"""The spatial transformer of a conditional U-Net: every position attends to every other, then to a context.

With tokens x_i, the positions of a group-normalised map through a linear layer, each block is

    x <- x + attention(norm x, norm x),   x <- x + attention(norm x, context),
    x <- x + W_2 (v gelu(g)),   (v, g) = W_1 norm x

and the map gains what the tokens became, through another linear layer (Rombach et al., "Latent Diffusion",
arXiv:2112.10752, appendix E; the gate is GEGLU, Shazeer, arXiv:2002.05202). Letters: N positions, L context tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.nn.norm import GroupNorm


class CrossAttention(nn.Module):
    """softmax(q k^T / sqrt(d)) v -> (B, N, C), q linear in x (B, N, C), k and v in a context (B, L, D); none: x."""

    def __init__(self, channels: int, context: int, heads: int, head_channels: int) -> None:
        super().__init__()
        inner = heads * head_channels
        self.heads = heads
        self.q = nn.Linear(channels, inner, bias=False)
        self.k = nn.Linear(context, inner, bias=False)
        self.v = nn.Linear(context, inner, bias=False)
        self.out = nn.Linear(inner, channels)

    def forward(
        self, x: Tensor, context: Tensor | None = None, allowed: Tensor | None = None
    ) -> Tensor:
        """`allowed` (B, L) bool: which of the context may be seen; all if not given."""
        seen = x if context is None else context
        q, k, v = (
            each.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for each in (self.q(x), self.k(seen), self.v(seen))
        )
        mask = None if allowed is None else allowed[:, None, None]
        h = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)  # (B, heads, N, d)
        out: Tensor = self.out(h.transpose(1, 2).flatten(2))
        return out


class GatedLayers(nn.Module):
    """GEGLU: (B, N, C) to the same over four times the width, the value's half first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.up = nn.Linear(channels, 8 * channels)
        self.down = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.up(x).chunk(2, dim=2)
        out: Tensor = self.down(value * F.gelu(gate))
        return out


class TransformerBlock(nn.Module):
    """x (B, N, C), context (B, L, D) -> (B, N, C); see the module."""

    def __init__(self, channels: int, context: int, heads: int, head_channels: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.itself = CrossAttention(channels, channels, heads, head_channels)
        self.norm2 = nn.LayerNorm(channels)
        self.context = CrossAttention(channels, context, heads, head_channels)
        self.norm3 = nn.LayerNorm(channels)
        self.layers = GatedLayers(channels)

    def forward(self, x: Tensor, context: Tensor, allowed: Tensor | None) -> Tensor:
        x = x + self.itself(self.norm1(x))
        x = x + self.context(self.norm2(x), context, allowed)
        out: Tensor = x + self.layers(self.norm3(x))
        return out


class SpatialTransformer(nn.Module):
    """x (B, C, H, W), context (B, L, D) -> (B, C, H, W): x and what `depth` blocks make of its positions.

    `allowed` (B, L) bool says which of the context may be seen. The last layer starts at zero. Raises ValueError
    without a context, or for one of another width.
    """

    def __init__(
        self, channels: int, context: int, heads: int, head_channels: int, depth: int, groups: int
    ) -> None:
        super().__init__()
        inner = heads * head_channels
        self.wanted = context
        self.norm = GroupNorm(groups, channels, eps=1e-6)
        self.enter = nn.Linear(channels, inner)
        self.blocks = nn.ModuleList(
            TransformerBlock(inner, context, heads, head_channels) for _ in range(depth)
        )
        self.leave = nn.Linear(inner, channels)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(
        self, x: Tensor, context: Tensor | None = None, allowed: Tensor | None = None
    ) -> Tensor:
        if context is None or context.shape[2] != self.wanted:
            got = "none" if context is None else f"{tuple(context.shape)}"
            raise ValueError(f"the net attends to `text` (B, L, {self.wanted}), got {got}")
        h = self.norm(x).flatten(2).transpose(1, 2).contiguous()  # (B, N, C), turned once
        h = self.enter(h)
        for block in self.blocks:
            h = block(h, context, allowed)
        return torch.add(x, self.leave(h).transpose(1, 2).reshape(x.shape))
