"""Latent diffusion: noise becomes the latents of a picture, an autoencoder makes the picture of them.

    z = scale (E(x) - shift),    z_t = alpha_t z + sigma_t e,    net(z_t, t, text, label, map, ...) -> e, z or v

(Rombach et al., 2022, arXiv:2112.10752; Peebles & Xie, 2023, arXiv:2212.09748.) Processes, samplers, guidance and
bounds are those of `zoo.nn.diffusion`. The family's page is README.md beside this file.
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
    from zoo_ldm.asking import Asked
    from zoo_ldm.net import LatentDiffusion


@hookimpl
def build(config: Mapping[str, Any], parts: Mapping[str, Model]) -> LatentDiffusion:
    """The net of the card's config; parts: `autoencoder`, `text` (a text encoder), `preview` (a small autoencoder)."""
    from zoo_ldm.net import latent_diffusion

    return latent_diffusion(config, parts)


@hookimpl
def condition(net: LatentDiffusion, request: Mapping[str, Any], batch: int) -> Asked:
    """`text`, `negative`, `label`; `image` with `strength` or `mask`; `low`, `map`; ControlNets: `zoo_ldm.asking`."""
    from zoo_ldm import asking

    return asking.asked(net, request, batch)


@hookimpl
def encode(net: LatentDiffusion, images: Tensor, cond: Asked | None) -> Tensor:
    """Pictures (B, C, H, W) to the noise (B, c, h, w) that DDIM makes their latents of; deterministic."""
    from zoo_ldm import sampling

    return sampling.encode(net, images, cond)


@hookimpl
def decode(net: LatentDiffusion, latents: Tensor, cond: Asked | None) -> Tensor:
    """Noise (B, c, h, w) to the pictures (B, C, H, W) that DDIM and the autoencoder make of it."""
    from zoo_ldm import sampling

    return sampling.decode(net, latents, cond)


@hookimpl
def sample(
    net: LatentDiffusion,
    count: int,
    cond: Asked | None,
    options: Mapping[str, Any],
    generator: Generator,
    progress: Progress,
) -> Tensor:
    """Draw pictures; the options are those of `zoo.nn.diffusion.choosing` and `zoo_ldm.sampling`."""
    from zoo_ldm import sampling

    return sampling.sample(net, count, cond, options, generator, progress)


@hookimpl
def log_prob(
    net: LatentDiffusion, images: Tensor, cond: Asked | None, generator: Generator
) -> Tensor:
    """Ln p (B,) of the latents of pictures, in nats: the variational bound, or the probability flow's estimate."""
    from zoo_ldm import scoring

    return scoring.log_prob(net, images, cond, generator)


@hookimpl
def objectives(net: LatentDiffusion, recipe: Mapping[str, Any]) -> Sequence[Objective]:
    """One objective, as `zoo_ldm.training.Settings` reads the recipe's [objective]."""
    from zoo_ldm import training

    return training.objectives(net, recipe)


@hookimpl
def adopt(keys: Mapping[str, tuple[int, ...]], config: Mapping[str, Any] | None) -> Adoption | None:
    """Whether these keys are those of a published latent diffusion model, or of its U-Net."""
    from zoo_ldm import layouts

    return layouts.adopt(keys, config)
