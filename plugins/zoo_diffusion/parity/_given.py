"""A process, its kept times and a given net: what the cases of OpenAI's GaussianDiffusion are run with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from zoo.nn.diffusion import Level, Path, Predicted, Process, Step, samplers
from zoo.nn.diffusion.guidance import pushed
from zoo.nn.diffusion.levels import CLEAN
from zoo.nn.diffusion.predictions import agreeing

Answers = Callable[[Tensor, float], Tensor]


def process_of(config: Mapping[str, Any], learned: bool | None = None) -> Process:
    """The process of OpenAI's flags."""
    learned = bool(config.get("learn_sigma")) if learned is None else learned
    fixed = "posterior" if config.get("sigma_small") else "beta"
    steps = int(config.get("steps", 1000))
    return Process(
        schedule=str(config.get("noise_schedule", "linear")),
        steps=steps,
        prediction="x0" if config.get("predict_xstart") else "eps",
        variance="learned-range" if learned else fixed,
        clock=1000.0 if config.get("rescale_timesteps") else None,
    )


@dataclass(frozen=True)
class Run:
    """A process, the times that are kept of it, and the net it is run with."""

    process: Process
    kept: list[int]
    net: Answers

    @cached_property
    def path(self) -> Path:
        """Falling, to the clean picture."""
        return Path.through(
            [*(self.process.level(t) for t in self.kept[::-1]), CLEAN], self.process.at
        )

    def step(self, place: int) -> Step:
        """From the time at `place` (0: the last) to the one before."""
        return self.path.steps[len(self.kept) - 1 - place]

    def denoise(self, clip: bool = True, push: bool = False) -> samplers.Denoise:
        """The net as samplers ask it; `push`: with a classifier's gradient."""

        def asked(x: Tensor, level: Level) -> Predicted:
            found = self.process.read(self.net(x, level.time), x, level)
            if clip:
                found = agreeing(found, found.x0.clamp(-1, 1), x, level)
            if push:
                found = found._replace(push=0.3 * torch.cos(2 * x) - 0.1 * x)
            return found

        return asked

    def each(
        self,
        x: Tensor,
        places: Tensor,
        do: Callable[..., Tensor],
        *others: Tensor,
    ) -> Tensor:
        """`do(x, step, others...)` picture by picture, each at its own place."""
        rows = [
            do(x[i : i + 1], self.step(int(place)), *(other[i : i + 1] for other in others))
            for i, place in enumerate(places)
        ]
        return torch.cat(rows)

    def sampled(self, sampler: samplers.Sampler, x: Tensor, noise: Tensor, options: samplers.Options,
                path: Path, push: bool = False, fold: bool = False) -> Tensor:  # fmt: skip
        """The last state of a sampler."""
        rows, denoise = iter(noise), self.denoise(push=push)

        def folded(x: Tensor, level: Level) -> Predicted:
            found = denoise(x, level)
            return found if found.push is None else pushed(found, x, level, found.push)

        asked = folded if fold else denoise
        for state in sampler(asked, x, path, options, lambda: next(rows)):
            x = state.x
        return x


def net(learned: bool) -> Answers:
    """What the cases ask in a net's place; `learned`: with a variance too."""

    def answers(x: Tensor, t: float) -> Tensor:
        size = 0.7 + 0.3 * torch.sin(torch.tensor(0.01 * t))
        eps = 0.8 * torch.tanh(0.9 * x) * size + 0.1 * torch.cos(3 * x)
        return torch.cat([eps, 0.9 * torch.sin(2 * x + 0.01 * t)], 1) if learned else eps

    return answers
