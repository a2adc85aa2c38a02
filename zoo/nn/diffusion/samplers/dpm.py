"""DPM-Solver++ and DPM-Solver: exponential integrators of the probability flow in lambda = ln(alpha / sigma).

With h = lambda_s - lambda_t, predicting pictures (++) or noise,

    x_s = sigma_s / sigma_t x - alpha_s (e^-h - 1) D      D: x_0 extrapolated to the step     ++
    x_s = alpha_s / alpha_t x - sigma_s (e^h - 1) D       D: e extrapolated to the step

(Lu et al., 2022, arXiv:2206.00927 and arXiv:2211.01095, algorithm 2). Over steps of sizes h, h_1, h_2 the extrapolation
is by divided differences of the last predictions, whose weights are the phi functions of the exponential integrator.
`sde` solves the reverse SDE instead, with noise put back. `dpm_single` asks once in the middle of each step (2S).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import exp, expm1, inf

import torch
from torch import Tensor

from zoo.nn.diffusion.levels import Level, Path
from zoo.nn.diffusion.predictions import Predicted
from zoo.nn.diffusion.samplers.state import Denoise, Noise, Options, State


def dpm(denoise: Denoise, x: Tensor, path: Path, options: Options, noise: Noise) -> Iterator[State]:
    """Multistep (2M, 3M): one evaluation a step."""
    seen: list[Tensor] = []
    places: list[float] = []
    count = len(path)
    for index, step in enumerate(path):
        found = denoise(x, step.at)
        seen, places = (
            [*seen[-2:], _wanted(found, options)],
            [*places[-2:], step.since.log_snr],
        )
        order = min(options.order, len(seen))
        if index == count - 1 and (options.last_first_order or not step.to.sigma):
            order = 1
        elif index == count - 2 and options.lower_last:
            order = min(order, 2)
        terms = differences(seen, places, step.to.log_snr, order)
        x = advanced(x, step.since, step.to, terms, options, noise)
        yield State(x, found.x0)


def dpm_single(
    denoise: Denoise, x: Tensor, path: Path, options: Options, noise: Noise
) -> Iterator[State]:
    """Singlestep (2S): two evaluations a step, the second half way in lambda; the last step has one."""
    for step in path:
        found, at, to = denoise(x, step.at), step.at, step.to
        if not to.sigma or not at.alpha:
            x = advanced(x, at, to, [_wanted(found, options)], options, noise)
            yield State(x, found.x0)
            continue
        middle = path.level(exp(-(at.log_snr + to.log_snr) / 2))
        plain = Options(data=options.data)
        guess = advanced(x, at, middle, [_wanted(found, options)], plain, noise)
        yield State(guess, found.x0)
        between = denoise(guess, middle)
        x = advanced(x, at, to, [_wanted(between, options)], options, noise)
        yield State(x, between.x0)


def _wanted(found: Predicted, options: Options) -> Tensor:
    return found.x0 if options.data else found.eps


def differences(seen: list[Tensor], places: list[float], to: float, order: int) -> list[Tensor]:
    """D_0, D_1, D_2 at lambda: the last prediction and its divided differences, times powers of h."""
    if order == 1 or to == inf:
        return [seen[-1]]
    h = to - places[-1]
    r0 = (places[-1] - places[-2]) / h
    d10 = (seen[-1] - seen[-2]) / r0
    if order == 2:
        return [seen[-1], d10]
    r1 = (places[-2] - places[-3]) / h
    second = d10 - (seen[-2] - seen[-3]) / r1
    return [seen[-1], d10 + second * (r0 / (r0 + r1)), second / (r0 + r1)]


def advanced(
    x: Tensor, since: Level, to: Level, terms: list[Tensor], options: Options, noise: Noise
) -> Tensor:
    """The step of as many terms as there are."""
    h = to.log_snr - since.log_snr
    weights = _weights(h, len(terms), options)
    if options.data:
        keep = float(to.sigma / since.sigma) * (exp(-h) if options.sde else 1.0)
        size = to.alpha
    else:
        keep, size = float(to.alpha / since.alpha), -to.sigma * (2.0 if options.sde else 1.0)
    x = x * keep
    for weight, term in zip(weights, terms, strict=True):
        x = torch.add(x, term, alpha=size * weight)
    if options.sde:
        spread = -expm1(-2 * h) if options.data else expm1(2 * h)
        x = torch.add(x, noise(), alpha=to.sigma * spread**0.5)
    return x


def _weights(h: float, order: int, options: Options) -> list[float]:
    """Of D_0, D_1, D_2 in a step of size h, divided by alpha_s (data) or by -sigma_s."""
    if options.data:
        g = 2 * h if options.sde else h
        first = -expm1(-g)
        rule = 1 - first / g if g < inf else 1.0
        third = (expm1(-g) + g) / g**2 - 0.5 if g < inf else -0.5
        return _chosen(first, rule, -third if not options.sde else _third_sde(g), order, options)
    first = expm1(h)
    return _chosen(first, first / h - 1, (first - h) / h**2 - 0.5, order, options)


def _third_sde(g: float) -> float:
    return (-expm1(-g) - g) / g**2 - 0.5 if g < inf else -0.5


def _chosen(first: float, rule: float, third: float, order: int, options: Options) -> list[float]:
    if order == 1:
        return [first]
    if order == 2:
        return [first, rule if options.heun else first / 2]
    return [first, rule, third]
