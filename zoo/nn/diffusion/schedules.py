"""Schedules: how fast a picture turns into noise.

Variance preserving, in T steps: abar_t = prod_{i <= t} (1 - beta_i), alpha = sqrt(abar), sigma = sqrt(1 - abar).

    linear         beta from 1e-4 to 0.02, times 1000 / T        Ho et al., 2020, arXiv:2006.11239
    scaled-linear  sqrt(beta) linear, 0.00085 to 0.012           Rombach et al., 2022, arXiv:2112.10752
    cosine         abar = cos^2((t + 0.008) / 1.008 pi / 2)      Nichol & Dhariwal, 2021, arXiv:2102.09672
    sigmoid        abar = a logistic curve of t, from 1 to 0     Jabri et al., 2022, arXiv:2212.11972 (from -3 to 3)
    sigmoid-betas  beta = a logistic curve of t                  Xu et al., 2022, arXiv:2203.02923
    exponential, laplace                                         abar as diffusers has them

Where abar is given in closed form, beta_t = min(1 - abar(t + 1) / abar(t), 0.999). Continuous: "edm" and "flow", see
`zoo.nn.diffusion.process`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import copysign, cos, exp, log, pi, sqrt

import torch
from torch import Tensor


def betas(
    name: str,
    steps: int,
    start: float | None = None,
    end: float | None = None,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """The table of betas (T,), on the CPU whatever device is current.

    Raises ValueError for an unknown schedule or impossible ends.
    """
    if steps < 1:
        raise ValueError(f"a schedule has 1 step or more, not {steps}")
    if name in CURVES:
        return _of_curve(CURVES[name], steps).to(dtype)
    if name not in ENDS:
        raise ValueError(f"unknown schedule {name!r}; there are {', '.join(NAMES)}")
    low, high = ENDS[name]
    if name == "linear":
        low, high = low * 1000 / steps, high * 1000 / steps
    low, high = low if start is None else start, high if end is None else end
    if not 0 < low <= high <= 1:
        raise ValueError(f"betas rise within (0, 1]; the schedule {name!r} has {low} to {high}")
    if name == "scaled-linear":
        return torch.linspace(low**0.5, high**0.5, steps, dtype=dtype, device="cpu") ** 2
    if name == "sigmoid-betas":
        return (
            torch.linspace(-6, 6, steps, dtype=dtype, device="cpu").sigmoid() * (high - low) + low
        )
    return torch.linspace(low, high, steps, dtype=dtype, device="cpu")


def zero_terminal(table: Tensor) -> Tensor:
    """Betas (T,) shifted and scaled in sqrt(abar), so that the last level is pure noise.

    Lin et al., 2023, arXiv:2305.08891, algorithm 1.
    """
    root = (1 - table).cumprod(0).sqrt()
    root = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
    kept = root**2
    return 1 - torch.cat([kept[:1], kept[1:] / kept[:-1]])


def _of_curve(curve: Callable[[float], float], steps: int) -> Tensor:
    ends = [curve(i / steps) for i in range(steps + 1)]
    found = [min(1 - b / a, 0.999) for a, b in pairwise(ends)]
    return torch.tensor(found, dtype=torch.float64, device="cpu")


def _sigmoid(t: float, low: float = -3.0, high: float = 3.0) -> float:
    def logistic(x: float) -> float:
        return 1 / (1 + exp(-x))

    return (logistic(high) - logistic(low + t * (high - low))) / (logistic(high) - logistic(low))


def _laplace(t: float) -> float:
    half = -0.5 * copysign(1, 0.5 - t) * log(1 - 2 * abs(0.5 - t) + 1e-6)
    snr = exp(half)
    return sqrt(snr / (1 + snr))


CURVES: dict[str, Callable[[float], float]] = {
    "cosine": lambda t: cos((t + 0.008) / 1.008 * pi / 2) ** 2,
    "sigmoid": _sigmoid,
    "exponential": lambda t: exp(-12 * t),
    "laplace": _laplace,
}
ENDS = {"linear": (1e-4, 0.02), "scaled-linear": (0.00085, 0.012), "sigmoid-betas": (1e-4, 0.02)}
NAMES = (*ENDS, *CURVES)
