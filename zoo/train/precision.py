"""Half precision: what is computed in 16 bits, and how gradients survive it.

Parameters, their averages and the optimizer stay in float32; matrix products run in bfloat16 or float16 (autocast).
float16 reaches down to 6e-8 only, so the loss is multiplied by s before the backward pass and the gradients divided
by s after it. An overflow skips the step and halves s; 2,000 steps without one double it (Micikevicius et al. 2018,
arXiv:1710.03740, section 3.2).
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from zoo.train.shards import local

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
START, GROWTH, INTERVAL = 2.0**16, 2.0, 2000


class Precision:
    """The recipe's precision on a device; with "no" every method does nothing."""

    def __init__(self, kind: str, accelerator: Any) -> None:
        self.dtype, self.accelerator = DTYPES.get(kind), accelerator
        self.scales = kind == "fp16"
        self.scale, self.since = START if self.scales else 1.0, 0

    def computing(self) -> AbstractContextManager[Any]:
        """A block whose matrix products run in 16 bits, if that was asked for."""
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(self.accelerator.device.type, dtype=self.dtype)

    def backward(self, loss: Tensor) -> None:
        """Gradients of the loss, times the scale."""
        (loss * self.scale if self.scales else loss).backward()  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def unscale(self, parameters: Iterable[Tensor]) -> bool:
        """Divide gradients by the scale; whether all of them, on all processes, are finite."""
        if not self.scales:
            return True
        gradients = [local(p.grad) for p in parameters if p.grad is not None]
        torch._foreach_mul_(gradients, 1 / self.scale)
        found = torch.stack(
            [g.isfinite().all() for g in gradients if g.numel()] or [torch.tensor(True)]
        )
        bad = (~found).any().float().to(self.accelerator.device)
        finite = self.accelerator.reduce(bad, "sum").item() == 0
        self.since = self.since + 1 if finite else 0
        if not finite:
            self.scale /= GROWTH
        elif self.since == INTERVAL:
            self.scale, self.since = self.scale * GROWTH, 0
        return bool(finite)

    def state(self) -> dict[str, float] | None:
        """What a checkpoint keeps."""
        return {"scale": self.scale, "_growth_tracker": self.since} if self.scales else None

    def take(self, state: dict[str, float] | None) -> None:
        """Go on from what a checkpoint kept."""
        if state is not None and self.scales:
            self.scale, self.since = float(state["scale"]), int(state["_growth_tracker"])
