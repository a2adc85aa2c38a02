"""PNDM: linear multistep over the predicted noise (Liu et al., 2022, arXiv:2202.09778).

    x_s = (alpha_s / alpha_t) (x_t - sigma_t e') + sigma_s e',   e' = (55 e_n - 59 e_n-1 + 37 e_n-2 - 9 e_n-3) / 24

Adams and Bashforth's weights for a uniform grid. It begins with a step of two evaluations and lower orders ("plms",
S-PNDM, which `path` asks for by visiting the second level twice), or with three steps of Runge and Kutta of four
evaluations each (F-PNDM). A path for it names for each evaluation where the state comes from and goes to; see
`zoo.nn.diffusion.spacing.pndm_path`.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from zoo.nn.diffusion.levels import Level, Path, moved
from zoo.nn.diffusion.predictions import Predicted
from zoo.nn.diffusion.samplers.state import Denoise, Noise, Options, State

ADAMS = {1: (1.0,), 2: (3 / 2, -1 / 2), 3: (23 / 12, -16 / 12, 5 / 12)}
ADAMS_LAST = (55 / 24, -59 / 24, 37 / 24, -9 / 24)
RUNGE = (1 / 6, 1 / 3, 1 / 3, 1 / 6)


def pndm(
    denoise: Denoise, x: Tensor, path: Path, options: Options, noise: Noise
) -> Iterator[State]:
    """One state for each evaluation; the path tells which beginning it was made for."""
    steps = list(path)
    seen: list[Tensor] = []
    runge = runge_groups(path)
    for group in range(runge):
        base, total = x, torch.zeros_like(x)
        for stage in range(4):
            step = steps[4 * group + stage]
            found = denoise(x, step.at)
            answer = _answer(found, step.at, options)
            total = answer * RUNGE[stage] + total
            if stage == 0:
                seen.append(answer)
            taken = total if stage == 3 else answer
            x = _moved(base, step.since, step.to, taken, options)
            yield State(x, found.x0)
    for index, step in enumerate(steps[4 * runge :]):
        found = denoise(x, step.at)
        answer = _answer(found, step.at, options)
        if not runge and index == 0:
            base = x
        if not runge and index == 1:
            x = _moved(base, step.since, step.to, (answer + seen[-1]) / 2, options)
            yield State(x, found.x0)
            continue
        seen = [*seen[-3:], answer]
        weights = ADAMS.get(len(seen), ADAMS_LAST)
        taken = sum(
            (w * each for w, each in zip(weights[1:], seen[-2::-1], strict=False)),
            weights[0] * seen[-1],
        )
        x = _moved(x, step.since, step.to, taken, options)
        yield State(x, found.x0)


def runge_groups(path: Path) -> int:
    """Steps of Runge and Kutta at the path's beginning: 3, or none; theirs ask elsewhere than they come from."""
    steps = path.steps
    begins = len(steps) >= 12 and steps[1].at != steps[1].since and steps[2].since == steps[0].at
    return 3 if begins and steps[3].since == steps[0].at else 0


def _answer(found: Predicted, at: Level, options: Options) -> Tensor:
    return found.eps * at.alpha - found.x0 * at.sigma if options.velocity else found.eps


def _moved(x: Tensor, since: Level, to: Level, answer: Tensor, options: Options) -> Tensor:
    eps = answer * since.alpha + x * since.sigma if options.velocity else answer
    return moved(x, since, to, eps)
