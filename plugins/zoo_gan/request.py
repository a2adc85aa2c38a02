"""What a user may ask of a GAN: a label, and how hard inversion shall try."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zoo import options
from zoo.errors import RequestError

if TYPE_CHECKING:
    from zoo_gan.net import Gan

MOST_STEPS, MOST_STARTS = 10_000, 4096


@dataclass(frozen=True)
class Request:
    """`cond` of the hooks. The defaults are what stands where nothing was asked for."""

    labels: Tensor | None = None  # (B,) int64
    steps: int = 200  # of inversion, each a pass forth and back
    starts: int = 64  # latents tried before the first step
    rate: float = 0.05  # Adam's


def understand(net: Gan, request: Mapping[str, Any], batch: int) -> Request:
    """The request as the hooks take it.

    Raises RequestError: an unknown name, labels that do not fit, steps or starts out of bounds.
    """
    own = Request(steps=net.inversion_steps)
    asked = options.read(
        request, "condition", label=None, steps=own.steps, starts=own.starts, rate=own.rate
    )
    for name, value, least, most in (
        ("steps", asked.steps, 0, MOST_STEPS),
        ("starts", asked.starts, 1, MOST_STARTS),
    ):
        if not least <= value <= most:
            raise RequestError(
                f"{name} of inversion is {least} to {most:,}, got {value:,}. A picture costs "
                "`starts` passes through the generator, then about three a step."
            )
    if not 0 < asked.rate < float("inf"):
        raise RequestError(f"rate of inversion is a positive number, got {asked.rate}.")
    labels = None
    if asked.label is not None:
        each = options.labels(asked.label, net.classes, batch)
        labels = torch.tensor(each, device=next(net.parameters()).device)
    return Request(labels, asked.steps, asked.starts, float(asked.rate))
