"""What every quantizer offers and gives."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Generator, Tensor


class Quantized(NamedTuple):
    """What a quantizer gives.

    codes: like the input, (B, D, h, w), gradients pass straight through to it.
    tokens: (B, h, w) int64. loss: scalar, weighted, 0 where there is nothing to learn.
    metrics: detached scalars by name, unweighted.
    """

    codes: Tensor
    tokens: Tensor
    loss: Tensor
    metrics: dict[str, Tensor]


class Quantizer(Protocol):
    """The quantizers' interface; all are nn.Module. codes: how many; dim: channels of z."""

    codes: int
    dim: int

    def __call__(self, z: Tensor, generator: Generator | None = None) -> Quantized:
        """Quantise latents (B, dim, *space)."""
        ...

    def tokens(self, z: Tensor) -> Tensor:
        """(B, dim, *space) -> (B, *space) int64."""
        ...

    def lookup(self, tokens: Tensor) -> Tensor:
        """(B, *space) integer -> codes (B, D, *space)."""
        ...
