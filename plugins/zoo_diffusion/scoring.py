"""How likely a picture is: the variational bound, or the probability flow's likelihood.

    bound  -sum of the terms of `zoo.nn.diffusion.bounds`, of the 8-bit picture: below ln p in expectation
    ode    ln P(v) >= E_u ln p(v + u) for uniform u in [-1/2, 1/2)^D (Theis et al., 2016, arXiv:1511.01844), p by the
           probability flow: below ln P of the flow's own distribution in expectation, up to the solver's error, with
           Hutchinson's unbiased trace or the exact one

The two are of different distributions: the first of the sampler's steps, the second of their limit. The first stands
below ln p in expectation over its noise, the second is called an estimate: what its solver and its trace leave out can
lie on either side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import log

import torch
from torch import Generator, Tensor

from zoo import rng
from zoo.errors import RequestError
from zoo.nn.diffusion import bounds, likelihood
from zoo.nn.diffusion.samplers import Denoise
from zoo_diffusion import stages
from zoo_diffusion.asking import Asked, usual
from zoo_diffusion.net import DiffusionModel
from zoo_diffusion.sampling import of_pictures, plainly


def log_prob(
    net: DiffusionModel, images: Tensor, cond: Asked | None, generator: Generator
) -> Tensor:
    """Nats (B,) of the 8-bit pictures (B, C, H, W); see the module and `condition`."""
    asked, streams, more = _begun(net, images, cond, generator)
    if asked.likelihood == "ode":
        return flow(net, _as_levels(images), asked, streams) + more
    found = _terms(net, _as_levels(images), asked, streams)
    return more - torch.stack(list(found.values())).sum(0)


def by_term(
    net: DiffusionModel, images: Tensor, cond: Asked | None, generator: Generator
) -> dict[str, Tensor]:
    """What -log_prob, the bound, is the sum of, (B,) nats each: "prior", "t = T - 1" ... "t = 0" (the 8-bit pixels).

    Of a cascade "base" comes first. Raises RequestError where log_prob is the flow's.
    """
    asked, streams, more = _begun(net, images, cond, generator)
    if asked.likelihood == "ode":
        raise RequestError(
            "The probability flow's log_prob is no sum of terms: condition(likelihood='bound'), which a continuous "
            f"schedule (this model's is {net.process.schedule!r}) does not have."
        )
    found = _terms(net, _as_levels(images), asked, streams)
    return found if isinstance(more, float) else {"base": -more, **found}


def _begun(
    net: DiffusionModel, images: Tensor, cond: Asked | None, generator: Generator
) -> tuple[Asked, list[Generator], Tensor | float]:
    """The request with small pictures where they are needed, and ln p of them."""
    of_pictures(net, "log_prob")
    asked = cond or usual(net)
    streams = rng.streams(generator, len(images))
    base = stages.begun_by(net, asked.base, asked.low)
    if base is None:
        return asked, streams, 0.0
    low, more = stages.scored(net, base, images, generator)
    return replace(asked, low=low), streams, more


def _as_levels(images: Tensor) -> Tensor:
    """The pictures; of half precision the 8-bit levels that they were."""
    half = images.dtype in (torch.float16, torch.bfloat16)
    return stages.as_bytes(images.float()) if half else images


def _terms(
    net: DiffusionModel, images: Tensor, asked: Asked, streams: list[Generator]
) -> dict[str, Tensor]:
    found = {"prior": bounds.prior(images, net.process.level(net.process.last))}
    for each in terms(net, images, asked, streams):
        found[f"t = {each.step.at.time:g}"] = each.nats
    return found


def terms(
    net: DiffusionModel, images: Tensor, asked: Asked, streams: list[Generator]
) -> Iterator[bounds.Term]:
    """The bound's terms but the prior's; `asked.steps` of the schedule, or all."""
    path, noise = likelihood.path(net.process, asked.steps), likelihood.fresh(streams, images)
    denoise = _plain(net, len(images), asked, clip=True)
    return bounds.terms(denoise, images, path, net.process.variance, noise)


def flow(net: DiffusionModel, images: Tensor, asked: Asked, streams: list[Generator]) -> Tensor:
    """The probability flow's likelihood (B,), nats of the 8-bit pictures."""
    spread = (rng.uniform(streams, *images.shape[1:]).to(images) - 0.5) / 127.5
    denoise = _plain(net, len(images), asked, clip=False)
    nats = likelihood.flow(denoise, images + spread, net.process, asked.steps, asked.exact, streams)
    return nats - images[0].numel() * log(127.5)


def _plain(net: DiffusionModel, count: int, asked: Asked, clip: bool) -> Denoise:
    return likelihood.plain(net, count, plainly(net, count, asked, "log_prob"), clip)
