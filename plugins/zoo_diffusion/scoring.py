"""How likely a picture is: the variational bound, or the probability flow's likelihood.

    bound  -sum of the terms of `zoo.nn.diffusion.bounds`, of the 8-bit picture: below ln p in expectation
    ode    ln P(v) >= E_u ln p(v + u) for uniform u in [-1/2, 1/2)^D (Theis et al., 2016, arXiv:1511.01844), p by the
           probability flow: below ln P of the flow's own distribution in expectation, up to the solver's error, with
           Hutchinson's unbiased trace or the exact one

The two are of different distributions: the first of the sampler's steps, the second of their limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log
from typing import Any

import torch
from torch import Generator, Tensor

from zoo import rng
from zoo.density import LogProb
from zoo.errors import RequestError
from zoo.images import Images
from zoo.model import Model
from zoo.nn.diffusion import Level, Predicted, bounds, ode, spacing
from zoo.nn.diffusion.predictions import agreeing
from zoo.nn.diffusion.samplers import Denoise
from zoo_diffusion.asking import Asked
from zoo_diffusion.net import DiffusionModel
from zoo_diffusion.sampling import told_of, unwatched

ODE_STEPS = 32


def log_prob(
    net: DiffusionModel, images: Tensor, cond: Asked | None, generator: Generator
) -> Tensor:
    """Nats (B,) of the 8-bit pictures (B, C, H, W); see the module and `condition`."""
    asked = cond or Asked(likelihood="ode" if net.process.continuous else "bound")
    streams = rng.streams(generator, len(images))
    if asked.likelihood == "ode":
        return flow(net, images, asked, streams)
    total = bounds.prior(images, net.process.level(net.process.last))
    for term in terms(net, images, asked, streams):
        total = total + term.nats
    return -total


def terms(
    net: DiffusionModel, images: Tensor, asked: Asked, streams: list[Generator]
) -> Iterator[bounds.Term]:
    """The bound's terms but the prior's; `asked.steps` of the schedule, or all."""
    steps = asked.steps or net.process.steps
    path = spacing.path(net.process, steps, "linspace")

    def noise() -> Tensor:
        return rng.normal(streams, *images.shape[1:], device=images.device, dtype=images.dtype)

    denoise = _plain(net, len(images), asked, streams, clip=True)
    return bounds.terms(denoise, images, path, net.process.variance, noise)


def flow(net: DiffusionModel, images: Tensor, asked: Asked, streams: list[Generator]) -> Tensor:
    """The probability flow's likelihood (B,), nats of the 8-bit pictures."""
    shape = images.shape[1:]
    spread = (rng.uniform(streams, *shape).to(images) - 0.5) / 127.5
    signs = None if asked.exact else (rng.uniform(streams, *shape) < 0.5).to(images) * 2 - 1
    denoise = _plain(net, len(images), asked, streams, clip=False)
    steps = asked.steps or min(ODE_STEPS, net.process.steps)
    nats = ode.log_density(denoise, images + spread, net.process, steps, signs)
    return nats - images[0].numel() * log(127.5)


def likelihoods(model: Model, images: Any, seed: int | None = None) -> dict[str, LogProb]:
    """Each kind of likelihood of pictures, labelled: "bound" and its parts "prior" and "last", and "ode"."""
    net = model.net
    if not isinstance(net, DiffusionModel):
        raise RequestError(f"{model.name} is no diffusion model.")
    taken = Images.read(images, net.image[0]).tensor.to(net.like())
    numbers, made = taken[0].numel(), {}
    with torch.no_grad():
        asked = model._cond(len(taken)) or Asked()
        if not net.process.continuous:
            streams = rng.streams(rng.generator(seed), len(taken))
            prior = bounds.prior(taken, net.process.level(net.process.last))
            found = [each.nats for each in terms(net, taken, asked, streams)]
            for name, nats in (
                ("bound", prior + sum(found)),
                ("prior", prior),
                ("last", found[-1]),
            ):
                made[name] = LogProb(-nats, "lower bound", "8-bit pixels", numbers)
        streams = rng.streams(rng.generator(seed), len(taken))
        made["ode"] = LogProb(flow(net, taken, asked, streams), "estimate", "8-bit pixels", numbers)
    return made


def _plain(
    net: DiffusionModel, count: int, asked: Asked, streams: list[Generator], clip: bool
) -> Denoise:
    if net.classes and not net.null and asked.labels is None:
        raise RequestError("This model needs a label for each picture: condition(label=...).")
    if net.low and asked.low is None:
        raise RequestError("This model's pictures depend on small ones: condition(low=pictures).")
    told = told_of(net, count, asked, 0.0, streams, rng.generator(0), unwatched)
    process = net.process

    def denoise(x: Tensor, level: Level) -> Predicted:
        seen = x if level.scale == 1 else x * level.scale
        found = process.read(net.answer(seen, level.time, told), x, level)
        return agreeing(found, found.x0.clamp(-1, 1), x, level) if clip else found

    return denoise
