"""Layers on a grid of positions in raster order, each causal, each with a step that remembers.

Position t = (i, j) of an h x w grid comes before (i', j') if i < i', or i = i' and j < j'. A layer f is causal if
f(x)_t depends on x_s with s <= t alone (strictly: s < t). Then f(x)_t can be computed from x_t and what was kept of
the positions before it:

    y_t, memory_t = step(x_t, memory_{t-1}),        y = forward(x) the same numbers for all t at once

A causal convolution reaches `reach` rows up, `reach` columns to both sides in those rows and to the left in its own
(van den Oord et al., 2016, arXiv:1601.06759); causal attention reaches every position before (Chen et al., 2018,
arXiv:1712.09763). Every tensor here has its channels last: (B, h, w, C), which is what matrix products want.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Memory = dict[str, Any]


class CausalConv(nn.Module):
    """(B, h, w, I) -> (B, h, w, O); `strict` leaves out the position itself; `groups` as in nn.Conv2d."""

    mask: Tensor

    def __init__(
        self, inputs: int, outputs: int, reach: int, strict: bool = False, groups: int = 1
    ) -> None:
        super().__init__()
        self.reach, self.groups = reach, groups
        self.weight = nn.Parameter(
            torch.empty(outputs, inputs // groups, reach + 1, 2 * reach + 1)
        )
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("mask", torch.empty(reach + 1, 2 * reach + 1), persistent=False)
        self.strict = strict
        self.reset_buffers()
        seen = 2 * reach * (reach + 1) + (0 if strict else 1)  # taps that are not masked
        nn.init.normal_(self.weight, std=(seen * inputs / groups) ** -0.5)

    def reset_buffers(self) -> None:
        """Fill the mask, after loading onto a net that was built on the meta device."""
        mask = torch.ones(self.mask.shape, dtype=self.weight.dtype, device=self.weight.device)
        mask[-1, self.reach + (0 if self.strict else 1) :] = 0
        self.mask = mask

    def forward(self, x: Tensor) -> Tensor:
        r = self.reach
        padded = F.pad(x.permute(0, 3, 1, 2), (r, r, r, 0))
        out = F.conv2d(padded, self.weight * self.mask, self.bias, groups=self.groups)
        return out.permute(0, 2, 3, 1)

    def memory(self, count: int, height: int, width: int) -> Memory:
        """Room for the inputs of `count` pictures, with the border that the kernel needs."""
        r, (channels, each) = self.reach, (self.groups, self.weight.shape[1])
        shape = (count, height + r, width + 2 * r, channels * each)
        weight = self.weight * self.mask
        if self.groups == 1:
            weight = weight.permute(2, 3, 1, 0).flatten(0, 2).contiguous()  # (taps I, O)
        else:
            weight = weight[:, 0].permute(1, 2, 0).contiguous()  # (rows, columns, C)
        return {"seen": self.weight.new_zeros(shape), "weight": weight}

    def step(self, x: Tensor, i: int, j: int, memory: Memory) -> Tensor:
        """(B, I) at (i, j) -> (B, O); of a strict convolution x is what came before: see `push`."""
        self.push(x, i, j, memory)
        return self.at(i, j, memory)

    def push(self, x: Tensor, i: int, j: int, memory: Memory) -> None:
        """Remember x (B, I) at (i, j)."""
        memory["seen"][:, i + self.reach, j + self.reach] = x

    def at(self, i: int, j: int, memory: Memory) -> Tensor:
        """(B, O) at (i, j) from what is remembered."""
        r = self.reach
        patch = memory["seen"][:, i : i + r + 1, j : j + 2 * r + 1]
        if self.groups == 1:
            return torch.addmm(self.bias, patch.flatten(1), memory["weight"])
        return (patch * memory["weight"]).sum((1, 2)) + self.bias


class CausalAttention(nn.Module):
    """Attention of each position to itself and those before it, `heads` heads: (B, h, w, C) -> the same."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, height, wide, channels = x.shape
        qkv = self.qkv(x).view(batch, height * wide, 3, self.heads, channels // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, heads, N, C / heads) each
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(x.shape))
        return out

    def memory(self, count: int, height: int, width: int) -> Memory:
        """Room for keys and values of `count` pictures."""
        channels = self.out.in_features // self.heads
        shape = (2, count, self.heads, height * width, channels)
        return {"kv": self.out.weight.new_zeros(shape), "width": width}

    def step(self, x: Tensor, i: int, j: int, memory: Memory) -> Tensor:
        """(B, C) at (i, j) -> (B, C)."""
        t = i * memory["width"] + j
        q, k, v = self.qkv(x).view(len(x), 3, self.heads, 1, -1).unbind(1)
        keys, values = memory["kv"]
        keys[:, :, t : t + 1], values[:, :, t : t + 1] = k, v
        mixed = F.scaled_dot_product_attention(q, keys[:, :, : t + 1], values[:, :, : t + 1])
        out: Tensor = self.out(mixed.flatten(1))
        return out


class Block(nn.Module):
    """x + mix(norm(x)), then x + W_2 act(W_1 norm(x)): a layer that looks around and one that thinks."""

    def __init__(self, mix: nn.Module, width: int, expand: int, gain: float = 1.0) -> None:
        super().__init__()
        self.norm_mix, self.mix = nn.LayerNorm(width), mix
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, expand * width), nn.Linear(expand * width, width)
        nn.init.normal_(self.down.weight, std=gain * (expand * width) ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.mix(self.norm_mix(x))
        out: Tensor = x + self.down(F.silu(self.up(self.norm(x))))
        return out

    def memory(self, count: int, height: int, width: int) -> Memory:
        """Room for what `mix` keeps."""
        made: Memory = self.mix.memory(count, height, width)  # type: ignore[operator]
        return made

    def step(self, x: Tensor, i: int, j: int, memory: Memory) -> Tensor:
        """(B, C) at (i, j) -> (B, C)."""
        mixed: Tensor = self.mix.step(self.norm_mix(x), i, j, memory)  # type: ignore[operator]
        x = x + mixed
        out: Tensor = x + self.down(F.silu(self.up(self.norm(x))))
        return out
