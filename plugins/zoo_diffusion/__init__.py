"""Diffusion: noise becomes a picture, a little at a time.

    x_t = alpha_t x_0 + sigma_t e,   net(x_t, t) -> e, x_0 or v,   and a sampler that goes from x_T ~ N(0, I) to x_0

Ho et al., 2020 (arXiv:2006.11239); Nichol & Dhariwal, 2021 (arXiv:2102.09672); Dhariwal & Nichol, 2021
(arXiv:2105.05233); Song et al., 2021 (arXiv:2010.02502, arXiv:2011.13456); Karras et al., 2022 (arXiv:2206.00364);
Lipman et al., 2023 (arXiv:2210.02747). The family's page is README.md beside this file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zoo import hookimpl

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from zoo.adoption import Adoption
    from zoo.hookspecs import Progress
    from zoo.model import Model
    from zoo.train.objective import Objective
    from zoo_diffusion.asking import Asked
    from zoo_diffusion.net import DiffusionModel


@hookimpl
def build(config: Mapping[str, Any], parts: Mapping[str, Model]) -> DiffusionModel:
    """The net of the card's config; parts: a `classifier` that guides, a `base` whose pictures are made larger."""
    from zoo_diffusion.net import diffusion_model

    return diffusion_model(config, parts)


@hookimpl
def condition(net: DiffusionModel, request: Mapping[str, Any], batch: int) -> Asked:
    """`label`; `control` with its hints; `image` with `strength` or `mask`; `low`; `steps`, `likelihood` and others."""
    from zoo_diffusion import asking

    return asking.asked(net, request, batch)


@hookimpl
def encode(net: DiffusionModel, images: Tensor, cond: Asked | None) -> Tensor:
    """Pictures (B, C, H, W) to the noise alike that DDIM makes them of, (B, n) for a cascade; deterministic."""
    from zoo_diffusion import sampling

    return sampling.encode(net, images, cond)


@hookimpl
def decode(net: DiffusionModel, latents: Tensor, cond: Asked | None) -> Tensor:
    """Noise to the pictures (B, C, H, W) that DDIM makes of it."""
    from zoo_diffusion import sampling

    return sampling.decode(net, latents, cond)


@hookimpl
def sample(
    net: DiffusionModel,
    count: int,
    cond: Asked | None,
    options: Mapping[str, Any],
    generator: Generator,
    progress: Progress,
) -> Tensor:
    """Draw pictures; the options are those of `zoo.nn.diffusion.choosing` and `zoo_diffusion.sampling`."""
    from zoo_diffusion import sampling

    return sampling.sample(net, count, cond, options, generator, progress)


@hookimpl
def log_prob(
    net: DiffusionModel, images: Tensor, cond: Asked | None, generator: Generator
) -> Tensor:
    """Ln p (B,) of the 8-bit picture, in nats: the variational bound, or the probability flow's estimate."""
    from zoo_diffusion import scoring

    return scoring.log_prob(net, images, cond, generator)


@hookimpl
def objectives(net: DiffusionModel, recipe: Mapping[str, Any]) -> Sequence[Objective]:
    """One objective, as `zoo_diffusion.training.Settings` reads the recipe's [objective]."""
    from zoo_diffusion import training

    return training.objectives(net, recipe)


@hookimpl
def adopt(keys: Mapping[str, tuple[int, ...]], config: Mapping[str, Any] | None) -> Adoption | None:
    """Whether these keys are those of a published U-Net or DiT."""
    from zoo_diffusion import layouts
    from zoo_diffusion.net import placed

    found = layouts.adopt(keys, config)
    return None if found is None else placed(found)
