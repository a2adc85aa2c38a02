"""A prompt that a half of the net reads before the other half draws: see `zoo_dalle.across`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from zoo_dalle.across import Layer, Shifted
from zoo_dalle.attention import View
from zoo_dalle.shape import Shape
from zoo_dalle.unread import Numbers


class Read(nn.Module):
    """A prompt as ids (B, L) of `pieces`, pads included; the prefix is what is read of them.

    `reader` says how: {depth, heads, hidden} of its layers. `around` are the pieces before and behind every prompt.
    """

    asks: ClassVar[str] = "text"
    predicts: ClassVar[bool] = False
    ids: ClassVar[int] = 0

    def __init__(
        self,
        width: int,
        null: bool,
        length: int,
        pieces: int,
        pad: int,
        reader: Mapping[str, Any],
        around: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.null, self.length = null, length
        self.vocabulary = Numbers(pieces, length, pad, around)
        self.reader = Reader(Shape(width, across=True, **reader), pieces, length, pad)

    def embed(self, given: Tensor) -> Tensor:
        """(B, L) to (B, L, C)."""
        out: Tensor = self.reader(given)
        return out

    def nothing(self, batch: int) -> Tensor:
        """The empty text, (B, L)."""
        return torch.tensor(self.vocabulary.padded("")).expand(batch, -1)


class Reader(nn.Module):
    """Pieces (B, L) to what is read of them (B, L, C), zeros at pads."""

    def __init__(self, shape: Shape, pieces: int, length: int, pad: int) -> None:
        super().__init__()
        self.pad = pad
        self.embedding = nn.Embedding(pieces, shape.width)
        self.places = nn.Parameter(torch.empty(length, shape.width))
        for each in (self.embedding.weight, self.places):
            nn.init.normal_(each, std=0.02)
        self.norm_in = nn.LayerNorm(shape.width, shape.eps)
        self.layers = nn.ModuleList(Layer(shape, looks=False) for _ in range(shape.depth))
        self.norm = Shifted(shape.width, shape.eps)

    def forward(self, pieces: Tensor) -> Tensor:
        inside = pieces != self.pad  # (B, L)
        x = self.norm_in(self.embedding(pieces) + self.places)
        view = View(mask=inside[:, None, None])
        for layer in self.layers:
            x = layer(x, view)
        out: Tensor = self.norm(x) * inside[..., None]
        return out
