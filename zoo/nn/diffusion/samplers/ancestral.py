"""DDPM: a draw of p(x_s | x_t) at every step (Ho et al., 2020, arXiv:2006.11239, algorithm 2).

    x_s = mean(x_t, x_0 as predicted) + sqrt(variance) e

The variance is beta, the posterior's or a learned one. A classifier's gradient g moves the mean by variance g
(Dhariwal & Nichol, 2021, arXiv:2105.05233, algorithm 1). The last step has no noise, unless `noise_last`.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import exp

from torch import Tensor

from zoo.nn.diffusion import posterior
from zoo.nn.diffusion.levels import Path
from zoo.nn.diffusion.samplers.state import Denoise, Noise, Options, State


def ddpm(
    denoise: Denoise, x: Tensor, path: Path, options: Options, noise: Noise
) -> Iterator[State]:
    """See the module."""
    last = len(path) - 1
    for index, step in enumerate(path):
        found = denoise(x, step.at)
        mean = posterior.mean(found.x0, x, step)
        if found.push is None and index == last and not options.noise_last:
            x = mean
            yield State(x, found.x0)
            return
        log_var = posterior.log_variance(found, step, options.variance)
        var = log_var.exp() if isinstance(log_var, Tensor) else exp(log_var)
        if found.push is not None:
            mean = mean + found.push * var
        x = mean
        if index < last or options.noise_last:
            x = mean + noise() * var**0.5
        yield State(x, found.x0)
