"""Noise levels, and the way from one to the next.

    x = alpha x_0 + sigma e,   e ~ N(0, I);        ratio s = sigma / alpha,   lambda = -ln s

A level is alpha and sigma, with what the net is told and how it sees x there. Everything below is written in alpha
and sigma, so it holds in any coordinates: variance preserving (alpha^2 + sigma^2 = 1), variance exploding (alpha = 1;
Karras et al., 2022, arXiv:2206.00364, table 1) and flow matching (alpha + sigma = 1; Lipman et al., 2023,
arXiv:2210.02747). In training a level's numbers are tensors (B, 1, 1, 1), one a picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf, log
from typing import Any, TypeAlias

from torch import Tensor

Number: TypeAlias = Any  # float, or a tensor (B, 1, 1, 1): one level a picture


@dataclass(frozen=True)
class Level:
    """One noise level.

    time   what the net is told, a float or (B,)
    alpha  of the picture, sigma of the noise; the clean picture is (1, 0)
    scale  the net sees scale * x
    """

    time: Number
    alpha: Number
    sigma: Number
    scale: Number = 1.0

    @property
    def ratio(self) -> Number:
        """Noise to signal, sigma / alpha; infinite for pure noise."""
        if isinstance(self.alpha, Tensor):
            return self.sigma / self.alpha
        return self.sigma / self.alpha if self.alpha else inf

    @property
    def log_snr(self) -> float:
        """Half the log signal-to-noise ratio, lambda = ln(alpha / sigma): minus infinity for noise."""
        if not self.sigma:
            return inf
        return log(self.alpha / self.sigma) if self.alpha else -inf

    def exploding(self) -> Level:
        """The same level for x / alpha. Raises ZeroDivisionError for pure noise."""
        return replace(
            self, alpha=1.0, sigma=self.sigma / self.alpha, scale=self.scale * self.alpha
        )

    def noised(self, images: Tensor, noise: Tensor) -> Tensor:
        """A draw of q(x | x_0 = images), both (B, C, H, W)."""
        drawn: Tensor = images * self.alpha + noise * self.sigma
        return drawn


CLEAN = Level(0.0, 1.0, 0.0)


@dataclass(frozen=True)
class Step:
    """The net is asked at the level `at`, and the state goes from `since` to `to`.

    `since` is `at` but in methods that ask between. `least` stands for the posterior's variance where that is none, in
    the last step: a learned variance is measured from it.
    """

    at: Level
    to: Level
    since: Level
    least: Number = 0.0


@dataclass(frozen=True)
class Path:
    """The steps of a sampler, and the level of any ratio sigma / alpha, for methods that ask in between."""

    steps: tuple[Step, ...]
    level: Callable[[float], Level]

    @classmethod
    def through(cls, levels: list[Level], level: Callable[[float], Level]) -> Path:
        """From each level to the next; the least variance of the last step is that of the step before."""
        from zoo.nn.diffusion.posterior import variance

        steps = [Step(at, to, at) for at, to in pairwise(levels)]
        if len(steps) > 1 and not steps[-1].to.sigma:
            steps[-1] = replace(steps[-1], least=variance(steps[-2].at, steps[-2].to))
        return cls(tuple(steps), level)

    def part(self, start: int, stop: int | None = None) -> Path:
        """The steps `start` to `stop`."""
        return replace(self, steps=self.steps[start:stop])

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)


def moved(x: Tensor, since: Level, to: Level, eps: Tensor) -> Tensor:
    """X at `since` moved to `to` along the noise `eps`: x_0 = (x - sigma e) / alpha, then alpha' x_0 + sigma' e."""
    r = to.alpha / since.alpha
    found: Tensor = x * r + eps * (to.sigma - r * since.sigma)
    return found


def raised(x: Tensor, since: Level, to: Level, noise: Tensor) -> Tensor:
    """X at `since` noised to the noisier level `to`: a draw of q(x_to | x_since)."""
    r = to.alpha / since.alpha
    found: Tensor = x * r + noise * max(to.sigma**2 - (r * since.sigma) ** 2, 0.0) ** 0.5
    return found
