"""A transformer in two halves: one reads the text both ways, the other draws and looks across at what was read.

    e = read(c)                                                 all of the text sees all of it, (B, L, C)
    x <- x + norm(mix(norm'(x))),      x <- x + norm(look(norm'(x), e)),
    x <- x + W_3 norm'(W_1 y * gelu(W_2 y)),      y = norm'(x)

The half that reads does not `look`. (Vaswani et al., 2017, arXiv:1706.03762; norms behind each part and inside the
feed-forward: Shleifer et al., "NormFormer", 2021, arXiv:2110.09456; a norm behind the embeddings: Lewis et al., "BART",
2019, arXiv:1910.13461.) norm' shifts and does not scale. It is dalle-mini's net (borisdayma/dalle-mini, Apache-2.0).

The half that reads is `zoo_dalle.reading`. The stream of the half that draws is [e_1 ... e_L, begin, t_1 ... t_{T-1}],
so that it stands where a `zoo_dalle.transformer.Transformer` may: positions of e go through as they are, and a row of
zeros is a pad that nothing looks at. What is kept of a layer is [keys of e | keys of the picture].
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from zoo.errors import RequestError
from zoo_dalle.attention import Attention, Kept, View, write
from zoo_dalle.memory import Memory
from zoo_dalle.shape import Shape


class Shifted(nn.Module):
    """LayerNorm with a bias and no weight: (..., C) to the same."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.bias, self.eps = nn.Parameter(torch.zeros(width)), eps

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.bias.shape, None, self.bias, self.eps)


