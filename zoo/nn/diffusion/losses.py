"""What training minimises, a number a picture.

    simple   mean |answer - wanted|^2                                         Ho et al., 2020, eq. 14
    vlb      the bound's term of t, times T: unbiased for the bound           Ho et al., 2020, eq. 5
    hybrid   simple + 0.001 T (the term, the mean held fixed)                 Nichol & Dhariwal, 2021, eq. 16
    min-snr  min(snr, gamma) |x_0' - x_0|^2, snr = alpha^2 / sigma^2          Hang et al., 2023, arXiv:2303.09556
    edm      (s^2 + d^2) / (s d)^2 |x_0' - x_0|^2                             Karras et al., 2022, table 1
    flow     |velocity' - velocity|^2                                         Lipman et al., 2023, eq. 14

Terms of the bound are in bits a dimension, as the published losses are. A weight of |x_0' - x_0|^2 is one of the
answer's square by the factor `predictions.gain`^2. Times are drawn evenly, but ln s normally for "edm" (-1.2, 1.2), and
logit t normally for "flow" (Esser et al., 2024, arXiv:2403.03206).
"""

from __future__ import annotations

from math import log

import torch
from torch import Tensor

from zoo.nn.diffusion import posterior, predictions
from zoo.nn.diffusion.bounds import step_nats
from zoo.nn.diffusion.levels import Level, Number, Step
from zoo.nn.diffusion.process import Process

KINDS = ("simple", "vlb", "hybrid", "min-snr", "edm", "flow")


def draw_times(process: Process, uniform: Tensor, normal: Tensor) -> Tensor:
    """Times (B,) of training, from uniform and standard normal numbers (B,); whole ones of a discrete process."""
    if not process.continuous:
        return (uniform * process.steps).long().clamp(max=process.steps - 1)
    if process.schedule == "edm":
        return (normal * 1.2 - 1.2).exp().clamp(process.low, process.high)
    t = normal.sigmoid()
    t = process.shift * t / (1 + (process.shift - 1) * t)
    return t.clamp(process.first, process.last)


def weighted(kind: str, process: Process, level: Level, gamma: float = 5.0) -> Number:
    """The weight (B, 1, 1, 1), or 1, of the answer's square for "simple", "min-snr", "edm" and "flow"."""
    gain = predictions.gain(process.prediction, level, process.data)
    square = gain**2
    if kind == "min-snr":
        return square * (level.alpha / level.sigma).square().clamp(max=gamma)
    ratio = level.sigma / level.alpha
    if kind == "edm":
        return square * (ratio**2 + process.data**2) / (ratio * process.data) ** 2
    if kind == "flow":
        return square * ((level.alpha + level.sigma) / level.sigma) ** 2
    return 1.0


def squares(
    kind: str,
    process: Process,
    output: Tensor,
    images: Tensor,
    noise: Tensor,
    level: Level,
    gamma: float = 5.0,
) -> Tensor:
    """The weighted mean square (B,) of a net's answer about `level.noised(images, noise)`."""
    wanted = predictions.target(process.prediction, images, noise, level, process.data)
    error = (output[:, : images.shape[1]] - wanted).square()
    out: Tensor = (error * weighted(kind, process, level, gamma)).flatten(1).mean(1)
    return out


def term(
    process: Process, output: Tensor, x: Tensor, images: Tensor, t: Tensor, held: bool
) -> Tensor:
    """The bound's terms (B,) of a net's answer about x at times t (B,), in bits a dimension.

    `held`: no gradient passes through the mean, only through a learned variance.
    """
    if held:
        channels = x.shape[1]
        output = torch.cat([output[:, :channels].detach(), output[:, channels:]], 1)
    found = process.read(output, x, process.levels(t, x))
    nats = step_nats(found, images, x, steps_back(process, t), process.variance)
    return nats / (log(2) * images[0].numel())


def steps_back(process: Process, t: Tensor) -> Step:
    """From times t (B,) of a discrete process to t - 1, or to the clean picture: levels (B, 1, 1, 1) in float64."""
    like = torch.empty((), dtype=torch.float64, device=t.device)
    at, before = process.levels(t, like), process.levels((t - 1).clamp(min=0), like)
    ending = (t == 0).view(-1, 1, 1, 1)
    to = Level(
        before.time, torch.where(ending, 1.0, before.alpha), torch.where(ending, 0.0, before.sigma)
    )
    last = Step(process.level(min(1.0, process.last)), process.level(0.0), process.level(0.0))
    least = torch.where(ending, posterior.variance(last.at, last.to), 0.0)
    return Step(at, to, at, least)
