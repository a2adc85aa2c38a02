"""Times and noise levels as vectors: what tells a denoising network how noisy its input is.

A time t becomes cosines and sines at frequencies w_i from 1 down to about 1/10000 (Vaswani et al., arXiv:1706.03762;
Ho et al., "DDPM", arXiv:2006.11239),

    w_i = 10000^(-i / (n - shift)),   i = 0 ... n - 1,   n = width // 2,

or, for score networks, at random frequencies of log t ("fourier"; Song et al., arXiv:2011.13456), or a row of a table
("learned"); then a net of two layers. The published implementations differ in the order of the halves and in `shift`.
Frequencies are float32, as the references': at t near 1000 a frequency off by 1e-7 already moves the phase by 1e-4.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Kind = Literal["sinusoid", "fourier", "learned"]
Order = Literal["cos-sin", "sin-cos"]
KINDS, ORDERS = ("sinusoid", "fourier", "learned"), ("cos-sin", "sin-cos")


def sinusoid(t: Tensor, width: int, order: Order = "cos-sin", shift: float = 0.0) -> Tensor:
    """Times (B,) of any number type to (B, width) float32; an odd width ends in a zero."""
    half = width // 2
    exponent = -math.log(10000) * torch.arange(half, dtype=torch.float32, device=t.device)
    phase = t.float()[:, None] * torch.exp(exponent / (half - shift))  # (B, width // 2)
    halves = (phase.cos(), phase.sin())
    found = torch.cat(halves if order == "cos-sin" else halves[::-1], dim=1)
    return F.pad(found, (0, width % 2)) if width % 2 else found


class TimeEmbedding(nn.Module):
    """Times (B,) to vectors (B, embed): features, then linear, SiLU, linear.

    width  of the sinusoid or of the table's rows, or how many frequencies ("fourier", which gives twice as many
           features, and needs t > 0)
    steps  rows of the table ("learned": t is an index then)

    Raises ValueError for an unknown kind or order, or a table without a number of rows.
    """

    def __init__(
        self,
        width: int,
        embed: int,
        kind: Kind = "sinusoid",
        order: Order = "cos-sin",
        shift: float = 0.0,
        steps: int | None = None,
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"unknown kind of time embedding {kind!r}; there are {KINDS}")
        if order not in ORDERS:
            raise ValueError(f"unknown order of a sinusoid {order!r}; there are {ORDERS}")
        if kind == "learned" and not steps:
            raise ValueError("a learned time embedding needs `steps`, how many times there are")
        self.width, self.kind, self.order, self.shift = width, kind, order, shift
        if kind == "fourier":
            self.frequencies = nn.Parameter(torch.empty(width), requires_grad=False)
            nn.init.normal_(self.frequencies, std=16.0)
        if kind == "learned":
            self.table = nn.Embedding(steps or 1, width)
        self.features_width = 2 * width if kind == "fourier" else width
        self.first = nn.Linear(self.features_width, embed)
        self.second = nn.Linear(embed, embed)

    def features(self, t: Tensor) -> Tensor:
        """What goes into the first layer: (B,) to (B, width), or (B, 2 width) of "fourier"."""
        if self.kind == "learned":
            rows: Tensor = self.table(t.long())
            return rows
        if self.kind == "sinusoid":
            return sinusoid(t, self.width, self.order, self.shift)
        phase = t.float().log()[:, None] * self.frequencies.float() * 2 * math.pi
        halves = (phase.cos(), phase.sin())
        return torch.cat(halves if self.order == "cos-sin" else halves[::-1], dim=1)

    def forward(self, t: Tensor) -> Tensor:
        out: Tensor = self.second(F.silu(self.first(self.features(t).to(self.first.weight.dtype))))
        return out
