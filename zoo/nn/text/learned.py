"""Words that a trained net did not know, learned from pictures (textual inversion; Gal et al., 2022, arXiv:2208.01618).

    rows(text) = E'[tokens],    E' = [E; v],    v = argmin E[loss(pictures, "... <word> ...")]        E frozen

A net takes part where an nn.Embedding stands beside a `vocabulary` (`zoo.nn.text.Vocabulary`) in one module. One whose
text encoder is a part has a method `take_words()`, which makes it a copy of that, of the same weights: the part, which
others use as well, learns nothing.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import RequestError, Unsupported
from zoo.nn.text.vocabulary import Vocabulary

_WORD = re.compile(r"<[^<>\s]+>")


class Widened(nn.Module):
    """An embedding (K, C) with more rows (n, C) below it, which alone are to be trained."""

    def __init__(self, weight: nn.Parameter, rows: Tensor) -> None:
        super().__init__()
        self.weight = weight
        self.rows = nn.Parameter(rows)

    def forward(self, ids: Tensor) -> Tensor:
        """Ids (...) below K + n to (..., C)."""
        return F.embedding(ids, torch.cat([self.weight, self.rows.to(self.weight)]))


def taken(net: nn.Module) -> None:
    """Have `net` take the words of a part as its own, if they are a part's."""
    if callable(take := getattr(net, "take_words", None)):
        take()


def learn(
    net: nn.Module, table: str, word: str, rows: Tensor | None = None, like: str = ""
) -> None:
    """Teach `net` one word more, in place: with `rows` (1, C), or to be trained from the mean row of the text `like`.

    `table` names the net's embedding. Raises Unsupported for a net without a vocabulary there, RequestError for a word
    that is none, or is known, and for a `like` that the net cannot read.
    """
    place, _, name = table.rpartition(".")
    holder: Any = net.get_submodule(place)
    vocabulary = getattr(holder, "vocabulary", None)
    if not isinstance(vocabulary, Vocabulary):
        raise Unsupported(
            f"This net has no vocabulary beside {table!r} that a word could be added to."
        )
    if not _WORD.fullmatch(word):
        raise RequestError(
            f"A word that is learned is written in < > without spaces, <cat>; not {word!r}."
        )
    if word in vocabulary.learned:
        raise RequestError(f"{word} is a word that was learned already. Give it another name.")
    old: nn.Embedding | Widened = getattr(holder, name)
    if rows is None:
        ids = vocabulary.encode(like)
        if not ids:
            raise RequestError(f"Say what {word} is like, in words that the model knows (--like).")
        with torch.no_grad():
            rows = old(torch.tensor(ids, device=old.weight.device)).mean(0, keepdim=True)
    more = rows.to(old.weight)
    if isinstance(old, Widened):
        more = torch.cat([old.rows.detach(), more])
    setattr(holder, name, Widened(old.weight, more.clone()))  # type: ignore[arg-type]
    vocabulary.learned[word] = len(old.weight) + len(more) - 1
