"""One layer of a transformer: a mixture over what is seen, then what each position does by itself.

    x <- x + [scale] [norm] mix([shift] norm(x)),      x <- x + [scale] [norm] feed([shift] norm(x))

What stands in brackets a `Shape` may add; `zoo_dalle.transformer` says what each is from.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from zoo_dalle.attention import Attention, View
from zoo_dalle.feedforward import FeedForward, normalise
from zoo_dalle.shape import Shape


class Block(nn.Module):
    """One layer: (B, n, C) to the same. `attention` and `feed` may be another block's as well."""

    def __init__(self, shape: Shape, number: int, attention: Attention, feed: FeedForward) -> None:
        super().__init__()
        self.pattern = shape.patterns[number % len(shape.patterns)]
        width = shape.width
        self.norm_attention = normalise(shape.norm, width, shape.eps)
        self.attention = attention
        self.norm_feed = normalise(shape.norm, width, shape.eps)
        self.feed = feed
        self.dropout = nn.Dropout(shape.dropout)
        if shape.sandwich:
            self.norm_attention_out = normalise(shape.norm, width, shape.eps)
            self.norm_feed_out = normalise(shape.norm, width, shape.eps)
        if shape.layer_scale:
            size = 0.1 if number < 18 else 1e-5 if number < 24 else 1e-6
            self.scale_attention = nn.Parameter(torch.full((width,), size))
            self.scale_feed = nn.Parameter(torch.full((width,), size))
        self.sandwich, self.scaled = shape.sandwich, shape.layer_scale
        self.reversible = shape.reversible

    def forward(
        self, first: Tensor, second: Tensor, view: View, shift: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """All positions at once: the two streams of a reversible block, or one twice; `shift` is the token shift."""
        first = first + self.after_attention(
            self.attention(shift(self.norm_attention(second)), view)
        )
        change = self.after_feed(self.feed(shift(self.norm_feed(first))))
        if self.reversible:
            return first, second + change
        first = first + change
        return first, first

    def after_attention(self, x: Tensor) -> Tensor:
        """What becomes of the attention's output before it is added."""
        if self.sandwich:
            x = self.norm_attention_out(x)
        out: Tensor = self.dropout(x * self.scale_attention if self.scaled else x)
        return out

    def after_feed(self, x: Tensor) -> Tensor:
        """What becomes of the feed-forward's output before it is added."""
        if self.sandwich:
            x = self.norm_feed_out(x)
        out: Tensor = self.dropout(x * self.scale_feed if self.scaled else x)
        return out
