"""Drawing pictures: s_t ~ p(s_t | s_<t, c) for t = 1 ... T, with what the net computed remembered.

A temperature tau draws from p^(1 / tau), normalised at every step; top_p keeps the likeliest symbols that together
have at least that probability (Holtzman et al., 2020, arXiv:1904.09751).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Generator, Tensor

from zoo import options, rng
from zoo.errors import RequestError
from zoo.hookspecs import Progress
from zoo_pixel.net import Asked, PixelModel


def sample(
    net: PixelModel,
    count: int,
    cond: Asked | None,
    given: Mapping[str, Any],
    generator: Generator,
    progress: Progress,
) -> Tensor:
    """(count, C, H, W) in [-1, 1]; picture i depends on (seed, i) alone."""
    chosen = options.read(given, "sampling option", temperature=1.0, top_p=1.0)
    if chosen.temperature <= 0 or not 0 < chosen.top_p <= 1:
        raise RequestError(
            f"temperature must be above 0 and top_p in (0, 1]; got {chosen.temperature} and {chosen.top_p}."
        )
    streams = rng.streams(generator, count)
    cond, device = cond or Asked(), next(net.parameters()).device
    if net.inside.classes and cond.labels is None and cond.prefix is None:
        classes = (
            net.inside.classes
        )  # a label first, then a picture of it: the same p(x), and cheaper
        labels = (rng.uniform(streams, device=device) * classes).long().clamp(max=classes - 1)
        cond = Asked(labels)
    walk = net.walk(count, cond)
    drawn = torch.empty(count, net.length, dtype=torch.int64, device=device)
    for t in progress(range(net.length), total=net.length, label="symbols"):
        logits = narrowed(walk.log_probabilities() / chosen.temperature, chosen.top_p)
        drawn[:, t] = rng.choose(streams, logits)
        walk.push(drawn[:, t])
    return net.pictures(drawn)


def narrowed(logits: Tensor, top_p: float) -> Tensor:
    """(B, K) with minus infinity for all but the likeliest symbols that have `top_p` together."""
    if top_p == 1:
        return logits
    ordered, places = logits.softmax(-1).sort(-1, descending=True)
    late = ordered.cumsum(-1) - ordered >= top_p  # enough without it
    return logits.masked_fill(late.gather(-1, places.argsort(-1)), -torch.inf)
