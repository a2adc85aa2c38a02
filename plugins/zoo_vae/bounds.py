"""Lower bounds of ln p(x), unbiased over the noise and tighter with more of it.

    ELBO    E_q[ln p(x | z)] - KL(q(z | x) || N(0, I))                    one z, the KL in closed form
    IWAE_k  E[ln 1/k sum_j w_j],   w_j = p(x | z_j) p(z_j) / q(z_j | x)   z_1 ... z_k drawn from q

    ELBO <= IWAE_k <= IWAE_(k+1) <= ln p(x)

(Kingma & Welling, 2013, arXiv:1312.6114; Burda et al., 2015, arXiv:1509.00519, theorem 1.) Each value is a draw whose
expectation is the bound: an average over a test set is one with a standard error, a single value may lie above
ln p(x).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log
from typing import Any

import torch
from torch import Generator, Tensor

from zoo import rng
from zoo_vae.gaussian import kl_each
from zoo_vae.ladder import Drawn

BLOCK = 50  # latents drawn from a picture's stream at a time: fixed, so that they do not depend on the batch
ROWS = 800  # latents decoded at a time, which bounds memory


def log_weights(net: Any, drawn: Drawn, noise: Tensor, images: Tensor) -> Tensor:
    """The logarithm of p(x | z) p(z) / q(z | x) for z = mean + scale * noise; (B, ...) -> (B,) nats."""
    ratio = (noise.square() - drawn.latents.square()) / 2 + drawn.scale.log()
    out: Tensor = net.likelihood.log_prob(drawn.given, images) + ratio.sum(1)
    return out


def elbo_terms(
    net: Any, images: Tensor, labels: Tensor | None, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """The values of ln p(x | z) (B,) at one draw a picture, and the KL of each latent (B, D) in closed form."""
    drawn = net.draw(net.seen(images, labels), labels, noise)
    return net.likelihood.log_prob(drawn.given, images), kl_each(drawn.mean, drawn.scale)


def elbo(net: Any, images: Tensor, labels: Tensor | None, generator: Generator) -> Tensor:
    """The ELBO (B,) with one draw of z a picture."""
    streams = rng.streams(generator, len(images))
    noise = rng.normal(streams, net.latents, device=images.device, dtype=images.dtype)
    likely, kl = elbo_terms(net, images, labels, noise)
    return likely - kl.sum(1)


def importance_weighted(
    net: Any, images: Tensor, labels: Tensor | None, k: int, generator: Generator
) -> Tensor:
    """IWAE_k (B,): the encoder runs once a picture, the decoder k times, at most ROWS latents at a time."""
    streams = rng.streams(generator, len(images))
    seen, found = net.seen(images, labels), []
    for rows in _slices(len(images), max(1, ROWS // min(k, BLOCK))):
        weights = [
            _block(net, images[rows], None if labels is None else labels[rows],
                   tuple(each[rows] for each in seen), streams[rows], min(BLOCK, k - start))
            for start in range(0, k, BLOCK)
        ]  # fmt: skip
        found.append(torch.cat(weights, 1).logsumexp(1) - log(k))
    return torch.cat(found)


def _block(
    net: Any,
    images: Tensor,
    labels: Tensor | None,
    seen: tuple[Tensor, ...],
    streams: list[Generator],
    count: int,
) -> Tensor:
    """`count` log-weights a picture, (B, count)."""
    noise = rng.normal(streams, count, net.latents, device=images.device, dtype=images.dtype)
    noise = noise.flatten(0, 1)
    images = images.repeat_interleave(count, 0)
    labels = None if labels is None else labels.repeat_interleave(count, 0)
    drawn = net.draw(tuple(each.repeat_interleave(count, 0) for each in seen), labels, noise)
    return log_weights(net, drawn, noise, images).view(-1, count)


def _slices(length: int, step: int) -> Iterator[slice]:
    for start in range(0, length, step):
        yield slice(start, start + step)
