"""What a block does at each position by itself.

    gelu         W_2 gelu(W_1 x)              Hendrycks and Gimpel, 2016, arXiv:1606.08415, by the error function
    gelu-tanh    the same by its approximation, section 2: x/2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
    geglu        W_2 (W_v x * gelu(W_g x))    Shazeer, 2020, arXiv:2002.05202
    swiglu       W_2 (W_v x * silu(W_g x))

`up` holds W_1, or W_v above W_g: value rows first, then gate rows, one product with the weights instead of two.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BENDS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu-tanh": partial(F.gelu, approximate="tanh"),
    "geglu": F.gelu,
    "swiglu": F.silu,
}
KINDS = tuple(BENDS)
GATED = ("geglu", "swiglu")


class FeedForward(nn.Module):
    """(B, n, C) to the same through `hidden` inner channels; `kind` is one of KINDS."""

    def __init__(self, width: int, hidden: int, kind: str, bias: bool = True) -> None:
        super().__init__()
        self.gated, self.bend = kind in GATED, BENDS[kind]
        self.up = nn.Linear(width, 2 * hidden if self.gated else hidden, bias)
        self.down = nn.Linear(hidden, width, bias)

    def forward(self, x: Tensor) -> Tensor:
        up = self.up(x)
        if self.gated:
            value, gate = up.chunk(2, dim=-1)
            inner = value * self.bend(gate)
        else:
            inner = self.bend(up)
        out: Tensor = self.down(inner)
        return out


def normalise(kind: str, width: int, eps: float) -> nn.Module:
    """LayerNorm (Ba et al., 2016, arXiv:1607.06450) or RMSNorm (Zhang and Sennrich, 2019, arXiv:1910.07467)."""
    return nn.LayerNorm(width, eps) if kind == "layer" else nn.RMSNorm(width, eps)


class LargestOne(nn.Module):
    """x / max_c x_c at each position, the divisor taken as a constant (DALLE-pytorch's `stable`)."""

    def forward(self, x: Tensor) -> Tensor:
        return x / torch.amax(x, dim=-1, keepdim=True).detach()
