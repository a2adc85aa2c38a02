"""Exact probabilities: of image tokens given the prefix, of a text, all at once or one at a time.

    log P(t | c)  = sum_k log p(t_k | t_<k, c)
    log P(text)   = sum_{i <= n} log p(w_i | w_<i) + log p(pad_n | w_1 ... w_n)       the pad ends the text

Of the ids of a text's position i only pieces and that position's own pad can come, so P(text) is normalised over the
pieces and this one pad. A picture whose first rows were asked for has them for certain: log P is minus infinity if it
begins otherwise. Letters: B pictures, T image tokens, K codes, L text positions, V pieces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.errors import RequestError, Unsupported
from zoo_dalle.asking import Asked
from zoo_dalle.stream import Words

if TYPE_CHECKING:
    from zoo_dalle.net import DalleModel


def log_prob(net: DalleModel, tokens: Tensor, cond: Asked | None) -> Tensor:
    """Log P (B,) in nats of image tokens (B, T) given the condition. Raises RequestError for one of sample alone."""
    if cond is not None:
        cond.unused("log_prob")
    if cond is not None and cond.forced is not None:
        tables = log_tables(net, tokens, cond)
        return tables.gather(-1, tokens[..., None]).squeeze(-1).sum(-1)
    hidden = net.hidden(tokens, cond)[:, net.prefix - 1 :]
    return -net.image_losses(hidden, tokens).sum(-1)


def log_tables(net: DalleModel, tokens: Tensor, cond: Asked | None) -> Tensor:
    """Log p(t_k | t_<k, c) (B, T, K). Raises RequestError as `log_prob`."""
    if cond is not None:
        cond.unused("probabilities")
    tables = net.logits(tokens, cond).log_softmax(-1)
    if cond is not None and cond.forced is not None:
        given = cond.forced.shape[1]
        tables = torch.cat([certain(cond.forced, tables), tables[:, given:]], 1)
    return tables


def log_prob_of_prefix(net: DalleModel, cond: Asked | None) -> Tensor:
    """Log P (B,) in nats of the prefixes that were asked for; without a begin token, given their first piece.

    Raises Unsupported for a net that does not predict its prefix, RequestError if nothing was asked.
    """
    if not net.given.predicts:
        raise Unsupported(
            f"this model has no distribution of its prefix ({net.given.asks or 'nothing'}), only of pictures given it."
        )
    if cond is None or cond.prefix is None:
        raise RequestError(
            f"the probability of a prefix is asked of one: condition({net.given.asks}=...)."
        )
    x = net.embed_prefix(cond, len(cond.prefix))
    hidden: Tensor = net.transformer(x[:, : net.prefix - 1], None)
    return -text_losses(net, hidden, cond.prefix).sum(-1)


def text_losses(net: DalleModel, hidden: Tensor, ids: Tensor) -> Tensor:
    """-log p (B, n) of the last n ids of a prefix (B, L), 0 after the first pad.

    `hidden` (B, n, C) are the positions before them; without a begin token the first id has none, and n = L - 1.
    """
    given, first = net.given, ids.shape[1] - hidden.shape[1]
    logits = net.text_logits(hidden)  # (B, n, ids)
    counted = torch.ones_like(ids, dtype=torch.bool)
    if isinstance(given, Words):
        size, places = given.vocabulary.size, torch.arange(ids.shape[1], device=ids.device)
        every = torch.arange(given.ids, device=ids.device)
        possible = (every < size) | (every == size + places[first:, None])  # (n, ids)
        logits = logits.masked_fill(~possible, -torch.inf)
        pad = getattr(given.vocabulary, "pad", None)
        inside = ids < size if pad is None else ids != pad
        counted[:, 1:] = inside[:, :-1].cumprod(1).bool()
    wanted = ids[:, first:]
    losses = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none")
    return losses.view_as(wanted).where(counted[:, first:], 0.0)


def certain(tokens: Tensor, like: Tensor) -> Tensor:
    """Log p (..., K) of distributions that give `tokens` (...) for sure."""
    out = like.new_full((*tokens.shape, like.shape[-1]), -torch.inf)
    return out.scatter(-1, tokens[..., None], 0.0)


class Walk:
    """A `zoo.nn.coding.Walk`: the prefix read at once, then a token at a time, keys and values kept."""

    def __init__(self, net: DalleModel, count: int, cond: Asked | None) -> None:
        self.net, self.place = net, 0
        if cond is not None:
            cond.unused("probabilities")
        self.forced = None if cond is None else cond.forced
        x = net.embed_prefix(cond, count)
        allowed = None if cond is None else cond.allowed
        self.memory = net.transformer.memory(count, x.dtype, allowed)
        self.hidden: Tensor = net.transformer.extend(x, self.memory)[:, -1:]
        self.stepper = net.transformer.stepper()

    def log_probabilities(self) -> Tensor:
        """(B, K) of the next token."""
        found = self.net.image_logits(self.hidden)[:, 0].log_softmax(-1)
        if self.forced is not None and self.place < self.forced.shape[1]:
            return certain(self.forced[:, self.place], found)
        return found

    def probabilities(self) -> Tensor:
        """(B, K); each row sums to 1."""
        return self.log_probabilities().exp()

    def push(self, symbols: Tensor) -> None:
        """Go on by one token (B,) int64."""
        self.place += 1
        if self.place < self.net.length:
            x = self.net.embed_tokens(symbols[:, None], self.place - 1)
            self.hidden = self.stepper.step(x, self.memory)
