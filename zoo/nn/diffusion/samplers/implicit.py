"""Steps along the predicted noise: DDIM, Euler, Heun, and consistency's.

    ddim   x_s = alpha_s x_0 + sqrt(sigma_s^2 - u^2) e + u e',   u = eta sigma_s sqrt(1 - r^2),
           r = sigma_s alpha_t / (sigma_t alpha_s);  eta = 1 is DDPM     Song et al., 2021, arXiv:2010.02502, eq. 12
    euler  the same for eta = 0 (in any coordinates), ancestral for eta = 1; with churn
    heun   x_s = x_t + mean over both ends of (d alpha x_0 + d sigma e), with churn
                                                                    Karras et al., 2022, arXiv:2206.00364, algorithm 2
    lcm    x_s = alpha_s x_0 + sigma_s e'                           Song et al., 2023, arXiv:2303.01469, algorithm 1

Heun's rule is the trapezoid rule of dx = x_0 d alpha + e d sigma, the probability flow.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

import torch
from torch import Tensor

from zoo.nn.diffusion.levels import Level, Path, raised
from zoo.nn.diffusion.samplers.state import Denoise, Noise, Options, State

MOST_CHURN = 2**0.5 - 1  # of a step, relative


def fresh(at: Level, to: Level, eta: float) -> float:
    """The standard deviation of the noise that is put back, u."""
    if not eta:
        return 0.0
    r = (to.sigma * at.alpha) / (at.sigma * to.alpha)
    return eta * float(to.sigma) * sqrt(max(1 - r * r, 0.0))


def ddim(
    denoise: Denoise, x: Tensor, path: Path, options: Options, noise: Noise
) -> Iterator[State]:
    """See the module."""
    for step in path:
        found, to = denoise(x, step.at), step.to
        new = fresh(step.since, to, options.eta)
        kept = max(to.sigma**2 - new**2, 0.0) ** 0.5
        x = torch.add(found.x0 * to.alpha, found.eps, alpha=kept)
        if options.eta:
            x = torch.add(x, noise(), alpha=new)
        yield State(x, found.x0)


def euler(
    denoise: Denoise, x: Tensor, path: Path, options: Options, noise: Noise
) -> Iterator[State]:
    """Like ddim, from a level raised by churn."""
    for step in path:
        x, at = churned(x, step.at, path, options, noise)
        found, to = denoise(x, at), step.to
        new = fresh(at, to, options.eta)
        kept = max(to.sigma**2 - new**2, 0.0) ** 0.5
        x = torch.add(found.x0 * to.alpha, found.eps, alpha=kept)
        if options.eta:
            x = torch.add(x, noise(), alpha=new)
        yield State(x, found.x0)


def heun(
    denoise: Denoise, x: Tensor, path: Path, options: Options, noise: Noise
) -> Iterator[State]:
    """Two evaluations a step, one for the last, which ends without noise."""
    for step in path:
        x, at = churned(x, step.at, path, options, noise)
        first, to = denoise(x, at), step.to
        d_alpha, d_sigma = to.alpha - at.alpha, to.sigma - at.sigma
        guess = x + first.x0 * d_alpha + first.eps * d_sigma
        yield State(guess, first.x0)
        if not to.sigma:
            x = guess
            continue
        second = denoise(guess, to)
        x = x + (first.x0 + second.x0) * (d_alpha / 2) + (first.eps + second.eps) * (d_sigma / 2)
        yield State(x, second.x0)


def lcm(denoise: Denoise, x: Tensor, path: Path, options: Options, noise: Noise) -> Iterator[State]:
    """The predicted picture, noised anew for the next step."""
    last = len(path) - 1
    for index, step in enumerate(path):
        found, to = denoise(x, step.at), step.to
        x = found.x0 * to.alpha
        if index < last or options.noise_last:
            x = torch.add(x, noise(), alpha=to.sigma)
        yield State(x, found.x0)


def churned(
    x: Tensor, at: Level, path: Path, options: Options, noise: Noise
) -> tuple[Tensor, Level]:
    """X noised to a ratio (1 + g) times that of its level, g = min(churn / steps, sqrt(2) - 1).

    Pure noise stays what it is.
    """
    within = options.churn_from <= at.ratio <= options.churn_to
    if not options.churn or not at.alpha or not within:
        return x, at
    to = path.level(at.ratio * (1 + min(options.churn / len(path), MOST_CHURN)))
    return raised(x, at, to, noise() * options.churn_noise), to
