"""RealNVP on vectors: couplings whose nets are perceptrons, pictures taken as rows of numbers.

    y2 = exp(s(x1)) * x2 + t(x1),   x1 every second number of the vector, then x2 the others

The two halves are kept apart from the first coupling to the last, so nothing is scattered back and
gathered again between couplings (Dinh et al., 2016, arXiv:1605.08803).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from zoo_flow.bijections import LOG_SCALES, SOFT
from zoo_flow.conditioners import Perceptron


def soft(raw: Tensor) -> Tensor:
    """R / (1 + |r| / c), in one new tensor: not differentiated through."""
    root = torch.rsub(raw.abs(), 1.0, alpha=-1 / SOFT)
    return torch.div(raw, root, out=root)


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Even and odd numbers (B, D / 2) -> (B, D / 2, 2)."""
    if torch.is_grad_enabled():
        return torch.stack(list(parts), dim=-1)
    out = parts[0].new_empty(*parts[0].shape, 2)  # a third of the time of torch.stack
    for place, part in enumerate(parts):
        out[..., place].copy_(part)
    return out


class _Soft(torch.autograd.Function):
    """exp(s) * x + t and sum s for s = r / (1 + |r| / c), told = [r, t], in few passes over memory.

    ds/dr = (1 + |r| / c)^-2, so the backward pass needs that root, e^s and x alone, and writes one
    gradient for both halves of what the net said.
    """

    @staticmethod
    def forward(ctx: Any, told: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        raw, shift = told.chunk(2, dim=1)
        root = torch.rsub(raw.abs(), 1.0, alpha=-1 / SOFT)
        s = raw / root
        logdet = s.sum(1)
        scale = s.exp_()
        ctx.save_for_backward(root, scale, x)
        return torch.addcmul(shift, x, scale), logdet

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, moved: Tensor, logdet: Tensor) -> tuple[Tensor, Tensor]:
        root, scale, x = ctx.saved_tensors
        into = moved * scale
        both = moved.new_empty(len(root), 2 * root.shape[1])
        raw, shift = both.chunk(2, dim=1)
        shift.copy_(moved)
        torch.addcmul(logdet[:, None].expand_as(root), into, x, out=raw)
        raw.div_(root).div_(root)
        return both, into


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
        parts, logdets = self.halves(x), []
        for index, net in enumerate(self.nets):
            told = net(parts[index % 2])
            parts[1 - index % 2], logdet = self.move(told, parts[1 - index % 2])
            logdets.append(logdet)
        return joined(parts).view(x.shape), None, torch.stack(logdets).sum(0)

    def move(self, told: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the net said (B, D) and the half that moves (B, D / 2) -> that half, log-determinant."""
        raw, shift = told.chunk(2, dim=1)
        if not torch.is_grad_enabled():  # s is nobody else's, so e^s may take its place
            s = soft(raw) if self.log_scale is LOG_SCALES["soft"] else self.log_scale(raw).clone()
            logdet = s.sum(1)
            return torch.addcmul(shift, x, s.exp_()), logdet
        if self.log_scale is LOG_SCALES["soft"]:
            out: tuple[Tensor, Tensor] = _Soft.apply(told, x)
            return out
        s = self.log_scale(raw)
        return torch.addcmul(shift, x, s.exp()), s.sum(1)

    def inverse(self, x: Tensor, z: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        """The inverse of `forward`."""
        parts = self.halves(x)
        for index in reversed(range(len(self.nets))):
            stays, moves = parts[index % 2], parts[1 - index % 2]
            told = self.nets[index](stays)
            parts[1 - index % 2] = self.move_back(told, moves)
        return joined(parts).view(x.shape)

    def move_back(self, told: Tensor, y: Tensor) -> Tensor:
        """The inverse of `move`: (B, D), (B, D / 2) -> (B, D / 2)."""
        raw, shift = told.chunk(2, dim=1)
        if not torch.is_grad_enabled() and self.log_scale is LOG_SCALES["soft"]:
            return torch.sub(y, shift).mul_(soft(raw).neg_().exp_())
        return (y - shift) * (-self.log_scale(raw)).exp()
