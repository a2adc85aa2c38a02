"""Generative adversarial networks: a picture is what a net makes of normal noise, G(z), z ~ N(0, I).

    min_G max_D  E log D(x) + E log(1 - D(G(z)))

Goodfellow et al., 2014, arXiv:1406.2661; with spectral norm (Miyato et al., 2018, arXiv:1802.05957), a projection
discriminator for labels (Miyato & Koyama, 2018, arXiv:1802.05637) and the penalty R1 (Mescheder et al., 2018,
arXiv:1801.04406). There is no `log_prob`: a GAN has no density that can be computed. The family's page is README.md
beside this file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zoo import hookimpl

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from zoo.train.objective import Objective
    from zoo_gan.net import Gan
    from zoo_gan.request import Request


@hookimpl
def build(config: Mapping[str, Any]) -> Gan:
    """The generator of the card's config; see `zoo_gan.net.Gan`."""
    from zoo_gan.net import Gan

    return Gan(**config)


@hookimpl
def condition(net: Gan, request: Mapping[str, Any], batch: int) -> Request:
    """Understands `label` (one or one a picture) and what inversion may cost: `steps`, `starts`, `rate`."""
    from zoo_gan import request as requests

    return requests.understand(net, request, batch)


@hookimpl
def encode(net: Gan, images: Tensor, cond: Request | None, generator: Generator | None) -> Tensor:
    """An ESTIMATE of the latents (B, *Z) of pictures, by optimisation: hundreds of passes through G a picture.

    A GAN has no encoder. See `zoo_gan.inversion` for what is minimised and what it costs.
    """
    from zoo_gan import inversion

    return inversion.invert(net, images, cond, generator)


@hookimpl
def decode(net: Gan, latents: Tensor, cond: Request | None) -> Tensor:
    """The generator: latents (B, *Z), about N(0, I), to pictures (B, C, H, W) in (-1, 1)."""
    out: Tensor = net(latents, None if cond is None else cond.labels)
    return out


@hookimpl
def sample(
    net: Gan, count: int, cond: Request | None, options: Mapping[str, Any], generator: Generator
) -> Tensor:
    """Pictures (count, C, H, W) of drawn latents; option `truncation` bounds |z|, 0 leaves it free."""
    from zoo import options as options_of
    from zoo_gan import latents

    chosen = options_of.read(options, "sampling option", truncation=0.0)
    drawn = latents.draw(net, count, generator, chosen.truncation)
    out: Tensor = net(drawn, None if cond is None else cond.labels)
    return out


@hookimpl
def objectives(net: Gan, recipe: Mapping[str, Any]) -> Sequence[Objective]:
    """Two: the generator's, then the discriminator's; `zoo_gan.training.Weights` reads the recipe's [objective]."""
    from zoo_gan import training

    return training.objectives(net, recipe)
