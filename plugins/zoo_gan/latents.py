"""Latents drawn: normal, or truncated by the inverse distribution function, without rejection.

    z = Phi^-1(Phi(-t) + u (Phi(t) - Phi(-t))),   u ~ U[0, 1)

is a normal number given |z| <= t: one uniform number each, whatever t is, where drawing again until it fits (BigGAN's
truncation trick, Brock et al., 2018, arXiv:1809.11096) would make pictures depend on how often that took. A small t
gives typical, less varied pictures; the number that chooses a label (see `zoo_gan.net`) is never truncated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from zoo import rng
from zoo.errors import RequestError

if TYPE_CHECKING:
    from zoo_gan.net import Gan


def truncated(uniform: Tensor, bound: float) -> Tensor:
    """Uniform numbers in [0, 1), any shape, to normal ones given that they are within +-bound; float64.

    Raises RequestError for a bound that is not positive and finite.
    """
    if not 0 < bound < float("inf"):
        raise RequestError(
            f"truncation bounds |z|, so it is a positive number, say 0.5 to 2; got {bound}. "
            "Leave it out (or give 0) for none."
        )
    tail = torch.special.ndtr(torch.tensor(-bound, dtype=torch.float64))
    place = tail + uniform.double() * (1 - 2 * tail)
    out: Tensor = torch.special.ndtri(place).clamp(-bound, bound)
    return out


def draw(net: Gan, count: int, generator: Generator, truncation: float = 0.0) -> Tensor:
    """Latents (count, *Z) on the net's device, row i by (generator, i) alone; |z| <= truncation unless that is 0."""
    like = next(net.parameters())
    streams = rng.streams(generator, count)
    drawn = rng.normal(streams, *net.latent)
    if truncation:
        free = net.latent[0] - net.dim
        drawn[:, free:] = truncated(rng.uniform(streams, net.dim), truncation).float()
    return drawn.to(like.device, like.dtype)
