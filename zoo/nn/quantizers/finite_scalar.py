"""Finite scalar quantisation: each channel is bounded and rounded to one of a few levels.

    f(z) = tanh(z + s) h - o,   s = atanh(o / h)
    h = (L - 1)(1 + 1e-3) / 2,   o = 1/2 for even L else 0
    code = round(f(z)) / floor(L / 2)

(Mentzer et al. 2023, https://arxiv.org/abs/2309.15505). Even L reach -1 but not +1; the symmetric
form (Parker et al. 2024, https://arxiv.org/abs/2411.19842, section 3.2) does both:

    code = 2 / (L - 1) floor((L - 1)(tanh z + 1) / 2 + 1/2) - 1

There is no codebook and no loss. The token counts in mixed radix, the first channel fastest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from zoo.nn.quantizers.entropy import perplexity
from zoo.nn.quantizers.quantized import Quantized


class FiniteScalarQuantizer(nn.Module):
    """levels: how many values each channel may take, all >= 2 (> 2 unless symmetric).

    hard: clamp to [-1, 1] instead of tanh, for latents that are bounded already. No state.
    """

    def __init__(
        self, levels: Sequence[int], *, symmetric: bool = False, hard: bool = False
    ) -> None:
        super().__init__()
        self.levels = tuple(int(level) for level in levels)
        least = 2 if symmetric else 3
        if not self.levels or min(self.levels) < least:
            raise ValueError(
                f"levels {list(self.levels)}: each channel needs at least {least} "
                + ("of them" if symmetric else "of them, or 2 with symmetric=True")
            )
        self.symmetric, self.hard = symmetric, hard
        self.dim, self.codes = len(self.levels), math.prod(self.levels)

    def extra_repr(self) -> str:
        return f"levels={list(self.levels)}, symmetric={self.symmetric}"

    def forward(self, z: Tensor, generator: Generator | None = None) -> Quantized:
        """Latents (B, D, *space) to codes in [-1, 1]; no generator is needed, the loss is 0."""
        codes = self.quantize(z.movedim(1, -1))  # (B, *space, D)
        tokens = self.index(codes.detach())
        metrics: dict[str, Tensor] = {}
        if self.codes <= 1 << 20:
            counts = torch.bincount(tokens.flatten(), minlength=self.codes).float()
            metrics = {"perplexity": perplexity(counts), "used": (counts > 0).float().mean()}
        return Quantized(codes.movedim(-1, 1).to(z.dtype), tokens, z.new_zeros(()), metrics)

    def tokens(self, z: Tensor) -> Tensor:
        """(B, D, *space) -> (B, *space) int64."""
        return self.index(self.quantize(z.movedim(1, -1)))

    def lookup(self, tokens: Tensor) -> Tensor:
        """(B, *space) integer in 0..codes-1 -> (B, D, *space) float32."""
        levels, basis = self._radix(tokens.device)
        digits = (tokens[..., None] // basis) % levels  # (B, *space, D)
        if self.symmetric:
            codes = digits * (2.0 / (levels - 1)) - 1
        else:
            half = levels // 2
            codes = (digits - half) / half
        return codes.movedim(-1, 1)

    def bound(self, z: Tensor) -> Tensor:
        """(..., D) -> (..., D), before rounding: neighbouring levels are 1 apart."""
        levels = self._radix(z.device)[0].to(z.dtype if z.is_floating_point() else torch.float32)
        if self.symmetric:
            inside = z.clamp(-1, 1) if self.hard else z.tanh()
            return (levels - 1) * (inside + 1) / 2
        half = (levels - 1) * (1 + 1e-3) / 2
        offset = torch.where(levels % 2 == 0, 0.5, 0.0).to(levels)
        if self.hard:
            return (z + offset / half).clamp(-1, 1) * half - offset
        return (z + torch.atanh(offset / half)).tanh() * half - offset

    def quantize(self, z: Tensor) -> Tensor:
        """(..., D) -> codes (..., D), gradients straight through the rounding."""
        if z.shape[-1] != self.dim:
            raise ValueError(
                f"latents have {z.shape[-1]} channels, levels {list(self.levels)} need {self.dim}"
            )
        z = z if z.dtype == torch.float64 else z.float()  # halves cannot hold the bound
        levels = self._radix(z.device)[0]
        bounded = self.bound(z)
        if self.symmetric:
            step = bounded + ((bounded + 0.5).floor() - bounded).detach()
            return step * (2.0 / (levels - 1)) - 1
        step = bounded + (bounded.round() - bounded).detach()
        return step / (levels // 2)

    def index(self, codes: Tensor) -> Tensor:
        """Codes (..., D) -> tokens (...) int64."""
        levels, basis = self._radix(codes.device)
        if self.symmetric:
            digits = (codes + 1) * (levels - 1) / 2
        else:
            digits = codes * (levels // 2) + levels // 2
        return (digits.round().to(torch.int64) * basis).sum(dim=-1)

    def _radix(self, device: torch.device) -> tuple[Tensor, Tensor]:
        levels = torch.tensor(self.levels, device=device)
        basis = [math.prod(self.levels[:i]) for i in range(self.dim)]
        return levels, torch.tensor(basis, device=device)
