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

from zoo_dalle.stepping import Function, product, straight

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
        return self.reader()(hidden)

    def reader(self, weights: str = "float") -> Function:
        """`logits` as a function, with weights as `zoo_dalle.stepping` says."""
        if self.head is None:
            raise ValueError("these codes were made without a head: it is shared with the text's")
        return straight(self.head, weights)

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
        return self.reader()(hidden)

    def reader(self, weights: str = "float") -> Function:
        """`logits` as a function, with weights as `zoo_dalle.stepping` says; what it takes of them is taken now."""
        keys, bias, places = self.keys(), self.bias, self._places()
        found = product(keys, bias if places is None else bias[self.order.long()], weights)
        if self.group is None or places is None:
            return lambda hidden: found(self.query(hidden))
        group, groups = self.group, self.groups

        def read(hidden: Tensor) -> Tensor:
            inside = found(self.query(hidden))
            inside = inside.view(*inside.shape[:-1], groups, -1).log_softmax(-1)
            every: Tensor = inside + group(hidden).log_softmax(-1)[..., None]
            return every.flatten(-2).index_select(-1, places)

        return read

    def losses(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        """-log p (N,) of tokens (N,) where the net knows `hidden` (N, C)."""
        places = self._places()
        if self.group is None or places is None:
            return F.cross_entropy(self.logits(hidden), tokens, reduction="none")
        place, size = places[tokens], len(places) // self.groups  # (N,)
        group, inside = place // size, place % size
        keys = self.keys().view(self.groups, size, -1)[group]  # (N, M, r)
        found = torch.bmm(keys, self.query(hidden)[..., None]).squeeze(-1)
        found = found + self.bias[self.order.long()].view(self.groups, size)[group]
        of_group = F.cross_entropy(self.group(hidden), group, reduction="none")
        return of_group + F.cross_entropy(found, inside, reduction="none")

    def keys(self) -> Tensor:
        """g(c_k) (K, r), group by group where there are groups; without gradients computed once a state of weights."""
        if torch.is_grad_enabled():
            self._kept = None  # weights of many processes are gathered anew under their old mark
            return self._outward()
        weights = [self.vectors, *self.outward.parameters()]
        mark = [(each.data_ptr(), each._version, each.dtype) for each in weights]
        if self._kept is None or self._kept[0] != mark:
            self._kept = (mark, self._outward())
        return self._kept[1]

    def _outward(self) -> Tensor:
        out: Tensor = self.outward(self.vectors)
        return out[self.order.long()] if self.groups else out

    def _places(self) -> Tensor | None:
        """Where each code (K,) is in the order of the groups; None without groups."""
        return self.order.long().argsort() if self.groups else None


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
