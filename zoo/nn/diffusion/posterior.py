"""One step back, given the picture: q(x_s | x_t, x_0) for a level s less noisy than t.

With a = alpha_t / alpha_s and beta = sigma_t^2 - a^2 sigma_s^2, the variance of q(x_t | x_s),

    mean      (a sigma_s^2 x_t + alpha_s beta x_0) / sigma_t^2
    variance  beta~ = beta sigma_s^2 / sigma_t^2

(Ho et al., 2020, arXiv:2006.11239, eqs. 6 and 7; Kingma et al., 2021, arXiv:2107.00630, appendix A, for any alpha and
sigma.) A learned variance lies between the two, log var = f log beta + (1 - f) log beta~, f = (v + 1) / 2 (Nichol &
Dhariwal, 2021, arXiv:2102.09672, eq. 15). KL of Gaussians and the probability of 8-bit pixels are here too.
"""

from __future__ import annotations

from math import log, pi

import torch
from torch import Tensor

from zoo.nn.diffusion.levels import Level, Number, Step
from zoo.nn.diffusion.predictions import Predicted

TINY = 1e-20
VARIANCES = ("beta", "posterior", "learned-range", "learned")


def beta(at: Level, to: Level) -> Number:
    """The variance of q(x_at | x_to), `at` being the noisier."""
    return at.sigma**2 - (at.alpha / to.alpha * to.sigma) ** 2


def variance(at: Level, to: Level) -> Number:
    """The variance of q(x_to | x_at, x_0)."""
    return beta(at, to) * (to.sigma / at.sigma) ** 2


def coefficients(at: Level, to: Level) -> tuple[Number, Number]:
    """The mean of q(x_to | x_at, x_0) is the first times x_0, plus the second times x_at."""
    of_picture = to.alpha * beta(at, to) / at.sigma**2
    return of_picture, at.alpha / to.alpha * (to.sigma / at.sigma) ** 2


def mean(x0: Tensor, x: Tensor, step: Step) -> Tensor:
    """The mean of q(x_to | x, x_0), x at `step.since`, all (B, C, H, W)."""
    of_picture, of_x = coefficients(step.since, step.to)
    found: Tensor = x0 * _like(of_picture, x) + x * _like(of_x, x)
    return found


def log_variance(found: Predicted, step: Step, kind: str) -> Number:
    """The log variance of the step back: one for all, or (B, C, H, W) of a net that learned it.

    In the last step, where the posterior has none, `step.least` stands for it and for beta. Raises ValueError for an
    unknown kind, or a learned one of a net that says nothing of it.
    """
    if kind not in VARIANCES:
        raise ValueError(f"unknown variance {kind!r}; there are {', '.join(VARIANCES)}")
    if kind == "learned" and found.spread is not None:
        return found.spread
    x = found.x0
    if kind == "beta":
        most = beta(step.since, step.to)
        if isinstance(most, Tensor):
            return _like(torch.where(step.least > 0, step.least, most).log(), x)
        return log(step.least or most)
    small = variance(step.since, step.to)
    if isinstance(small, Tensor):
        low = _like(torch.maximum(small, step.least).clamp(min=TINY).log(), x)
    else:
        low = log(max(small, step.least, TINY))
    if kind == "posterior":
        return low
    if found.spread is None:
        raise ValueError(f"variance {kind!r} needs a net that answers twice the picture's channels")
    most, share = beta(step.since, step.to), (found.spread + 1) / 2
    high = _like(most.log(), x) if isinstance(most, Tensor) else log(most)
    return share * high + (1 - share) * low


def _like(number: Number, x: Tensor) -> Number:
    return number.to(x) if isinstance(number, Tensor) else number


def kl(
    mean: Tensor, log_var: Tensor | float, other: Tensor | float, other_log_var: Tensor | float
) -> Tensor:
    """KL(N(mean, var) || N(other, other_var)) of each number, in nats."""
    ratio = torch.as_tensor(log_var - other_log_var, dtype=mean.dtype, device=mean.device)
    inverse = torch.as_tensor(-other_log_var, dtype=mean.dtype, device=mean.device).exp()
    return 0.5 * (ratio.exp() - 1 - ratio + (mean - other) ** 2 * inverse)


def discretised(images: Tensor, mean: Tensor, log_scale: Tensor | float) -> Tensor:
    """The log probability of each 8-bit pixel under N(mean, scale^2), in nats; like `images`, in [-1, 1].

    A pixel has the mass within 1/255 of it, the outermost levels all beyond. The normal distribution function is 0.5
    (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), as in the published figures (monotone from 0 to 1, so the masses still
    sum to one).
    """
    inverse = torch.exp(-torch.as_tensor(log_scale, dtype=mean.dtype, device=mean.device))
    centred = images - mean
    upper = _normal((centred + 1 / 255) * inverse)
    lower = _normal((centred - 1 / 255) * inverse)
    inside = torch.where(images < -0.999, upper, upper - lower)
    return torch.where(images > 0.999, 1 - lower, inside).clamp(min=1e-12).log()


def density(x: Tensor, mean: Tensor, log_scale: Tensor | float) -> Tensor:
    """The log density of each number under N(mean, scale^2), in nats; like `x`."""
    scale = torch.as_tensor(log_scale, dtype=mean.dtype, device=mean.device)
    return -0.5 * ((x - mean) * torch.exp(-scale)).square() - scale - 0.5 * log(2 * pi)


def _normal(x: Tensor) -> Tensor:
    return 0.5 * (1 + torch.tanh((2 / pi) ** 0.5 * (x + 0.044715 * x**3)))