class Look(nn.Module):
    """Attention of (B, n, C) to what was read, by its keys and values (B, heads, L, d)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.read = nn.Linear(width, 2 * width, bias=False)  # W_k above W_v
        self.out = nn.Linear(width, width, bias=False)

    def keys(self, e: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of e (B, L, C)."""
        k, v = self.read(e).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return k, v

    def forward(self, x: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        q = self.query(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class Layer(nn.Module):
    """One layer, of the half that draws if `looks`: (B, n, C) to the same."""

    def __init__(self, shape: Shape, looks: bool) -> None:
        super().__init__()
        width, hidden, eps = shape.width, shape.hidden or 4 * shape.width, shape.eps
        self.attention = Attention(width, shape.heads, shape.heads, shape.channels, False, False)
        self.before, self.after = Shifted(width, eps), nn.LayerNorm(width, eps)
        self.look = Look(width, shape.heads) if looks else None
        if looks:
            self.before_look, self.after_look = Shifted(width, eps), nn.LayerNorm(width, eps)
        self.before_feed, self.inside_feed = Shifted(width, eps), Shifted(hidden, eps)
        self.up = nn.Linear(width, 2 * hidden, bias=False)  # values above gates
        self.down = nn.Linear(hidden, width, bias=False)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(
        self, x: Tensor, view: View, e: Tensor | None = None, seen: Tensor | None = None
    ) -> Tensor:
        """`seen` (B, 1, 1, L) bool are the positions of e (B, L, C) that may be looked at."""
        x = x + self.dropout(self.after(self.attention(self.before(x), view)))
        if self.look is not None and e is not None and seen is not None:
            x = self.looked(x, *self.look.keys(e), seen)
        return self.fed(x)

    def looked(self, x: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
        """What is read added to the stream."""
        look = cast(Look, self.look)
        out: Tensor = x + self.dropout(self.after_look(look(self.before_look(x), k, v, seen)))
        return out

    def fed(self, x: Tensor) -> Tensor:
        """The feed-forward added to the stream."""
        value, gate = self.up(self.before_feed(x)).chunk(2, -1)
        out: Tensor = x + self.dropout(self.down(self.inside_feed(value * F.gelu(gate))))
        return out


class Across(nn.Module):
    """The half that draws, of P = L + 1 prefix positions; what a `Transformer` does, by the same names."""

    def __init__(self, shape: Shape, prefix: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.shape, self.prefix, self.grid = shape, prefix, grid
        self.total = prefix + grid[0] * grid[1]
        self.places = nn.Parameter(torch.empty(grid[0] * grid[1], shape.width))  # begin's is first
        nn.init.normal_(self.places, std=0.02)
        self.norm_in = nn.LayerNorm(shape.width, shape.eps)
        self.blocks = nn.ModuleList(Layer(shape, looks=True) for _ in range(shape.depth))
        self.norm = Shifted(shape.width, shape.eps)

    def forward(self, x: Tensor, allowed: Tensor | None = None) -> Tensor:
        """(B, n, C) to the same, of the first n positions, n above L; `allowed` (B, P) narrows what is looked at."""
        read = self.prefix - 1
        e, h = x[:, :read], self._laid(x[:, read:], 0)
        seen = _seen(e, allowed)[:, None, None]
        for block in self.blocks:
            args = (h, View(causal=True), e, seen)
            if self.shape.checkpoint and self.training and torch.is_grad_enabled():
                h = checkpoint(block, *args, use_reentrant=False)
            else:
                h = block(*args)
        return torch.cat([e, self.norm(h)], 1)

    def memory(
        self, count: int, dtype: torch.dtype | None = None, allowed: Tensor | None = None
    ) -> Memory:
        """Room for what all layers keep of `count` streams; `allowed` as in `forward`."""
        like, heads = self.places, self.shape.heads
        size = (count, heads, self.total, self.shape.channels)
        layers = [
            Kept(like.new_zeros(size, dtype=dtype), like.new_zeros(size, dtype=dtype))
            for _ in self.blocks
        ]
        return Memory(layers, self.prefix, allowed)

    def extend(self, x: Tensor, memory: Memory) -> Tensor:
        """The next n positions (B, n, C), by what `memory` holds of those before; it then holds these as well.

        Raises ValueError past the last position, and for a part of the prefix: it is read whole.
        """
        start, read = memory.count, self.prefix - 1
        stop = start + x.shape[1]
        if stop > self.total:
            raise ValueError(f"the stream has {self.total} positions, of which {stop} are asked")
        if start < self.prefix and (start or stop < self.prefix):
            raise ValueError(f"the {self.prefix} positions of the prefix are read at once")
        e = x[:, : max(read - start, 0)]
        if not start:
            found = _seen(e, memory.allowed)
            memory.allowed = F.pad(found, (0, self.total - read), value=True)
        h = self._laid(x[:, e.shape[1] :], max(start - read, 0))
        seen = cast(Tensor, memory.allowed)[:, None, None, :read]
        places = torch.arange(stop - h.shape[1], stop, device=x.device)
        mask = places[:, None] >= torch.arange(read, stop, device=x.device)
        view = View(mask=mask)
        for each, kept in zip(self.blocks, memory.layers, strict=True):
            block = cast(Layer, each)
            look = cast(Look, block.look)
            q, k, v = block.attention.project(block.before(h), view)
            if not start:
                k, v = (torch.cat(both, 2) for both in zip(look.keys(e), (k, v), strict=True))
            keys, values = write(kept, k, v, start, self.prefix)
            mixed = block.attention.mix(q, keys[:, :, read:], values[:, :, read:], mask, False)
            h = h + block.after(block.attention.finish(mixed))
            h = block.fed(block.looked(h, keys[:, :, :read], values[:, :, :read], seen))
        memory.count = stop
        return torch.cat([e, self.norm(h)], 1)

    def stepper(self, weights: str = "float") -> Steps:
        """Positions one by one. Raises RequestError for weights other than "float"."""
        return Steps(self, weights)

    def _laid(self, x: Tensor, place: int) -> Tensor:
        """Begin and tokens with their places, of which `place` is the first."""
        out: Tensor = self.norm_in(x + self.places[place : place + x.shape[1]])
        return out


class Steps:
    """What `zoo_dalle.stepping.Stepper` is to a Transformer; each step is `extend`."""

    def __init__(self, net: Across, weights: str) -> None:
        if weights != "float":
            raise RequestError(
                f"weights = {weights!r}: a model that reads its text by a half of its own has 'float' alone."
            )
        self.net, self.weights = net, weights

    def step(self, x: Tensor, memory: Memory) -> Tensor:
        """The next position (B, 1, C)."""
        return self.net.extend(x, memory)


def _seen(e: Tensor, allowed: Tensor | None) -> Tensor:
    """(B, L) bool: the positions of e (B, L, C) that are no pads, and allowed (B, P)."""
    inside = (e != 0).any(-1)
    return inside if allowed is None else inside & allowed[:, : e.shape[1]]
