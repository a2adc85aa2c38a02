"""What samplers share: their options, and what they give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from typing import NamedTuple, TypeAlias

from torch import Tensor

from zoo.nn.diffusion.levels import Level, Path
from zoo.nn.diffusion.predictions import Predicted

Denoise: TypeAlias = Callable[[Tensor, Level], Predicted]
Noise: TypeAlias = Callable[[], Tensor]


class State(NamedTuple):
    """After an evaluation of the net: the noisy picture x (B, C, H, W), and the clean one it foresees."""

    x: Tensor
    x0: Tensor


@dataclass(frozen=True)
class Options:
    """Of all samplers; each reads its own.

    eta         noise a step puts back: 0 none, 1 as much as ddpm (ddim, euler)
    variance    of a step back, of `posterior.VARIANCES` (ddpm); `noise_last`: whether the last step has noise too
    churn       noise added before a step, over the whole way (euler, heun), where the ratio is in [churn_from,
                churn_to]; times `churn_noise`
    order       of the multistep methods, 1 to 3; `heun`: their correction by Heun's rule in place of the midpoint's
    data        predict pictures (++), else noise; `sde`: with noise put back (dpm)
    lower_last  whether the last step is of first order and the one before of second
    corrector   steps after which the corrector is left out (unipc); `linear`: its B(h) = h in place of e^h - 1
    velocity    combine v, not eps, over the steps (pndm)
    """

    eta: float = 0.0
    variance: str = "beta"
    noise_last: bool = False
    churn: float = 0.0
    churn_from: float = 0.0
    churn_to: float = inf
    churn_noise: float = 1.0
    order: int = 2
    heun: bool = False
    data: bool = True
    sde: bool = False
    lower_last: bool = True
    last_first_order: bool = True
    without_corrector: tuple[int, ...] = ()
    linear: bool = False
    velocity: bool = False


Sampler: TypeAlias = Callable[[Denoise, Tensor, Path, Options, Noise], Iterator[State]]
