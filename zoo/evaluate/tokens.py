"""What tokens spend and how evenly they use their codebook.

With counts n_k of the K codes over a set, p_k = n_k / sum n:

    usage       share of codes with n_k > 0
    perplexity  exp(-sum_k p_k ln p_k), between 1 (one code) and K (all equally often)
    bits        tokens * log2 K a picture at fixed length; bytes: that over 8, rounded up

The bits are what the tokens cost without any model of them; an entropy coder spends at most about
tokens * log2(perplexity). (Perplexity of a codebook: van den Oord et al., 2017,
arXiv:1711.00937.)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zoo.errors import RequestError


class Histogram:
    """Counts of the codes of a set of tokens, taken batch by batch.

    Args:
        codes: K, size of the codebook.
    """

    def __init__(self, codes: int) -> None:
        if codes < 1:
            raise RequestError(f"A codebook has at least one code; got {codes}.")
        self.codes = codes
        self.counts = torch.zeros(codes, dtype=torch.int64)

    def add(self, tokens: Tensor) -> None:
        """Count integer tokens of any shape; RequestError if one is outside 0 .. K - 1."""
        if tokens.is_floating_point():
            raise RequestError(f"Tokens are integers; got {tokens.dtype}.")
        flat = tokens.detach().flatten().to("cpu", torch.int64)
        if not len(flat):
            return
        low, high = int(flat.min()), int(flat.max())
        if low < 0 or high >= self.codes:
            raise RequestError(
                f"Tokens of this model lie in 0 .. {self.codes - 1}; got {low} .. {high}."
            )
        self.counts += torch.bincount(flat, minlength=self.codes)

    @property
    def total(self) -> int:
        """Number of tokens counted."""
        return int(self.counts.sum())

    def _counted(self) -> Tensor:
        if not self.total:
            raise RequestError("No tokens were counted.")
        return self.counts

    @property
    def usage(self) -> float:
        """Share of codes that occur, 0 to 1. It cannot exceed total / K."""
        return int((self._counted() > 0).sum()) / self.codes

    @property
    def entropy(self) -> float:
        """Entropy of one token in bits, of its own frequency alone."""
        p = self._counted().double() / self.total
        p = p[p > 0]
        return float(-(p * p.log2()).sum())

    @property
    def perplexity(self) -> float:
        """2 to the entropy: how many equally frequent codes would be as varied."""
        return 2**self.entropy


def bits_of(tokens: int, codes: int) -> float:
    """Bits of a picture of that many tokens at fixed length, log2(codes) each."""
    return tokens * math.log2(codes)


def bytes_needed(tokens: int, codes: int) -> int:
    """Whole bytes of a picture of that many tokens: codes ** tokens numbers fit into them."""
    largest: int = codes**tokens - 1
    return (largest.bit_length() + 7) // 8
