"""From grey levels to the real line and back.

A pixel of level v in 0 .. 255 and noise u in [0, 1) is the number v + u in [0, 256). `Logit`
(RealNVP, arXiv:1605.08803, section 4.1) maps it with y = alpha + (1 - 2 alpha) (v + u) / 256 to
x = log y - log(1 - y). `Histogram` learns how much of the line each level gets: with p the
probabilities of the levels and c their sums,

    x = Phi^-1(c_v + p_v u),    log dx/du = log p_v + x^2 / 2 + log(2 pi) / 2,

so that pixels distributed as p become exactly standard normal. The first batch sets p.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = 256


class Logit(nn.Module):
    """x = logit(alpha + (1 - 2 alpha) (v + u) / 256)."""

    def __init__(self, alpha: float = 0.05) -> None:
        super().__init__()
        if not 0 <= alpha < 0.5:
            raise ValueError(f"alpha = {alpha} must be in [0, 0.5)")
        self.alpha = alpha

    def forward(self, v: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """Levels int64 and noise, (B, ...) both -> x (B, ...), sum of log dx/du (B,)."""
        width = (1 - 2 * self.alpha) / LEVELS
        low = self.alpha + width * (v + u)
        high = self.alpha + width * ((LEVELS - 1 - v) + (1 - u))
        a, b = low.log(), high.log()
        return a - b, (math.log(width) - a - b).flatten(1).sum(1)

    def inverse(self, x: Tensor) -> Tensor:
        """X (B, ...) -> v + u in (0, 256), clamped there."""
        y = (x.sigmoid() - self.alpha) / (1 - 2 * self.alpha)
        return (y * LEVELS).clamp(0, LEVELS)


class Histogram(nn.Module):
    """x = Phi^-1(c_v + p_v u) with learned p."""

    ready: Tensor

    def __init__(self, floor: float = 1e-3) -> None:
        super().__init__()
        self.floor = floor
        self.logits = nn.Parameter(torch.zeros(LEVELS))
        self.register_buffer("ready", torch.zeros((), dtype=torch.uint8))
        self._seen = False

    def probabilities(self) -> Tensor:
        """P (256,), none under `floor` / 256."""
        return (1 - self.floor) * self.logits.softmax(0) + self.floor / LEVELS

    def forward(self, v: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """Levels int64 and noise, (B, ...) both -> x (B, ...), sum of log dx/du (B,)."""
        if self.training and not self._seen:
            self._begin(v)
        p = self.probabilities()
        below = F.pad(p.cumsum(0)[:-1], (1, 0))
        above = F.pad(p.flip(0).cumsum(0)[:-1], (1, 0)).flip(0)
        mass = p[v]
        low, high = torch.addcmul(below[v], mass, u), torch.addcmul(above[v], mass, 1 - u)
        side = low < high  # the smaller tail has all its digits
        x = torch.special.ndtri(torch.where(side, low, high).clamp(min=1e-37))
        x = torch.where(side, x, -x)
        logdet = mass.log() + x.square() / 2 + math.log(2 * math.pi) / 2
        return x, logdet.flatten(1).sum(1)

    def inverse(self, x: Tensor) -> Tensor:
        """X (B, ...) -> v + u in [0, 256]."""
        p = self.probabilities().double()
        below = F.pad(p.cumsum(0), (1, 0))
        y = torch.special.ndtr(x.double())
        v = (torch.searchsorted(below, y, right=True) - 1).clamp(0, LEVELS - 1)
        low = (y - below[v]) / p[v]
        above = F.pad(p.flip(0).cumsum(0)[:-1], (1, 0)).flip(0)
        high = (torch.special.ndtr(-x.double()) - above[v]) / p[v]
        u = torch.where(x < 0, low, 1 - high)
        return (v + u.clamp(0, 1)).to(x.dtype)

    @torch.no_grad()
    def _begin(self, v: Tensor) -> None:
        if not self.ready:
            count = torch.bincount(v.flatten(), minlength=LEVELS).to(self.logits.dtype) + 1
            self.logits.copy_((count / count.sum()).log())
            self.ready.fill_(1)
        self._seen = True
