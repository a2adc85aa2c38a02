"""Averaged weights (Polyak & Juditsky 1992).

After step n, with theta the parameters,

    shadow <- d_n shadow + (1 - d_n) theta,    d_n = min(decay, (1 + n) / (10 + n))

The warm-up of d_n lets the average forget the random start (as in TensorFlow's
ExponentialMovingAverage). Buffers are taken as they are, not averaged: a codebook or a running mean
is an average already, and a revived code must not linger between its old place and its new one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from zoo.train.shards import fill, local


class Ema:
    """The running average of those of a net's parameters that move, in float32, on the net's device."""

    def __init__(self, net: nn.Module, decay: float, warmup: bool = True) -> None:
        self.decay, self.warmup = decay, warmup
        self.live = {name: p for name, p in net.named_parameters() if p.requires_grad}
        self.shadow = {name: p.detach().clone().float() for name, p in self.live.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Average in the parameters as they are after `step` (from 0)."""
        decay = min(self.decay, (2 + step) / (11 + step)) if self.warmup else self.decay
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        average(
            [local(shadow) for shadow in self.shadow.values()],
            [local(p.detach()) for p in self.live.values()],
            step,
        )

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The net with averaged parameters in the block, bit for bit the old ones after it."""
        kept = {name: p.detach().clone() for name, p in self.live.items()}
        self._put(self.shadow)
        try:
            yield
        finally:
            self._put(kept)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take back a shadow that a checkpoint kept."""
        for name, shadow in self.shadow.items():
            fill(shadow, state[name])

    @torch.no_grad()
    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self.live.items():
            parameter.copy_(values[name])
