"""Cascades: a super-resolution model over the part `base` that draws its small pictures.

    p(v) = sum over v_0 of p_base(v_0) p(v | v_0)        (Ho et al., 2022, arXiv:2106.15282)

The stage is told the small picture with noise of a known level, so that a base's faults are not taken for detail; the
base may be a cascade too. Latents are the noise of all stages in one row, the base's first. log_prob takes v_0, the
averages of v's own pixels rounded to 8 bits:   ln p(v) >= ln p_base(v_0) + ln p(v | v_0).

A picture to begin with or to fill in is the base's too, made small; of the mask a pixel is drawn anew if any of those
it stands for is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from zoo.errors import RequestError, listed
from zoo.hookspecs import Progress
from zoo.images import from_uint8, to_uint8
from zoo.model import Model
from zoo.nn.diffusion.starting import Start
from zoo_diffusion.net import DiffusionModel


def smaller(net: DiffusionModel, images: Tensor) -> Tensor:
    """Pictures (B, C, H, W) as the small ones (B, C, h, w) of a super-resolution model, by averaging."""
    return F.avg_pool2d(images, net.scale)


def as_bytes(images: Tensor) -> Tensor:
    """Pictures in [-1, 1] rounded to 8 bits, as a base gives and scores them."""
    return from_uint8(to_uint8(images)).to(images)


def conditioned(
    net: DiffusionModel, base: Model, passed: Mapping[str, Any], start: Start, batch: int
) -> Model:
    """The base asked for what the stage was asked and does not answer itself. Raises RequestError as the base does."""
    request = dict(passed)
    if start.image is not None:
        request |= {"image": smaller(net, start.image).clamp(-1, 1), "strength": start.strength}
    if start.mask is not None:
        request["mask"] = F.max_pool2d(start.mask, net.scale)
    if not request:
        return base
    base = base.condition(**request)
    base._cond(batch)  # here and now, so that what does not fit is told before anything is drawn
    return base


def drawn(
    net: DiffusionModel,
    base: Model,
    count: int,
    options: Mapping[str, Any],
    generator: Generator,
    progress: Progress,
) -> Tensor:
    """The base's pictures (count, C, h, w), by its card's options and `options`."""
    small: Tensor = base.hooks.call(
        "sample", net=base.net, count=count, cond=base._cond(count), options={**base.card.sampling, **options},
        generator=generator, progress=progress,
    )  # fmt: skip
    return small.clamp(-1, 1).to(net.like())


def scored(
    net: DiffusionModel, base: Model, images: Tensor, generator: Generator
) -> tuple[Tensor, Tensor]:
    """The pictures' own small ones (B, C, h, w), and ln p_base of them (B,)."""
    meaning = base.card.log_prob
    if meaning is None or meaning.over != "8-bit pixels":
        raise RequestError(
            f"The part base, {base.name}, gives no log_prob of 8-bit pixels, which a cascade's begins with: give the "
            "small pictures, condition(low=pictures)."
        )
    small = as_bytes(smaller(net, images))
    nats: Tensor = base.hooks.call(
        "log_prob", net=base.net, images=small, cond=base._cond(len(small)), generator=generator
    )
    return small, nats


def encoded(net: DiffusionModel, base: Model, images: Tensor) -> tuple[Tensor, Tensor]:
    """The pictures' own small ones (B, C, h, w), and the base's latents of them (B, n)."""
    inner(base)
    small = as_bytes(smaller(net, images))
    latents: Tensor = base.hooks.call(
        "encode", net=base.net, images=small, cond=base._cond(len(small)), generator=None
    )
    return small, latents.flatten(1)


def decoded(net: DiffusionModel, base: Model, latents: Tensor) -> tuple[Tensor, Tensor]:
    """The base's pictures of its share of the latents (B, n), and the stage's noise (B, C, H, W)."""
    shape = inner(base)
    own = latents[:, -torch.Size(net.image).numel() :].reshape(-1, *net.image)
    theirs = latents[:, : latents.shape[1] - own[0].numel()].reshape(-1, *shape)
    small: Tensor = base.hooks.call(
        "decode", net=base.net, latents=theirs, cond=base._cond(len(theirs))
    )
    return small.clamp(-1, 1), own


def inner(base: Model) -> tuple[int, ...]:
    """The shape of the base's latents. Raises RequestError where they are none that a row of numbers can hold."""
    if base.card.latent is None or base.card.latent_kind != "continuous":
        raise RequestError(
            f"The part base, {base.name}, has no continuous latents (latent_kind {base.card.latent_kind!r}; its hooks: "
            f"{listed(base.card.hooks)}), so the cascade has none."
        )
    return base.card.latent


def only_stage(net: DiffusionModel, low: Tensor | None, what: str) -> None:
    """Raises RequestError for small pictures given to a cascade whose `what` takes in all stages."""
    if net.base is not None and low is not None:
        raise RequestError(
            f"low stands in for the part base, and {what} of a cascade is of all stages: leave low out."
        )


def begun_by(net: DiffusionModel, base: Model | None, low: Tensor | None) -> Model | None:
    """The base, where small pictures are wanted and none are given. Raises RequestError where both are missing."""
    if not net.low or low is not None:
        return None
    if base is None:
        raise RequestError("This model makes small pictures larger: give condition(low=pictures).")
    return base
