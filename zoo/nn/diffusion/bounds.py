"""The variational bound of a diffusion model, term by term, in nats.

    -ln p(x_0) <= KL(q(x_T | x_0) || N(0, I))                                 prior
                + sum_{t > 1} KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t))   a step back each
                - ln p(x_0 | x_1)                                             8-bit pixels, discretised normal;
                                                                              of latents its density

(Ho et al., 2020, arXiv:2006.11239, eq. 5; Nichol & Dhariwal, 2021, arXiv:2102.09672, whose published bits/dim are this
sum over ln 2 and the number of pixels.) With one draw of x_t a term the sum is unbiased for the bound. A respaced path
is a model of its own, with a bound of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from zoo.nn.diffusion import posterior
from zoo.nn.diffusion.levels import Level, Path, Step
from zoo.nn.diffusion.predictions import Predicted
from zoo.nn.diffusion.samplers.state import Denoise, Noise

# (x_0, mean, ln deviation) -> ln p(x_0 | x_1) of each number
Coded: TypeAlias = Callable[[Tensor, Tensor, Tensor | float], Tensor]


class Term(NamedTuple):
    """One step's part of the bound for pictures (B, C, H, W).

    nats  (B,) of the step; `step` which; x0_error and eps_error (B,) the mean squares of what the net foresees
    """

    nats: Tensor
    step: Step
    x0_error: Tensor
    eps_error: Tensor


def prior(images: Tensor, last: Level, deviation: float = 1.0) -> Tensor:
    """KL(q(x_T | x_0) || N(0, deviation^2 I)) (B,), x_T at the noisiest level `last`."""
    log_var = torch.tensor(last.sigma, dtype=torch.float64).log() * 2
    other = torch.tensor(deviation, dtype=torch.float64).log() * 2
    each = posterior.kl(images * last.alpha, log_var.to(images), 0.0, other.to(images))
    return each.flatten(1).sum(1)


def step_nats(
    found: Predicted,
    images: Tensor,
    x: Tensor,
    step: Step,
    variance: str,
    coded: Coded = posterior.discretised,
) -> Tensor:
    """The term (B,) of a step: x at `step.at` is a draw of q(x_t | images), `found` the prediction there.

    The step is one for all, or its levels are tensors (B, 1, 1, 1), one a picture. `coded` gives ln p(x_0 | x_1): the
    mass of an 8-bit pixel, or of latents `posterior.density`.
    """
    mean = posterior.mean(found.x0, x, step)
    log_var = posterior.log_variance(found, step, variance)
    several = isinstance(step.to.sigma, Tensor)
    if several or step.to.sigma:
        true = posterior.mean(images, x, step)
        each = posterior.kl(true, posterior.log_variance(found, step, "posterior"), mean, log_var)
    if several or not step.to.sigma:
        last = -coded(images, mean, log_var / 2)
        each = torch.where(step.to.sigma == 0, last, each) if several else last
    return each.flatten(1).sum(1)


def terms(
    denoise: Denoise,
    images: Tensor,
    path: Path,
    variance: str,
    noise: Noise,
    coded: Coded = posterior.discretised,
) -> Iterator[Term]:
    """The terms from the noisiest step to the last, each with fresh noise."""
    for step in path:
        e = noise()
        x = step.at.noised(images, e)
        found = denoise(x, step.at)
        nats = step_nats(found, images, x, step, variance, coded)
        yield Term(nats, step, _square(found.x0 - images), _square(found.eps - e))


def bound(
    denoise: Denoise,
    images: Tensor,
    path: Path,
    variance: str,
    noise: Noise,
    watched: Callable[[Iterator[Term]], Iterator[Term]] = iter,
    coded: Coded = posterior.discretised,
) -> Tensor:
    """The bound of -ln p(images) (B,) in nats: all terms together, `watched` going through them."""
    total = prior(images, path.steps[0].at)
    for term in watched(terms(denoise, images, path, variance, noise, coded)):
        total = total + term.nats
    return total


def _square(difference: Tensor) -> Tensor:
    return difference.square().flatten(1).mean(1)
