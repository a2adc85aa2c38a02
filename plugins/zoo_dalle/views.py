"""A picture's tokens for training, of views (`zoo.train.views`) or out of a set of tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zoo.errors import RequestError
from zoo.train import views
from zoo.train.objective import Batch

if TYPE_CHECKING:
    from zoo_dalle.net import DalleModel


class Views:
    """Tokens and captions of the batches of a net."""

    def __init__(self, net: DalleModel, mirror: bool, move: int, remember: bool) -> None:
        self.net, self.drawn = net, mirror or move
        stored = torch.int32 if remember else None
        self.views = views.Views(net.symbols, mirror, move, stored)

    def tokens(self, batch: Batch, playing: bool) -> tuple[Tensor, list[str] | None]:
        """(B, T) int64, and the captions that go with them; views only if `playing`, as it is otherwise."""
        captions = batch.get("captions")
        device = self.net.weight.device
        if "tokens" in batch:
            if self.drawn:
                raise RequestError(
                    "[objective] mirror and move need pictures, and this set holds tokens: leave them out, and let "
                    "`zoo encode --shards` write the views that are wanted."
                )
            given: Tensor = batch["tokens"].to(device).flatten(1)
            self._fits(given)
            return given, None if captions is None else list(captions)
        found, captions = self.views.of(batch["images"], captions, playing)
        return found.to(device).long(), captions

    def _fits(self, tokens: Tensor) -> None:
        """Raise RequestError for tokens that are not this net's."""
        high = int(tokens.max())
        if tokens.shape[1] != self.net.length or high >= self.net.codes:
            raise RequestError(
                f"the set's pictures are {tokens.shape[1]} tokens, up to {high}; the net draws "
                f"{self.net.length} tokens of {self.net.codes} codes. Encode the set with the net's own tokenizer."
            )
