"""The learning rate as a pure function of the step, so that resuming needs no scheduler state.

With s the step (from 0), w the warm-up steps, n all steps, t = (s - w) / (n - w) clipped to [0, 1]
and f the fraction that is left at the end:

    warm-up    min(1, (s - s0 + 1) / w), s0 the objective's first step    (1)
    cosine     f + (1 - f) (1 + cos(pi t)) / 2                           (2)
    linear     f + (1 - f) (1 - t)
    constant   1, then linear to f over the last `decay` steps           (3)

(1) Goyal et al. 2017, arXiv:1706.02677; (2) Loshchilov & Hutter 2017, arXiv:1608.03983; (3) Haegele
et al. 2024, arXiv:2405.18392. A constant schedule can be prolonged by resuming with more steps; the
others fix their end at the start.
"""

from __future__ import annotations

from math import cos, pi

from zoo.train.recipe import Schedule


def scale(schedule: Schedule, step: int, steps: int, start: int = 0) -> float:
    """What the learning rate of `step` (0 to steps - 1) is multiplied by, in [0, 1]."""
    warm = min(1.0, (step - start + 1) / schedule.warmup) if schedule.warmup else 1.0
    begin = steps - schedule.decay if schedule.kind == "constant" else schedule.warmup
    t = min(1.0, max(0.0, (step - begin) / max(1, steps - begin)))
    shape = (1 + cos(pi * t)) / 2 if schedule.kind == "cosine" else 1 - t
    return warm * (schedule.final + (1 - schedule.final) * shape)
