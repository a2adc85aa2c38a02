"""What the hooks do: pictures in [-1, 1] to levels and noise, requests to labels and draws."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from zoo import options as given
from zoo import rng
from zoo.errors import RequestError
from zoo.hookspecs import Progress
from zoo_flow.levels import LEVELS
from zoo_flow.net import Flow, levels_of

CHUNK = 64  # pictures drawn side by side


@dataclass(frozen=True)
class Asked:
    """A condition: labels (B,) int64 or None, and how many draws of noise `log_prob` averages."""

    labels: Tensor | None
    draws: int


def read(net: Flow, request: Mapping[str, Any], batch: int) -> Asked:
    """A user's request for `batch` pictures. Raises RequestError for what the net cannot give."""
    asked = given.read(request, "condition", label=None, draws=1)
    if asked.draws < 1:
        raise RequestError(f"draws = {asked.draws}: at least one draw of noise is needed.")
    if asked.label is None:
        return Asked(None, asked.draws)
    return Asked(torch.tensor(given.labels(asked.label, net.classes, batch)), asked.draws)


def labels_of(net: Flow, cond: Asked | None, batch: int, device: torch.device) -> Tensor | None:
    """What the net takes: labels (B,), `classes` where none was asked for; None without classes."""
    if not net.classes:
        return None
    if cond is None or cond.labels is None:
        return torch.full((batch,), net.classes, dtype=torch.int64, device=device)
    return cond.labels.to(device)


def draw(net: Flow, streams: Sequence[Generator], like: Tensor) -> Tensor:
    """Numbers (B, C, H, W) of the kind that the net's dequantisation takes, picture i from stream i."""
    source = rng.uniform if net.noise.noise == "uniform" else rng.normal
    return source(streams, *like.shape[1:], device=like.device, dtype=like.dtype)


def encode(net: Flow, images: Tensor, cond: Asked | None, generator: Generator | None) -> Tensor:
    """See the hook."""
    labels = labels_of(net, cond, len(images), images.device)
    if generator is not None:
        v = levels_of(images)
        u, _ = net.noise(v, draw(net, rng.streams(generator, len(images)), images))
    else:
        place = (images + 1) * 127.5 + 0.5  # v + u, the middle of its level for an 8-bit picture
        v = place.floor().clamp(0, LEVELS - 1)
        v, u = v.long(), place - v
    z, _ = net.latents(v, u, labels)
    return z


def decode(net: Flow, latents: Tensor, cond: Asked | None) -> Tensor:
    """See the hook."""
    labels = labels_of(net, cond, len(latents), latents.device)
    place: Tensor = net.pixels.inverse(net.line(latents, labels))  # type: ignore[operator]
    return (place - 0.5) / 127.5 - 1


def sample(
    net: Flow,
    count: int,
    cond: Asked | None,
    options: Mapping[str, Any],
    generator: Generator,
    progress: Progress,
) -> Tensor:
    """See the hook."""
    asked = given.read(options, "sampling option", temperature=1.0)
    if asked.temperature < 0:
        raise RequestError(f"temperature = {asked.temperature} must not be negative.")
    weight = net.prior.mean
    z = rng.normal(rng.streams(generator, count), net.dimensions).to(weight) * asked.temperature
    pieces = []
    for start in progress(range(0, count, CHUNK), -(-count // CHUNK), "sampling"):
        some = slice(start, start + CHUNK)
        part = None
        if cond is not None and cond.labels is not None:
            part = Asked(cond.labels[some], 1)
        images = decode(net, z[some], part)
        pieces.append((levels_of(images)).to(images.dtype) / 127.5 - 1)
    return torch.cat(pieces)


def log_prob(net: Flow, images: Tensor, cond: Asked | None, generator: Generator) -> Tensor:
    """See the hook: log of the mean of `draws` values of p(v + u) / q(u | v)."""
    labels = labels_of(net, cond, len(images), images.device)
    v = levels_of(images)
    draws = 1 if cond is None else cond.draws
    streams = rng.streams(generator, len(images))
    each = [net.bound(v, draw(net, streams, images), labels) for _ in range(draws)]
    return torch.stack(each).logsumexp(0) - math.log(draws)
