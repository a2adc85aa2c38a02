"""What training a flow minimises: bits a dimension of the 8-bit picture.

    L = - E_q [ log p(v + u) - log q(u | v) ] / (D ln 2)

The first batch, in training mode, also sets every ActNorm and the histogram of levels; that it has
is kept in buffers, so that a resumed run goes on from where it was.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from zoo import options, rng
from zoo.errors import RequestError
from zoo.train.objective import Batch, Objective
from zoo_flow import asking
from zoo_flow.net import Flow, levels_of

T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """The recipe's [objective] table."""

    unlabelled: float = (
        0.1  # share of pictures shown without their label, so that p(x) is learned too
    )

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Settings:
        """Read the table. Raises RequestError for an unknown key or a share outside [0, 1]."""
        made = options.settings(cls, table, "[objective] of a flow")
        if not 0 <= made.unlabelled <= 1:
            raise RequestError(f"[objective] unlabelled = {made.unlabelled} must be in [0, 1].")
        return made


def silent(iterable: Iterable[T], total: int | None = None, label: str = "") -> Iterable[T]:
    """A progress that shows nothing."""
    return iterable


def objectives(net: Flow, table: Mapping[str, Any]) -> Sequence[Objective]:
    """The one objective of a flow; `table` is the recipe's [objective]."""
    settings = Settings.of(table)

    def labels(batch: Batch) -> Tensor | None:
        if not net.classes:
            return None
        if "labels" not in batch:
            raise RequestError(
                f"This flow has {net.classes} classes, but the pictures have no labels. Take a "
                "labelled set, or leave `classes` out of the config."
            )
        told: Tensor = batch["labels"]
        if not net.training:
            return torch.full_like(told, net.classes)
        hidden = torch.rand(len(told), device=told.device) < settings.unlabelled
        return told.masked_fill(hidden, net.classes)

    def bits(batch: Batch, step: int) -> tuple[Tensor, Mapping[str, Tensor | float]]:
        v = levels_of(batch["images"])
        source = torch.rand if net.noise.noise == "uniform" else torch.randn
        noise = source(v.shape, dtype=batch["images"].dtype, device=v.device)
        loss = -net.bound(v, noise, labels(batch)).mean() / (net.dimensions * math.log(2))
        return loss, {"bits_per_dim": loss.detach()}

    def samples(batch: Batch) -> Tensor:
        count = len(batch["images"])
        return asking.sample(net, count, None, {}, rng.generator(0), silent)

    return [Objective("flow", list(net.parameters()), bits, preview=samples)]
