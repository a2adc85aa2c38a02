"""Variational autoencoders: a picture is a few continuous numbers, with a bound on its probability.

    ln p(x) >= E_q(z|x)[ln p(x | z)] - KL(q(z | x) || N(0, I))

Kingma & Welling, 2013 (arXiv:1312.6114); Rezende et al., 2014 (arXiv:1401.4082); importance-weighted: Burda et al.,
2015 (arXiv:1509.00519); beta: Higgins et al., 2017; ladders: Sonderby et al., 2016 (arXiv:1602.02282). The family's
page is README.md beside this file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zoo import hookimpl

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from zoo.model import Model
    from zoo.train.objective import Objective
    from zoo_vae.conditions import Condition
    from zoo_vae.ladder import Ladder
    from zoo_vae.net import Vae

    Net = Vae | Ladder


@hookimpl
def build(config: Mapping[str, Any]) -> Net:
    """The net of the card's config; see `zoo_vae.net.vae`."""
    from zoo_vae.net import vae

    return vae(config)


@hookimpl
def condition(net: Net, request: Mapping[str, Any], batch: int) -> Condition:
    """`label`: a class or one a picture; `importance`: how many latents a picture log_prob weighs (1: the ELBO)."""
    from zoo_vae import conditions

    return conditions.read(net, request, batch)


@hookimpl
def encode(net: Net, images: Tensor, cond: Condition | None, generator: Generator | None) -> Tensor:
    """Pictures (B, C, H, W), greys too, to latents (B, D): the mode of q(z | x), or with a generator a draw."""
    from zoo_vae import conditions

    return conditions.encoded(net, images, cond, generator)


@hookimpl
def decode(net: Net, latents: Tensor, cond: Condition | None) -> Tensor:
    """Latents (B, D) to the mean picture (B, C, H, W): of a binary model, grey is the chance of white."""
    mean: Tensor = net.likelihood.mean(net.given(latents, net.labels(cond, len(latents))))
    return mean


@hookimpl
def sample(
    net: Net,
    count: int,
    cond: Condition | None,
    options: Mapping[str, Any],
    generator: Generator,
) -> Tensor:
    """Draw z ~ N(0, temperature^2 I), then x: `pixels` "draw" from p(x | z), or "mean" for its mean picture."""
    from zoo_vae import conditions

    return conditions.sampled(net, count, cond, options, generator)


@hookimpl
def log_prob(net: Net, images: Tensor, cond: Condition | None, generator: Generator) -> Tensor:
    """A lower bound (B,) of ln p(x) in nats: the ELBO, or IWAE_k on `condition(importance=k)`.

    Raises ImageError for a picture with greys where the model is of black and white.
    """
    from zoo_vae import bounds

    labels = net.labels(cond, len(images))
    if cond is None or cond.importance == 1:
        return bounds.elbo(net, images, labels, generator)
    return bounds.importance_weighted(net, images, labels, cond.importance, generator)


@hookimpl
def objectives(net: Net, recipe: Mapping[str, Any]) -> Sequence[Objective]:
    """The bound, as `zoo_vae.training.Settings` reads the recipe's [objective]."""
    from zoo_vae import training

    return training.objectives(net, recipe)


def interpolate(model: Model, a: Any, b: Any, steps: int = 8) -> Any:
    """Pictures on the way from a to b; see `zoo_vae.paths.interpolate`."""
    from zoo_vae import paths

    return paths.interpolate(model, a, b, steps)
