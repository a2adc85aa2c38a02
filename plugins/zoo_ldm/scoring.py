"""How likely the latents of a picture are: the variational bound, or the probability flow's density.

    bound  -sum of the terms of `zoo.nn.diffusion.bounds`, the last a density: below ln p(z) in expectation
    ode    ln p(z) by the probability flow, up to its solver's error and the trace's noise: an estimate

z are the latents (c, h, w) as they are diffused, so numbers of one autoencoder do not compare with another's. The same
generator gives the same noise, so that differences between conditions are less noisy than the numbers themselves.
"""

from __future__ import annotations

from torch import Generator, Tensor

from zoo import rng
from zoo.nn.diffusion import bounds, likelihood, posterior
from zoo.nn.diffusion.sampling import widened
from zoo_ldm.asking import Asked, usual
from zoo_ldm.net import LatentDiffusion
from zoo_ldm.sampling import plainly


def log_prob(
    net: LatentDiffusion, images: Tensor, cond: Asked | None, generator: Generator
) -> Tensor:
    """Nats (B,) of the latents of pictures (B, C, H, W); `asked.steps` of the schedule, or all."""
    asked, z = cond or usual(net), widened(net.stage.latents(images))
    streams = rng.streams(generator, len(z))
    denoise = likelihood.plain(net, len(z), plainly(net, asked, len(z), "log_prob"))
    if asked.likelihood == "ode":
        return likelihood.flow(denoise, z, net.process, asked.steps, asked.exact, streams)
    path, noise = likelihood.path(net.process, asked.steps), likelihood.fresh(streams, z)
    return -bounds.bound(denoise, z, path, net.process.variance, noise, coded=posterior.density)
