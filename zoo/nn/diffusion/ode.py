"""Likelihood by the probability flow, the ODE whose marginals are the diffusion's.

For z = x / alpha and s = sigma / alpha:   dz / ds = e(z, s),     d ln p(z) / ds = -div e
    ln p(x_0) = ln p_T(z_T) + integral_{s_0}^{s_T} div e ds

(Chen et al., 2018, arXiv:1806.07366; Song et al., 2021, arXiv:2011.13456, section 4.3). Solved in ln s by Runge and
Kutta's fourth-order rule in fixed steps, from the least noise the net knows. The divergence is v^T J v for random signs
v (Hutchinson; Grathwohl et al., 2019, arXiv:1810.01367: one v a picture, so the estimate is unbiased), or exact, with
one gradient a number of the picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import exp, inf, log, pi

import torch
from torch import Tensor

from zoo.nn.diffusion.levels import Level
from zoo.nn.diffusion.process import Process
from zoo.nn.diffusion.samplers.state import Denoise


def ends(process: Process) -> tuple[Level, Level]:
    """The least and the most noisy level between which the flow is finite."""
    first, last = process.level(process.first), process.level(process.last)
    if last.ratio < inf:
        return first, last
    before = 1 - 1 / process.steps if process.continuous else process.last - 1
    return first, process.level(before)


def log_density(
    denoise: Denoise,
    images: Tensor,
    process: Process,
    steps: int,
    signs: Tensor | None,
    watched: Iterable[int] | None = None,
) -> Tensor:
    """The log density (B,) of images (B, C, H, W), in nats.

    `signs` (B, C, H, W) are random signs for Hutchinson's estimate; None: the exact trace. `watched` goes through the
    steps, as a bar does.
    """
    first, last = ends(process)
    u, size = log(first.ratio), (log(last.ratio) - log(first.ratio)) / steps
    z, gained = images, torch.zeros(len(images), dtype=torch.float64, device=images.device)
    for index in range(steps) if watched is None else watched:
        place = u + index * size
        k1, d1 = _flow(denoise, z, process, place, signs)
        k2, d2 = _flow(denoise, z + k1 * (size / 2), process, place + size / 2, signs)
        k3, d3 = _flow(denoise, z + k2 * (size / 2), process, place + size / 2, signs)
        k4, d4 = _flow(denoise, z + k3 * size, process, place + size, signs)
        z = z + (k1 + 2 * k2 + 2 * k3 + k4) * (size / 6)
        gained = gained + (d1 + 2 * d2 + 2 * d3 + d4) * (size / 6)
    x, deviation = z * last.alpha, last.sigma if process.start != 1 else 1.0
    square = (x.double() / deviation).square() + log(2 * pi * deviation**2)
    count = images[0].numel()
    nats: Tensor = gained - 0.5 * square.flatten(1).sum(1) + count * log(last.alpha)
    return nats


def _flow(
    denoise: Denoise, z: Tensor, process: Process, log_ratio: float, signs: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Dz / du = s e (B, C, H, W) and its divergence (B,) float64, u = ln s."""
    level = process.at(exp(log_ratio))
    with torch.enable_grad():
        given = z.detach().requires_grad_()
        slope = denoise(given * level.alpha, level).eps * level.ratio
        if signs is not None:
            (row,) = torch.autograd.grad(slope, given, signs)
            divergence = (row.double() * signs).flatten(1).sum(1)
        else:
            divergence = sum(
                _diagonal(slope, given), torch.zeros(len(z), dtype=torch.float64, device=z.device)
            )
    return slope.detach(), divergence.detach()


def _diagonal(slope: Tensor, given: Tensor) -> Iterator[Tensor]:
    flat = slope.flatten(1)
    for place in range(flat.shape[1]):
        (row,) = torch.autograd.grad(flat[:, place].sum(), given, retain_graph=True)
        yield row.flatten(1)[:, place].double()
