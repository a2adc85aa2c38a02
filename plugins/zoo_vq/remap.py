"""Tokens renumbered to those a data set uses (taming-transformers' `remap`).

`used` lists the kept codes; the token of used[i] is i. A code outside the list is "unknown": it
becomes a fixed number, a number of its own after the others ("extra"), or a random used one
("random").
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn


class Remap(nn.Module):
    """`used` (K,) codes in the order of their new numbers; `codes` counts these, extra included.

    The buffer is loaded with the weights, so it is built with its size alone.
    """

    def __init__(self, used: int, unknown: str | int = "random") -> None:
        super().__init__()
        if isinstance(unknown, str) and unknown not in ("random", "extra"):
            raise ValueError(f"unknown={unknown!r}: there are 'random', 'extra' and a number")
        self.used: Tensor
        self.register_buffer("used", torch.arange(used))
        self.extra = unknown == "extra"
        self.unknown = used if unknown == "extra" else unknown
        self.codes = used + int(self.extra)

    def narrow(self, tokens: Tensor, generator: Generator | None = None) -> Tensor:
        """Codes of the whole codebook (...) int64 -> renumbered tokens (...).

        "random" without a generator is a fixed used code for each unknown one.
        """
        match = tokens.flatten()[:, None] == self.used[None, :]  # (N, K)
        new = match.to(torch.uint8).argmax(dim=1)
        lost = ~match.any(dim=1)
        if self.unknown != "random":
            new[lost] = int(self.unknown)
        elif generator is None:
            new[lost] = tokens.flatten()[lost] % len(self.used)
        else:
            drawn = torch.randint(len(self.used), tokens.shape, generator=generator)
            new[lost] = drawn.to(new.device).flatten()[lost]
        return new.view(tokens.shape)

    def widen(self, tokens: Tensor) -> Tensor:
        """Renumbered tokens (...) -> codes of the codebook (...), the extra one as used[0]."""
        if self.extra:
            tokens = torch.where(tokens >= len(self.used), 0, tokens)
        return self.used[tokens]
