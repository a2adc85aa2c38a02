"""A diffusion process: its levels, what its net answers, and what it is told.

    discrete   t = 0 ... T - 1   alpha = sqrt(abar_t), sigma = sqrt(1 - abar_t)     any of `schedules.NAMES`
    edm        t = sigma         alpha = 1;  the net is told ln(sigma) / 4 and sees x / sqrt(sigma^2 + data^2)
    flow       t in (0, 1]       alpha = 1 - t, sigma = t;  the net is told `clock` t

(Ho et al., 2020; Karras et al., 2022, arXiv:2206.00364; Lipman et al., 2023, arXiv:2210.02747, time shifted as in
Esser et al., 2024, arXiv:2403.03206: t -> shift t / (1 + (shift - 1) t).) Between the times of a discrete process the
log ratio ln(sigma / alpha) is linear in t. Tables are float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import exp, floor, inf, log

import torch
from torch import Tensor

from zoo.nn.diffusion import predictions, schedules
from zoo.nn.diffusion.levels import Level
from zoo.nn.diffusion.posterior import VARIANCES
from zoo.nn.diffusion.predictions import KINDS, Predicted

CONTINUOUS = ("edm", "flow")


@dataclass(frozen=True)
class Process:
    """Plain data of a card.

    schedule    of `schedules.NAMES`, "edm" or "flow"; or `betas`, the table itself
    steps       T; of a continuous process the finest that sampling may take
    prediction  of `predictions.KINDS`; variance of `posterior.VARIANCES`
    clock       the net is told t clock / steps (discrete) or t clock (flow); by default t (discrete), 1000 t (flow)
    zero_snr    the last level is pure noise (`schedules.zero_terminal`); not with eps, which says nothing there
    shift       of flow matching; data, low, high of edm: the pictures' standard deviation, the least and most sigma

    Raises ValueError for what does not exist or go together.
    """

    schedule: str = "linear"
    steps: int = 1000
    prediction: str = "eps"
    variance: str = "beta"
    beta_start: float | None = None
    beta_end: float | None = None
    betas: Sequence[float] | None = None
    zero_snr: bool = False
    clock: float | None = None
    shift: float = 1.0
    data: float = 0.5
    low: float = 0.002
    high: float = 80.0

    def __post_init__(self) -> None:
        if self.prediction not in KINDS:
            raise ValueError(
                f"unknown prediction {self.prediction!r}; there are {', '.join(KINDS)}"
            )
        if self.variance not in VARIANCES:
            raise ValueError(
                f"unknown variance {self.variance!r}; there are {', '.join(VARIANCES)}"
            )
        if self.zero_snr and (self.prediction == "eps" or self.continuous):
            raise ValueError(
                "zero_snr ends a discrete schedule in pure noise, where eps says nothing of the picture: take "
                "prediction 'v' or 'x0'"
            )
        if self.prediction == "edm" and self.schedule != "edm":
            raise ValueError("the prediction 'edm' goes with the schedule 'edm'")
        if not self.continuous:
            self.kept  # noqa: B018  (a schedule that does not exist is told here)

    @property
    def continuous(self) -> bool:
        """Whether t is a real number."""
        return self.betas is None and self.schedule in CONTINUOUS

    @cached_property
    def kept(self) -> Tensor:
        """The signal's variance abar (T,) of a discrete process, float64."""
        if self.betas is None:
            found = schedules.betas(self.schedule, self.steps, self.beta_start, self.beta_end)
        else:
            found = torch.tensor(list(self.betas), dtype=torch.float64, device="cpu")
            if len(found) != self.steps:
                raise ValueError(f"{len(found)} betas for {self.steps} steps")
        if self.zero_snr:
            found = schedules.zero_terminal(found)
        return (1 - found).cumprod(0)

    @cached_property
    def _rows(self) -> list[float]:
        return [float(each) for each in self.kept]

    @cached_property
    def _logs(self) -> list[float]:
        """The log ratios ln(sigma / alpha), rising; infinite for pure noise."""
        return [0.5 * log((1 - row) / row) if row > 0 else inf for row in self._rows]

    @property
    def start(self) -> float:
        """The standard deviation of the noise that sampling starts from."""
        return self.high if self.schedule == "edm" and self.continuous else 1.0

    @property
    def first(self) -> float:
        """The time of least noise that the net knows."""
        if not self.continuous:
            return 0.0
        return self.low if self.schedule == "edm" else 1 / self.steps

    @property
    def last(self) -> float:
        """The time of most noise."""
        if not self.continuous:
            return float(self.steps - 1)
        return self.high if self.schedule == "edm" else 1.0

    def level(self, t: float) -> Level:
        """The level of time t. Raises ValueError outside of the process."""
        if not self.first - 1e-9 <= t <= self.last + 1e-9:
            raise ValueError(f"time {t} is outside of {self.first} .. {self.last}")
        if self.continuous:
            return self._continuous(t)
        told = t if self.clock is None else t * self.clock / self.steps
        place = min(floor(t), self.steps - 1)
        if place == t:
            return Level(told, self._rows[place] ** 0.5, (1 - self._rows[place]) ** 0.5)
        low, high = self._logs[place], self._logs[min(place + 1, self.steps - 1)]
        return preserving(told, low + (t - place) * (high - low))

    def _continuous(self, t: float) -> Level:
        if self.schedule == "edm":
            return Level(log(t) / 4, 1.0, t, (t**2 + self.data**2) ** -0.5)
        return Level(t * (1000 if self.clock is None else self.clock), 1 - t, t)

    def time(self, ratio: float) -> float:
        """The time at which sigma / alpha is `ratio`, the nearest there is."""
        if self.continuous:
            found = ratio if self.schedule == "edm" else ratio / (1 + ratio) if ratio < inf else 1.0
            return min(max(found, self.first), self.last)
        wanted, logs = log(max(ratio, 1e-30)), self._logs
        if wanted <= logs[0]:
            return 0.0
        if wanted >= logs[-1]:
            return self.last
        low, high = 0, len(logs) - 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if logs[middle] <= wanted else (low, middle)
        return low + (wanted - logs[low]) / (logs[high] - logs[low])

    def at(self, ratio: float) -> Level:
        """The level whose sigma / alpha is `ratio`; beyond the ends the net is told the time of the end."""
        told = self.level(self.time(ratio)).time
        if not self.continuous:
            return preserving(told, log(ratio))
        if self.schedule == "edm":
            return Level(told, 1.0, ratio, (ratio**2 + self.data**2) ** -0.5)
        return Level(told, 1 / (1 + ratio), ratio / (1 + ratio))

    def levels(self, t: Tensor, like: Tensor) -> Level:
        """The levels of times (B,), one a picture: numbers (B, 1, 1, 1) in the type of `like`."""

        def shaped(row: Tensor) -> Tensor:
            return row.view(-1, 1, 1, 1).to(like)

        t = t.double()
        if not self.continuous:
            kept = self.kept.to(t.device)[t.long()]
            told = t if self.clock is None else t * self.clock / self.steps
            return Level(told.to(like), shaped(kept.sqrt()), shaped((1 - kept).sqrt()))
        if self.schedule == "edm":
            scale = (t**2 + self.data**2) ** -0.5
            return Level(
                (t.log() / 4).to(like), shaped(torch.ones_like(t)), shaped(t), shaped(scale)
            )
        told = t * (1000 if self.clock is None else self.clock)
        return Level(told.to(like), shaped(1 - t), shaped(t))

    def fits(self, channels: int, outputs: int) -> None:
        """Raises ValueError for a net of so many outputs about x of `channels` that this process cannot read."""
        learned = self.variance.startswith("learned")
        if outputs not in (channels, 2 * channels) or (learned and outputs == channels):
            raise ValueError(
                f"{channels} channels and variance {self.variance!r} need a net that gives "
                f"{2 * channels if learned else channels}, not {outputs}"
            )
        if self.prediction == "eps" and not self.level(self.last).alpha:
            raise ValueError(
                f"the schedule {self.schedule!r} begins with pure noise, where eps says nothing of the picture: take "
                "prediction 'velocity', 'v' or 'x0'"
            )

    def read(self, output: Tensor, x: Tensor, level: Level) -> Predicted:
        """A net's answer (B, C or 2 C, H, W) about x (B, C, H, W) at `level`; the second half is of the variance."""
        spread = None
        if output.shape[1] == 2 * x.shape[1]:
            output, spread = output.chunk(2, 1)
        found = predictions.predicted(self.prediction, output, x, level, self.data)
        return found if spread is None else found._replace(spread=spread)


def preserving(told: float, log_ratio: float) -> Level:
    """The level of a log ratio with alpha^2 + sigma^2 = 1."""
    return Level(told, (1 + exp(2 * log_ratio)) ** -0.5, (1 + exp(-2 * log_ratio)) ** -0.5)
