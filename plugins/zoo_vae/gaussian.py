"""Diagonal Gaussians in closed form, summed over the last dimension.

    KL(N(m, s^2) || N(n, t^2)) = sum_d  ln(t / s) + (s^2 + (m - n)^2) / (2 t^2) - 1/2

(Kingma & Welling, 2013, arXiv:1312.6114, appendix B.) Nats throughout.
"""

from __future__ import annotations

from math import log, pi

import torch
from torch import Tensor


def kl_each(mean: Tensor, scale: Tensor) -> Tensor:
    """KL(N(mean, scale^2) || N(0, 1)) of each number, the shape of `mean`; scale > 0."""
    return (mean.square() + scale.square() - 1) / 2 - scale.log()


def kl(mean: Tensor, scale: Tensor, other_mean: Tensor, other_scale: Tensor) -> Tensor:
    """KL(N(mean, scale^2) || N(other_mean, other_scale^2)), (..., D) -> (...)."""
    ratio = scale / other_scale
    distance = (mean - other_mean) / other_scale
    each: Tensor = (ratio.square() + distance.square() - 1) / 2 - ratio.log()
    return each.sum(-1)


def entropy(scale: Tensor) -> Tensor:
    """Entropy of N(., scale^2), (..., D) -> (...)."""
    return (scale.log() + (1 + log(2 * pi)) / 2).sum(-1)


def log_density(x: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Logarithm of N(x; mean, scale^2), (..., D) -> (...)."""
    each: Tensor = ((x - mean) / scale).square() / -2 - scale.log() - log(2 * pi) / 2
    return each.sum(-1)


def positive(raw: Tensor, low: float = -8.0, high: float = 4.0) -> Tensor:
    """A standard deviation exp(raw), raw held within [low, high]."""
    return torch.exp(raw.clamp(low, high))
