"""Which token comes next: a distribution, narrowed, and a draw from it.

    temperature tau   p^(1 / tau), normalised; 0 takes the likeliest
    top_k             the k likeliest                                             Fan et al., 2018, arXiv:1805.04833
    typical           those whose surprise -log p is nearest the entropy, until they have that probability together
                                                                                  Meister et al., 2022, arXiv:2202.00666
    top_p             the likeliest that have that probability together          Holtzman et al., 2020, arXiv:1904.09751

One after the other in this order, each on what the one before left, normalised. Letters: B pictures, K codes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.errors import RequestError


@dataclass(frozen=True)
class Choice:
    """How to draw; the values given leave a distribution as it is. Raises RequestError for one out of range."""

    temperature: float = 1.0
    top_k: int = 0  # 0: all
    top_p: float = 1.0
    typical: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise RequestError(f"temperature must be 0 or more; got {self.temperature}.")
        if self.top_k < 0:
            raise RequestError(f"top_k is how many codes to keep, 0 for all; got {self.top_k}.")
        for name in ("top_p", "typical"):
            if not 0 < getattr(self, name) <= 1:
                raise RequestError(f"{name} must be in (0, 1]; got {getattr(self, name)}.")

    def narrowed(self, logits: Tensor) -> Tensor:
        """(B, K) logits with minus infinity for what is not to be drawn."""
        logits = logits / (self.temperature or 1.0)
        if self.temperature == 0:
            best = logits.argmax(-1, keepdim=True)
            return torch.full_like(logits, -torch.inf).scatter(-1, best, 0.0)
        if 0 < self.top_k < logits.shape[-1]:
            values, places = logits.topk(self.top_k, -1)
            logits = torch.full_like(logits, -torch.inf).scatter(-1, places, values)
        if self.typical < 1:
            surprise = -logits.log_softmax(-1)  # infinite where nothing is left
            entropy = (surprise * surprise.neg().exp()).nan_to_num().sum(-1, keepdim=True)
            logits = _first(logits, (surprise - entropy).abs(), self.typical)
        if self.top_p < 1:
            logits = _first(logits, -logits, self.top_p)
        return logits

    def draw(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """One token (B,) int64 a row of `logits` (B, K); `uniform` (B,) in [0, 1) are all there is of chance."""
        if self.temperature == 0:
            return logits.argmax(-1)
        codes = None
        if 0 < self.top_k < logits.shape[-1]:  # the others need not be summed
            codes = logits.topk(self.top_k, -1).indices.sort(-1).values
            logits = logits.gather(-1, codes)
        sums = self.narrowed(logits).float().softmax(-1).double().cumsum(-1)  # (B, K)
        mark = uniform.double()[:, None] * sums[:, -1:]
        chosen = torch.searchsorted(sums, mark, right=True).clamp(max=logits.shape[-1] - 1)
        return (chosen if codes is None else codes.gather(-1, chosen)).squeeze(-1)


def _first(logits: Tensor, order: Tensor, mass: float) -> Tensor:
    """Those of smallest `order` that have `mass` together, at least one; minus infinity for the others."""
    places = order.argsort(-1)
    sorted_ = logits.softmax(-1).gather(-1, places)
    late = sorted_.cumsum(-1) - sorted_ >= mass  # enough without it
    return logits.masked_fill(torch.zeros_like(late).scatter(-1, places, late), -torch.inf)
