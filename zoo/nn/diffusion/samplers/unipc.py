"""UniPC: a predictor of DPM-Solver's kind, and a corrector that uses the new prediction without another evaluation.

    x_s = x^(1) - alpha_s B(h) sum_k rho_k D_k / r_k        D_k = x_0 at an earlier step minus the last one

x^(1) being DPM-Solver++'s first-order step, B(h) = e^-h - 1 ("bh2") or -h ("bh1", `linear`), and rho solving the order
conditions (Zhao et al., 2023, arXiv:2302.04867, eqs. 5 to 8). The corrector of a step runs when the net has been asked
at its end: it redoes the step with that prediction among the D_k.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import expm1, inf

import torch
from torch import Tensor

from zoo.nn.diffusion.levels import Level, Path
from zoo.nn.diffusion.samplers.state import Denoise, Noise, Options, State


def unipc(
    denoise: Denoise, x: Tensor, path: Path, options: Options, noise: Noise
) -> Iterator[State]:
    """One evaluation a step."""
    seen: list[Tensor] = []
    levels: list[Level] = []
    before, order, count = x, 1, len(path)
    for index, step in enumerate(path):
        found = denoise(x, step.at)
        answer = found.x0 if options.data else found.eps
        if index and index - 1 not in options.without_corrector:
            x = stepped(before, seen, levels, step.since, order, options, answer)
        keep = options.order - 1
        seen = [*seen[len(seen) - keep :], answer] if keep else [answer]
        levels = [*levels[len(levels) - keep :], step.since] if keep else [step.since]
        order = min(options.order, count - index) if options.lower_last else options.order
        order = min(order, index + 1) if step.to.sigma else 1
        before = x
        x = stepped(x, seen, levels, step.to, order, options)
        yield State(x, found.x0)


def stepped(
    x: Tensor,
    seen: list[Tensor],
    levels: list[Level],
    to: Level,
    order: int,
    options: Options,
    new: Tensor | None = None,
) -> Tensor:
    """The step from the last level seen to `to`, with the prediction `new` there for the corrector."""
    since = levels[-1]
    h = to.log_snr - since.log_snr
    signed = -h if options.data else h
    growth = expm1(signed) if signed < inf else inf
    ratios = [(levels[-1 - k].log_snr - since.log_snr) / h for k in range(1, order)]
    others = [(seen[-1 - k] - seen[-1]) / r for k, r in zip(range(1, order), ratios, strict=True)]
    if new is not None:
        ratios, others = [*ratios, 1.0], [*others, new - seen[-1]]
    keep, size = (
        (to.sigma / since.sigma, to.alpha) if options.data else (to.alpha / since.alpha, to.sigma)
    )
    x = torch.add(x * float(keep), seen[-1], alpha=-size * growth)
    if not others:
        return x
    scale = signed if options.linear else growth
    for weight, other in zip(_weights(ratios, signed, scale, new is None), others, strict=True):
        x = torch.add(x, other, alpha=-size * scale * weight)
    return x


def _weights(ratios: list[float], signed: float, scale: float, predicting: bool) -> list[float]:
    """rho: the solution of R rho = b, R_ik = r_k^(i - 1); one half for the lowest order of each."""
    if len(ratios) == 1:
        return [0.5]
    matrix, wanted = [], []
    growth, factorial = expm1(signed) / signed - 1, 1.0
    for i in range(1, len(ratios) + 1):
        matrix.append([r ** (i - 1) for r in ratios])
        wanted.append(growth * factorial / scale)
        factorial *= i + 1
        growth = growth / signed - 1 / factorial
    return _solved(matrix, wanted)


def _solved(matrix: list[list[float]], wanted: list[float]) -> list[float]:
    """X of matrix x = wanted, by elimination in Python's numbers: a tensor of nine costs more to make than to solve."""
    rows = [[*row, value] for row, value in zip(matrix, wanted, strict=True)]
    for place in range(len(rows)):
        best = max(range(place, len(rows)), key=lambda k: abs(rows[k][place]))
        rows[place], rows[best] = rows[best], rows[place]
        lead = rows[place][place]
        rows[place] = [each / lead for each in rows[place]]
        for k, row in enumerate(rows):
            if k != place:
                rows[k] = [a - row[place] * b for a, b in zip(row, rows[place], strict=True)]
    return [row[-1] for row in rows]
