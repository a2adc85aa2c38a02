"""Image tokens in and out: how a token is embedded, and how the next one is predicted.

    learned     x = E[t],               logits = W h + b                                      K C numbers each
    codebook    x = f(c_t),             logits_k = <q(h), g(c_k)> + b_k                       c_k the tokenizer's code

A codebook of 16,384 codes has more rows than most codes have occurrences in a small set. A code's vector says what its
patch looks like, and near vectors are near patches; so let two small nets f and g read the vectors, and every code
learns from its neighbours (the output is tied to vectors as in Press & Wolf, 2017, arXiv:1608.05859, through g). Only b
is learned code by code. Letters: K codes, D numbers of a code, C channels, r the rank of the output.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from zoo.model import Model


class LearnedCodes(nn.Module):
    """A row of an embedding for each code, and a linear layer to the logits (`bias`: with b)."""

    def __init__(self, codes: int, width: int, bias: bool = True, head: bool = True) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codes, width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.head = nn.Linear(width, codes, bias) if head else None

    def embed(self, tokens: Tensor) -> Tensor:
        """(B, n) to (B, n, C)."""
        out: Tensor = self.embedding(tokens)
        return out

    def logits(self, hidden: Tensor) -> Tensor:
        """(B, n, C) to (B, n, K)."""
        if self.head is None:
            raise ValueError("these codes were made without a head: it is shared with the text's")
        out: Tensor = self.head(hidden)
        return out


class CodebookCodes(nn.Module):
    """Codes by the vectors that `tokenizer` has for them, scaled to mean 0 and variance 1."""

    vectors: Tensor

    def __init__(self, tokenizer: Model, codes: int, width: int, rank: int, hidden: int) -> None:
        super().__init__()
        found = vectors_of(tokenizer, codes)
        self._read = lambda: vectors_of(tokenizer, codes)
        self.register_buffer("vectors", torch.empty(found.shape), persistent=False)
        self.inward = nn.Sequential(
            nn.Linear(found.shape[1], hidden), nn.GELU(), nn.Linear(hidden, width)
        )
        self.query = nn.Linear(width, rank)
        self.outward = nn.Sequential(
            nn.Linear(found.shape[1], hidden), nn.GELU(), nn.Linear(hidden, rank, bias=False)
        )
        self.bias = nn.Parameter(torch.zeros(codes))
        self._kept: tuple[Any, Tensor] | None = None
        if not self.vectors.is_meta:
            self.reset_buffers()

    def reset_buffers(self) -> None:
        """Take the vectors from the tokenizer, to where this net is."""
        self.vectors = self._read().to(self.bias)

    def embed(self, tokens: Tensor) -> Tensor:
        """(B, n) to (B, n, C)."""
        out: Tensor = self.inward(self.vectors[tokens])
        return out

    def logits(self, hidden: Tensor) -> Tensor:
        """(B, n, C) to (B, n, K)."""
        return nn.functional.linear(self.query(hidden), self.keys(), self.bias)

    def keys(self) -> Tensor:
        """g(c_k) (K, r); without gradients computed once for the same weights."""
        if torch.is_grad_enabled():
            return self.outward(self.vectors)  # type: ignore[no-any-return]
        weights = [self.vectors, *self.outward.parameters()]
        mark = [(each.data_ptr(), each._version, each.dtype) for each in weights]
        if self._kept is None or self._kept[0] != mark:
            self._kept = (mark, self.outward(self.vectors))
        return self._kept[1]


def vectors_of(tokenizer: Model, codes: int) -> Tensor:
    """The vectors of a tokenizer's codes (K, D), of mean 0 and variance 1 over all numbers.

    Raises ValueError for a tokenizer whose net has no `lookup` of tokens (B, h, w) to codes (B, D, h, w).
    """
    lookup = getattr(tokenizer.net, "lookup", None)
    if lookup is None:
        raise ValueError(
            f"embed = 'codebook' reads the code vectors of the tokenizer, but the net of {tokenizer.card.title} has no "
            "`lookup`; take embed = 'learned'"
        )
    with torch.device(tokenizer.device), torch.no_grad():
        found: Tensor = lookup(torch.arange(codes).view(1, 1, codes))[0, :, 0].T.float()
    return (found - found.mean(0)) / found.std()
