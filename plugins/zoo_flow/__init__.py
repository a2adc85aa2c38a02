"""Normalising flows: an invertible map from pictures to normal noise, so likelihoods need no bound on the latent.

    z = f(x),   log p(x) = log N(z; 0, I) + log |det df/dx|

RealNVP (Dinh et al., 2016, arXiv:1605.08803), Glow (Kingma & Dhariwal, 2018, arXiv:1807.03039),
variational dequantisation (Ho et al., 2019, arXiv:1902.00275). The family's page is README.md beside this file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zoo import hookimpl

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from zoo.hookspecs import Progress
    from zoo.train.objective import Objective
    from zoo_flow.asking import Asked
    from zoo_flow.net import Flow


@hookimpl
def build(config: Mapping[str, Any]) -> Flow:
    """The net of the card's config; see `zoo_flow.net.Flow`."""
    from zoo_flow.net import Flow

    return Flow(**config)


@hookimpl
def condition(net: Flow, request: Mapping[str, Any], batch: int) -> Asked:
    """`label=3` or a list, where the model has classes; `draws=16`: how many draws `log_prob` averages."""
    from zoo_flow import asking

    return asking.read(net, request, batch)


@hookimpl
def encode(net: Flow, images: Tensor, cond: Asked | None, generator: Generator | None) -> Tensor:
    """Pictures (B, C, H, W) in [-1, 1] to z (B, D); of the middle of each level, or of a drawn place in it."""
    from zoo_flow import asking

    return asking.encode(net, images, cond, generator)


@hookimpl
def decode(net: Flow, latents: Tensor, cond: Asked | None) -> Tensor:
    """Latents (B, D) to pictures (B, C, H, W), about [-1, 1], the exact inverse of `encode`."""
    from zoo_flow import asking

    return asking.decode(net, latents, cond)


@hookimpl
def sample(
    net: Flow,
    count: int,
    cond: Asked | None,
    options: Mapping[str, Any],
    generator: Generator,
    progress: Progress,
) -> Tensor:
    """8-bit pictures drawn at `temperature` (1.0), the deviation of z."""
    from zoo_flow import asking

    return asking.sample(net, count, cond, options, generator, progress)


@hookimpl
def log_prob(net: Flow, images: Tensor, cond: Asked | None, generator: Generator) -> Tensor:
    """A lower bound (B,) in nats of the log-probability of the 8-bit picture; `draws` tightens it."""
    from zoo_flow import asking

    return asking.log_prob(net, images, cond, generator)


@hookimpl
def objectives(net: Flow, recipe: Mapping[str, Any]) -> Sequence[Objective]:
    """One objective: the bound in bits a dimension. `zoo_flow.training.Settings` reads the recipe's [objective]."""
    from zoo_flow import training

    return training.objectives(net, recipe)
