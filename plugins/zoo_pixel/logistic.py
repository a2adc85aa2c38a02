"""The discretised mixture of logistics with channels that depend on those before, exactly.

A value x in [-1, 1] is one of 256 grey levels v = (x + 1) 127.5. With sigma the logistic function, a component k of
mean mu and scale s gives the level the mass of its bin, the outermost bins reaching to infinity,

    p_k(x) = sigma((x + 1/255 - mu) / s) - sigma((x - 1/255 - mu) / s)
           = sigma(b) sigma(-a) (1 - exp(a - b)),         a, b the two edges in units of s,

and the second form loses no digits in the tails, so that the 256 masses sum to 1. Over the C channels of a pixel

    p(x) = sum_k pi_k prod_c p_k(x_c | x_<c),        mu_kc(x_<c) = m_kc + sum_{d < c} w_kcd x_d

(Salimans et al., "PixelCNN++", 2017, arXiv:1701.05517), whose conditionals are again mixtures:

    p(x_c | x_<c) = sum_k pi_k(x_<c) p_k(x_c | x_<c),    pi_k(x_<c) ~ pi_k prod_{d < c} p_k(x_d | x_<d).

Letters: ... any leading axes, C channels, M components.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

LEVELS = 256
HALF = 1 / 255  # half a bin
PIECE = 2048  # pixels whose tables are made at once, which bounds the memory


class Mixture(NamedTuple):
    """The parameters of a mixture over one pixel."""

    weights: Tensor  # (..., M) logarithms of pi, normalised
    means: Tensor  # (..., C, M) m
    log_scales: Tensor  # (..., C, M)
    coefficients: Tensor  # (..., C (C - 1) / 2, M) w in the order 10, 20, 21, ...

    def at(self, index: int) -> Mixture:
        """That of place `index` along the second axis."""
        return Mixture(*(each[:, index] for each in self))


def mean(mixture: Mixture, channel: int, values: Tensor) -> Tensor:
    """Mu (..., M) of a channel given the values (..., C) of those before it; later ones are not read."""
    out = mixture.means[..., channel, :]
    first = channel * (channel - 1) // 2
    for before in range(channel):
        out = out + mixture.coefficients[..., first + before, :] * values[..., before, None]
    return out


def log_mass(x: Tensor, mu: Tensor, log_scale: Tensor) -> Tensor:
    """Log p_k of the bin around x; all shapes broadcast. x is one of the 256 levels in [-1, 1]."""
    inverse = torch.exp(-log_scale)
    centred = x - mu
    upper, lower = inverse * (centred + HALF), inverse * (centred - HALF)
    below, above = F.logsigmoid(upper), F.logsigmoid(-lower)  # of x <= its bin, of x >= its bin
    inside = below + above + torch.log(-torch.expm1(-2 * HALF * inverse))
    return torch.where(x < -0.999, below, torch.where(x > 0.999, above, inside))


def log_prob(values: Tensor, mixture: Mixture) -> Tensor:
    """Log p(x) (...) of pixels (..., C) in [-1, 1]."""
    mu = torch.stack([mean(mixture, c, values) for c in range(values.shape[-1])], -2)
    each = log_mass(values[..., None], mu, mixture.log_scales)  # (..., C, M)
    return (mixture.weights + each.sum(-2)).logsumexp(-1)


def grid(like: Tensor) -> Tensor:
    """The 256 levels in [-1, 1]."""
    return torch.arange(LEVELS, dtype=like.dtype, device=like.device) / 127.5 - 1


def posterior(mixture: Mixture, channel: int, values: Tensor) -> Tensor:
    """Log pi_k (..., M) given the values of the channels before `channel`."""
    weights = mixture.weights
    for before in range(channel):
        scale = mixture.log_scales[..., before, :]
        weights = weights + log_mass(
            values[..., before, None], mean(mixture, before, values), scale
        )
    return weights.log_softmax(-1)


def log_table(mixture: Mixture, channel: int, values: Tensor) -> Tensor:
    """Log p(x_c = level | x_<c) (..., 256), given values (..., C) whose later channels are not read."""
    weights = posterior(mixture, channel, values)[..., None]
    mu, scale = mean(mixture, channel, values), mixture.log_scales[..., channel, :]
    mass = log_mass(grid(values), mu[..., None], scale[..., None])  # (..., M, 256)
    return (weights + mass).logsumexp(-2)


def log_tables(mixture: Mixture, values: Tensor) -> Tensor:
    """All channels' tables (..., C, 256) of pixels with these values (..., C)."""
    lead, channels = values.shape[:-1], values.shape[-1]
    pieces = [torch.split(each.flatten(0, len(lead) - 1), PIECE) for each in (*mixture, values)]
    made = [
        torch.stack([log_table(Mixture(*some), c, x) for c in range(channels)], -2)
        for *some, x in zip(*pieces, strict=True)
    ]
    return torch.cat(made).view(*lead, channels, LEVELS)
