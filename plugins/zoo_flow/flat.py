"""RealNVP on vectors: couplings whose nets are perceptrons, pictures taken as rows of numbers.

    y2 = exp(s(x1)) * x2 + t(x1),   x1 every second number of the vector, then x2 the others

The two halves are kept apart from the first coupling to the last, so nothing is scattered back and
gathered again between couplings (Dinh et al., 2016, arXiv:1605.08803).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zoo_flow.bijections import LOG_SCALES
from zoo_flow.conditioners import Perceptron


class FlatStage(nn.Module):
    """`couplings` on the numbers of (B, C, H, W) in a row; the net of each has layers of `hidden`."""

    prior = None

    def __init__(
        self,
        shape: tuple[int, int, int],
        couplings: int,
        hidden: Sequence[int],
        scale: str = "soft",
        classes: int = 0,
    ) -> None:
        super().__init__()
        numbers = math.prod(shape)
        if numbers % 2:
            raise ValueError(f"{numbers} numbers have no two halves")
        if classes:
            raise ValueError("couplings with `hidden` do not take labels; leave `classes` out")
        self.shape, self.log_scale = shape, LOG_SCALES[scale]
        self.nets = nn.ModuleList(
            Perceptron(numbers // 2, numbers, list(hidden)) for _ in range(couplings)
        )

    def halves(self, x: Tensor) -> list[Tensor]:
        """(B, *S) -> the even and the odd numbers, (B, D / 2) each."""
        pairs = x.reshape(len(x), -1, 2)
        return [pairs[..., 0].contiguous(), pairs[..., 1].contiguous()]

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, None, Tensor]:
        """What goes on, None (nothing leaves), log-determinant (B,)."""
        parts = self.halves(x)
        total = x.new_zeros(len(x))
        for index, net in enumerate(self.nets):
            stays, moves = parts[index % 2], parts[1 - index % 2]
            raw, shift = net(stays).chunk(2, dim=1)
            s = self.log_scale(raw)
            parts[1 - index % 2] = torch.addcmul(shift, moves, s.exp())
            total = total + s.sum(1)
        return torch.stack(parts, dim=-1).reshape(x.shape), None, total

    def inverse(self, x: Tensor, z: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        """The inverse of `forward`."""
        parts = self.halves(x)
        for index in reversed(range(len(self.nets))):
            stays, moves = parts[index % 2], parts[1 - index % 2]
            raw, shift = self.nets[index](stays).chunk(2, dim=1)
            parts[1 - index % 2] = (moves - shift) * (-self.log_scale(raw)).exp()
        return torch.stack(parts, dim=-1).reshape(x.shape)
