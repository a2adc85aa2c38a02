"""Causal transformer blocks, with a step that remembers keys and values.

On positions 1 ... N in order, a block is (pre-norm; Radford et al., "GPT-2", 2019)

    x_t <- x_t + mix(norm(x))_t,       x_t <- x_t + W_2 silu(W_1 norm(x_t))

where `mix` is causal: its value at t depends on positions up to t alone. Causal attention is

    mix(x)_t = W_o sum_{s <= t} softmax_s(q_t . k_s / sqrt(d)) v_s         (Vaswani et al., 2017, arXiv:1706.03762)

so with k_s and v_s kept, position t costs one product with the weights and one look at what is kept. A step gives the
same numbers as the pass over all positions:

    memory = block.memory(B, (N,));   block.step(x_1, memory), block.step(x_2, memory), ...   are   block(x)_1, ...

The positions may be a grid (h, w) in raster order. Letters: B sequences, N positions, C channels.
"""

from __future__ import annotations

from math import prod
from typing import Protocol, cast

from torch import Tensor, nn
from torch.nn import functional as F


class Memory:
    """What a layer keeps of the positions so far: tensors by name, and how many positions there were."""

    def __init__(self, **tensors: Tensor) -> None:
        self.tensors, self.count = tensors, 0


class Mix(Protocol):
    """A causal layer."""

    def memory(self, count: int, grid: tuple[int, ...]) -> Memory:
        """Empty, for `count` sequences on such a grid."""
        ...

    def step(self, x: Tensor, memory: Memory) -> Tensor:
        """The next position: (B, C) to (B, C)."""
        ...


class CausalAttention(nn.Module):
    """Attention of each position to itself and those before it: (B, *grid, C) to the same."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} does not divide among {heads} heads")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(x).flatten(1, -2).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, heads, N, C / heads) each
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(x.shape))
        return out

    def memory(self, count: int, grid: tuple[int, ...]) -> Memory:
        """Room for the keys and values of `count` sequences."""
        shape = (count, self.heads, prod(grid), self.out.in_features // self.heads)
        weight = self.out.weight
        return Memory(keys=weight.new_zeros(shape), values=weight.new_zeros(shape))

    def step(self, x: Tensor, memory: Memory) -> Tensor:
        """The next position: (B, C) to (B, C)."""
        q, k, v = self.qkv(x).view(len(x), 3, self.heads, 1, -1).unbind(1)
        t, keys, values = memory.count, memory.tensors["keys"], memory.tensors["values"]
        keys[:, :, t : t + 1], values[:, :, t : t + 1] = k, v
        memory.count = t + 1
        mixed = F.scaled_dot_product_attention(q, keys[:, :, : t + 1], values[:, :, : t + 1])
        out: Tensor = self.out(mixed.flatten(1))
        return out


class Block(nn.Module):
    """A causal layer `mix`, then a net of two layers at each position: (B, *grid, C) to the same.

    `expand` is the inner width of the second half in widths; `gain` scales the last layer's first weights.
    """

    def __init__(self, mix: nn.Module, width: int, expand: int = 4, gain: float = 1.0) -> None:
        super().__init__()
        self.norm_mix, self.mix = nn.LayerNorm(width), mix
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, expand * width), nn.Linear(expand * width, width)
        nn.init.normal_(self.down.weight, std=gain * (expand * width) ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self._think(x + self.mix(self.norm_mix(x)))

    def memory(self, count: int, grid: tuple[int, ...]) -> Memory:
        """Room for what `mix` keeps of `count` sequences."""
        return cast(Mix, self.mix).memory(count, grid)

    def step(self, x: Tensor, memory: Memory) -> Tensor:
        """The next position: (B, C) to (B, C)."""
        return self._think(x + cast(Mix, self.mix).step(self.norm_mix(x), memory))

    def _think(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.down(F.silu(self.up(self.norm(x))))
        return out


class Trunk(nn.Module):
    """Blocks one after the other and a last LayerNorm: (B, *grid, C) to the same."""

    def __init__(self, mixes: list[nn.Module], width: int, expand: int = 4) -> None:
        super().__init__()
        gain = 0.5 * max(1, len(mixes)) ** -0.5
        self.blocks = nn.ModuleList(Block(mix, width, expand, gain) for mix in mixes)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.norm(x)
        return out

    def memory(self, count: int, grid: tuple[int, ...]) -> list[Memory]:
        """What each block keeps of `count` sequences."""
        return [cast(Block, block).memory(count, grid) for block in self.blocks]

    def step(self, x: Tensor, memories: list[Memory]) -> Tensor:
        """The next position: (B, C) to (B, C)."""
        for block, memory in zip(self.blocks, memories, strict=True):
            x = cast(Block, block).step(x, memory)
        out: Tensor = self.norm(x)
        return out
