"""A causal transformer over the pixels of a picture, each channel of each a token.

    p(s_t | s_<t, y) = softmax(W norm(block_D(... block_1(E[s_{t-1}] + P_t + L_y))))

(Chen et al., "Generative Pretraining from Pixels", 2020; Child et al., 2019, arXiv:1904.10509.) P_t is learned, the sum
of a row's, a column's and a channel's part; before the first token stands a vector of its own. Every token sees all
before it, at a cost that grows with their square: for small pictures. The blocks are `zoo.nn.transformer`'s.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.nn.transformer import CausalAttention, Trunk
from zoo_pixel import raster


class PixelTransformer(nn.Module):
    """A `zoo_pixel.net.Core` of `depth` blocks with `heads` heads; `levels` is 256 or 2 (black and white)."""

    def __init__(
        self,
        size: int,
        channels: int,
        levels: int,
        width: int,
        depth: int,
        heads: int,
        expand: int = 4,
        classes: int = 0,
    ) -> None:
        super().__init__()
        if levels not in (2, 256):
            raise ValueError(f"levels {levels} must be 2 or 256")
        self.size, self.channels, self.levels, self.classes = size, channels, levels, classes
        self.alphabet, self.length, self.rows = levels, channels * size * size, 1
        self.token = nn.Embedding(levels, width)
        self.start = nn.Parameter(torch.randn(width))
        self.row = nn.Parameter(torch.randn(size, 1, 1, width) * 0.5)
        self.column = nn.Parameter(torch.randn(size, 1, width) * 0.5)
        self.channel = nn.Parameter(torch.randn(channels, width) * 0.5)
        self.label = nn.Embedding(classes, width) if classes else None
        self.trunk = Trunk([CausalAttention(width, heads) for _ in range(depth)], width, expand)
        self.head = nn.Linear(width, levels)

    def to_symbols(self, levels: Tensor) -> Tensor:
        """Grey levels (B, C, H, W) to (B, T)."""
        return raster.to_symbols(levels)

    def to_levels(self, symbols: Tensor) -> Tensor:
        """(B, T) to grey levels (B, C, H, W)."""
        return raster.to_levels(symbols, self.channels, self.size)

    def places(self, labels: Tensor | None) -> Tensor:
        """P_t + L_y (B or 1, T, width)."""
        places = (self.row + self.column + self.channel).flatten(0, 2)[None]
        return places if self.label is None else places + self.label(labels)[:, None]

    def log_tables(self, symbols: Tensor, labels: Tensor | None) -> Tensor:
        """Log p(s_t | s_<t, y) (B, T, K)."""
        logits: Tensor = self.head(self.contexts(self.token(symbols), labels))
        return logits.log_softmax(-1)

    def contexts(self, tokens: Tensor, labels: Tensor | None) -> Tensor:
        """Embedded tokens (B, T, width) to what is known of each before it comes, the same shape."""
        start = self.start.expand(len(tokens), 1, -1)
        out: Tensor = self.trunk(torch.cat([start, tokens[:, :-1]], 1) + self.places(labels))
        return out

    def log_prob(self, symbols: Tensor, labels: Tensor | None) -> Tensor:
        """Log p(x | y) (B,)."""
        tables = self.log_tables(symbols, labels)
        return -F.nll_loss(tables.transpose(1, 2), symbols, reduction="none").sum(1)

    def walk(self, count: int, labels: Tensor | None) -> TransformerSteps:
        """The same, step by step."""
        return TransformerSteps(self, count, labels)


class TransformerSteps:
    """Tokens one at a time; each block keeps its keys and values."""

    def __init__(self, net: PixelTransformer, count: int, labels: Tensor | None) -> None:
        self.net, self.t, self.places = net, 0, net.places(labels)
        self.memories = net.trunk.memory(count, (net.length,))
        self.input = net.start.expand(count, -1)
        self.next: Tensor | None = None

    def log_probabilities(self) -> Tensor:
        """(B, K) of the next symbol."""
        if self.next is None:
            features = self.net.trunk.step(self.input + self.places[:, self.t], self.memories)
            self.next = self.net.head(features).log_softmax(-1)
        return self.next

    def push(self, symbols: Tensor) -> None:
        """Go on by one symbol (B,)."""
        self.log_probabilities()  # the blocks must have seen every place
        self.input, self.next = self.net.token(symbols), None
        self.t += 1
