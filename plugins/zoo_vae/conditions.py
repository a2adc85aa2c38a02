"""What a user asks of a variational autoencoder: a class, how tight a bound, how to sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from zoo import options, rng
from zoo.errors import RequestError


@dataclass(frozen=True)
class Condition:
    """`labels` (B,) int64 or None for any class; `importance`: latents a picture that log_prob weighs."""

    labels: Tensor | None = None
    importance: int = 1


def read(net: Any, request: Mapping[str, Any], batch: int) -> Condition:
    """A request for `batch` pictures.

    Raises RequestError for an unknown key, a class that does not exist, or labels that are not one or `batch`.
    """
    asked = options.read(request, "condition", label=None, importance=1)
    if asked.importance < 1:
        raise RequestError(
            f"importance is how many latents a picture log_prob weighs, 1 or more; got {asked.importance}."
        )
    if asked.label is None:
        return Condition(None, asked.importance)
    each = options.labels(asked.label, net.classes, batch)
    return Condition(torch.tensor(each, device=next(net.parameters()).device), asked.importance)


def encoded(
    net: Any, images: Tensor, cond: Condition | None, generator: Generator | None
) -> Tensor:
    """Latents (B, D) of pictures: the mode, or a draw; see the hook."""
    labels, noise = net.labels(cond, len(images)), None
    if generator is not None:
        streams = rng.streams(generator, len(images))
        noise = rng.normal(streams, net.latents, device=images.device, dtype=images.dtype)
    latents: Tensor = net.place(net.seen(images, labels), labels, noise)
    return latents


def sampled(
    net: Any,
    count: int,
    cond: Condition | None,
    asked: Mapping[str, Any],
    generator: Generator,
) -> Tensor:
    """Pictures (count, C, H, W); see the hook."""
    chosen = options.read(asked, "sampling option", temperature=1.0, pixels="draw")
    if chosen.pixels not in ("draw", "mean"):
        raise RequestError(f"pixels must be 'draw' or 'mean', is {chosen.pixels!r}.")
    if not chosen.temperature >= 0:
        raise RequestError(f"temperature must be 0 or more, is {chosen.temperature!r}.")
    some = next(net.parameters())
    streams = rng.streams(generator, count)
    noise = rng.normal(streams, net.latents, device=some.device, dtype=some.dtype)
    given = net.given(chosen.temperature * noise, net.labels(cond, count))
    if chosen.pixels == "mean":
        return net.likelihood.mean(given)  # type: ignore[no-any-return]
    return net.likelihood.draw(given, streams)  # type: ignore[no-any-return]
