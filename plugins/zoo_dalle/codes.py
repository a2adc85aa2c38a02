"""Image tokens in and out: how a token is embedded, and how the next one is predicted.

    learned     x = E[t],               logits = W h + b                                      K C numbers each
    codebook    x = f(c_t),             logits_k = <q(h), g(c_k)> + b_k                       c_k the tokenizer's code

    groups      p(k | h) = p(G(k) | h) p(k | G(k), h)                                         two steps (Goodman, 2001,
                p(g | h) = softmax(W h + b)_g,  p(k | g, h) = softmax over g of the codebook's logits     cs/0108006)

A codebook of 16,384 codes has more rows than most codes have occurrences in a small set. A code's vector says what its
patch looks like, and near vectors are near patches; so let two small nets f and g read the vectors, and every code
learns from its neighbours (the output is tied to vectors as in Press & Wolf, 2017, arXiv:1608.05859, through g). Only b
is learned code by code. In groups of M near codes, one token of training costs K / M + M numbers instead of K: groups
are halves of halves, each cut at the median along its longest axis. All three give exact, normalised probabilities.
Letters: K codes, D numbers of a code, C channels, r the rank of the output, G groups of M.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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
        """(..., C) to (..., K)."""
        if self.head is None:
            raise ValueError("these codes were made without a head: it is shared with the text's")
        out: Tensor = self.head(hidden)
        return out

    def losses(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        """-log p (N,) of tokens (N,) where the net knows `hidden` (N, C)."""
        return F.cross_entropy(self.logits(hidden), tokens, reduction="none")


class CodebookCodes(nn.Module):
    """Codes by the vectors that `tokenizer` has for them, scaled to mean 0 and variance 1.

    `hidden` is the inner width of f and g, `groups` how many groups there are, a power of 2; 0: one softmax over all.
    """

    vectors: Tensor
    order: Tensor  # (K,) int32: the codes, group by group; in the weights, as its rounding differs between machines

    def __init__(
        self, tokenizer: Model, codes: int, width: int, rank: int, hidden: int, groups: int = 0
    ) -> None:
        super().__init__()
        if groups and (groups & (groups - 1) or codes % groups):
            raise ValueError(
                f"groups = {groups} must be a power of 2 that divides the {codes} codes, or 0"
            )
        found = vectors_of(tokenizer, codes)

        def read() -> Tensor:  # a function, so that copies of this module share the tokenizer
            return vectors_of(tokenizer, codes)

        self._read = read
        self.register_buffer("vectors", torch.empty(found.shape), persistent=False)
        self.inward = nn.Sequential(
            nn.Linear(found.shape[1], hidden), nn.GELU(), nn.Linear(hidden, width)
        )
        self.query = nn.Linear(width, rank)
        self.outward = nn.Sequential(
            nn.Linear(found.shape[1], hidden), nn.GELU(), nn.Linear(hidden, rank, bias=False)
        )
        self.bias = nn.Parameter(torch.zeros(codes))
        self.groups = groups
        self.group = nn.Linear(width, groups) if groups else None
        if groups:
            self.register_buffer("order", torch.empty(codes, dtype=torch.int32))
        self._kept: tuple[Any, Tensor] | None = None
        if not self.vectors.is_meta:
            self.reset_buffers()
            if groups:
                self.order.copy_(halved(found, groups))

    def reset_buffers(self) -> None:
        """Take the vectors from the tokenizer, to where this net is."""
        self.vectors = self._read().to(self.bias)

    def embed(self, tokens: Tensor) -> Tensor:
        """(B, n) to (B, n, C)."""
        out: Tensor = self.inward(self.vectors[tokens])
        return out

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., C) to (..., K); with groups these are log p."""
        found = F.linear(self.query(hidden), self.keys(), self.bias)
        if self.group is None:
            return found
        order = self.order.long()
        inside = found[..., order].view(*found.shape[:-1], self.groups, -1).log_softmax(-1)
        every = (inside + self.group(hidden).log_softmax(-1)[..., None]).flatten(-2)
        back: Tensor = every[..., order.argsort()]
        return back

    def losses(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        """-log p (N,) of tokens (N,) where the net knows `hidden` (N, C)."""
        if self.group is None:
            return F.cross_entropy(self.logits(hidden), tokens, reduction="none")
        order = self.order.long()
        place = order.argsort()[tokens]  # (N,)
        size = len(order) // self.groups
        group, inside = place // size, place % size
        keys = self.keys()[order].view(self.groups, size, -1)[group]  # (N, M, r)
        found = torch.bmm(keys, self.query(hidden)[..., None]).squeeze(-1)
        found = found + self.bias[order].view(self.groups, size)[group]
        of_group = F.cross_entropy(self.group(hidden), group, reduction="none")
        return of_group + F.cross_entropy(found, inside, reduction="none")

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


def halved(vectors: Tensor, groups: int) -> Tensor:
    """The codes (K,) in the order of `groups` equal groups: halves of halves, each cut along its longest axis."""
    order = torch.arange(len(vectors), device=vectors.device)[
        None
    ]  # (groups so far, codes of each)
    while len(order) < groups:
        inside = vectors[order].double()
        inside = inside - inside.mean(1, keepdim=True)
        axis = torch.linalg.eigh(inside.mT @ inside).eigenvectors[..., -1:]  # (g, D, 1)
        along = (inside @ axis).squeeze(-1).argsort(1)
        order = order.gather(1, along).view(2 * len(order), -1)
    return order.flatten()
