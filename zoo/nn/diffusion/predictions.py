"""What a net can answer about x = alpha x_0 + sigma e, and how that becomes (x_0, e).

    eps       e                                   Ho et al., 2020, arXiv:2006.11239
    x0        x_0
    v         alpha e - sigma x_0                 Salimans & Ho, 2022, arXiv:2202.00512 (of x scaled to variance one)
    velocity  e - x_0                             Lipman et al., 2023, arXiv:2210.02747; Liu et al., 2023
    edm       F: x_0 = c_skip x + c_out F         Karras et al., 2022, arXiv:2206.00364, table 1

The derivative of x_0 by the answer, `gain`, says how a loss on one is weighed as a loss on the other.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from zoo.nn.diffusion.levels import Level, Number

KINDS = ("eps", "x0", "v", "velocity", "edm")


class Predicted(NamedTuple):
    """A net's view of a noisy picture, each (B, C, H, W).

    x0      the clean picture; eps the noise: x = alpha x0 + sigma eps
    spread  what it says of the variance of a step back, if it does
    push    the gradient of a classifier's log probability by x, if one guides
    """

    x0: Tensor
    eps: Tensor
    spread: Tensor | None = None
    push: Tensor | None = None


def predicted(kind: str, output: Tensor, x: Tensor, level: Level, data: float = 1.0) -> Predicted:
    """The answer `output` of a net at x, both (B, C, H, W). Raises ValueError for an unknown kind."""
    alpha, sigma, scale = level.alpha, level.sigma, level.scale
    if kind == "eps":
        return Predicted((x - output * sigma) / alpha, output)
    if kind == "x0":
        return Predicted(output, (x - output * alpha) / sigma)
    if kind == "v":
        a, s, seen = alpha * scale, sigma * scale, x * scale
        return Predicted(seen * a - output * s, output * a + seen * s)
    if kind == "velocity":
        both = alpha + sigma
        return Predicted((x - output * sigma) / both, (x + output * alpha) / both)
    if kind == "edm":
        x0 = x * (data * scale) ** 2 + output * (sigma * data * scale)
        return Predicted(x0, (x - x0) / sigma)
    raise ValueError(f"unknown prediction {kind!r}; there are {', '.join(KINDS)}")


def target(kind: str, x0: Tensor, eps: Tensor, level: Level, data: float = 1.0) -> Tensor:
    """What the net should answer, the inverse of `predicted`."""
    alpha, sigma, scale = level.alpha, level.sigma, level.scale
    if kind == "eps":
        return eps
    if kind == "x0":
        return x0
    if kind == "v":
        wanted: Tensor = eps * (alpha * scale) - x0 * (sigma * scale)
        return wanted
    if kind == "velocity":
        return eps - x0
    if kind == "edm":
        x = level.noised(x0, eps)
        wanted = (x0 - x * (data * scale) ** 2) / (sigma * data * scale)
        return wanted
    raise ValueError(f"unknown prediction {kind!r}; there are {', '.join(KINDS)}")


def gain(kind: str, level: Level, data: float = 1.0) -> Number:
    """The size of d x_0 / d answer at a fixed x: |x_0 - x_0'| = gain |answer - answer'|."""
    alpha, sigma, scale = level.alpha, level.sigma, level.scale
    if kind == "eps":
        return sigma / alpha
    if kind == "x0":
        return 1.0
    if kind == "v":
        return sigma * scale
    if kind == "velocity":
        return sigma / (alpha + sigma)
    if kind == "edm":
        return sigma * data * scale
    raise ValueError(f"unknown prediction {kind!r}; there are {', '.join(KINDS)}")


def agreeing(found: Predicted, x0: Tensor, x: Tensor, level: Level) -> Predicted:
    """The same prediction with another x_0, and the noise that x then consists of."""
    return found._replace(x0=x0, eps=(x - x0 * level.alpha) / level.sigma)
