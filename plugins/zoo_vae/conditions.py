"""What a user asks of a variational autoencoder: a class, how tight a bound, how to sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from zoo import rng
from zoo.errors import RequestError
from zoo.options import read as read_options


@dataclass(frozen=True)
class Condition:
    """`labels` (B,) int64 or None for any class; `importance`: latents a picture that log_prob weighs."""

    labels: Tensor | None = None
    importance: int = 1


def read(net: Any, request: Mapping[str, Any], batch: int) -> Condition:
    """A request for `batch` pictures.

    Raises RequestError for an unknown key, a class that does not exist, or labels that are not one or `batch`.
    """
    known: dict[str, Any] = {"label": None} if net.classes else {}
    asked = read_options(request, "condition", importance=1, **known)
    if asked.importance < 1:
        raise RequestError(
            f"importance is how many latents a picture log_prob weighs, 1 or more; got {asked.importance}."
        )
    label = getattr(asked, "label", None)
    return Condition(
        None if label is None else _labels(net, label, batch),
        asked.importance,
    )


def _labels(net: Any, label: Any, batch: int) -> Tensor:
    given: Any = label.tolist() if isinstance(label, Tensor) else label
    several = isinstance(given, Sequence) and not isinstance(given, str)
    each: list[Any] = list(given) if several else [given] * batch
    if any(isinstance(one, bool) or not isinstance(one, int) for one in each):
        raise RequestError(f"label is a class, or a list of one a picture; got {label!r}.")
    if any(not 0 <= one < net.classes for one in each):
        raise RequestError(f"label must be 0 .. {net.classes - 1}; got {label!r}.")
    if len(each) != batch and batch != 1:
        raise RequestError(f"label names {len(each)} classes, and there are {batch} pictures.")
    device = next(net.parameters()).device
    return torch.tensor(each[:batch], dtype=torch.int64, device=device)


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
    options: Mapping[str, Any],
    generator: Generator,
) -> Tensor:
    """Pictures (count, C, H, W); see the hook."""
    chosen = read_options(options, "sampling option", temperature=1.0, pixels="draw")
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
