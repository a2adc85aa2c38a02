"""Diffusion: noise becomes a picture, a little at a time.

    x_t = alpha_t x_0 + sigma_t e,   net(x_t, t) -> e, x_0 or v,   and a sampler that goes from x_T ~ N(0, I) to x_0

Ho et al., 2020 (arXiv:2006.11239); Nichol & Dhariwal, 2021 (arXiv:2102.09672); Dhariwal & Nichol, 2021
(arXiv:2105.05233); Song et al., 2021 (arXiv:2010.02502, arXiv:2011.13456); Karras et al., 2022 (arXiv:2206.00364);
Lipman et al., 2023 (arXiv:2210.02747). The family's page is README.md beside this file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zoo import hookimpl

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from zoo.adoption import Adoption
    from zoo.density import LogProb
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
    """`label`; `image` with `strength` or with `mask`; `low`; `steps`, `refine`, `likelihood`, `trace`."""
    from zoo_diffusion import asking

    return asking.asked(net, request, batch)


@hookimpl
def encode(net: DiffusionModel, images: Tensor, cond: Asked | None) -> Tensor:
    """Pictures (B, C, H, W) to the noise (B, C, H, W) that DDIM makes them from; deterministic."""
    from zoo_diffusion import inversion

    return inversion.encode(net, images, cond)


@hookimpl
def decode(net: DiffusionModel, latents: Tensor, cond: Asked | None) -> Tensor:
    """Noise (B, C, H, W) to the pictures (B, C, H, W) that DDIM makes of it."""
    from zoo_diffusion import inversion

    return inversion.decode(net, latents, cond)


@hookimpl
def sample(
    net: DiffusionModel,
    count: int,
    cond: Asked | None,
    options: Mapping[str, Any],
    generator: Generator,
    progress: Progress,
) -> Tensor:
    """Draw pictures; the options are `zoo_diffusion.choosing.DEFAULTS`."""
    from zoo_diffusion import sampling

    return sampling.sample(net, count, cond, options, generator, progress)


@hookimpl
def log_prob(
    net: DiffusionModel, images: Tensor, cond: Asked | None, generator: Generator
) -> Tensor:
    """A lower bound (B,) of ln p of the 8-bit picture, in nats: the variational one, or the probability flow's."""
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


def previews(
    model: Model, count: int = 1, seed: int | None = None, **options: Any
) -> Iterator[Any]:
    """The clean pictures foreseen at every step of a sampling run; see `zoo_diffusion.sampling.previews`."""
    from zoo_diffusion import sampling

    return sampling.previews(model, count, seed, options)


def likelihoods(model: Model, images: Any, seed: int | None = None) -> dict[str, LogProb]:
    """The bound term by term and the flow's estimate, each labelled; see `zoo_diffusion.scoring.likelihoods`."""
    from zoo_diffusion import scoring

    return scoring.likelihoods(model, images, seed)
