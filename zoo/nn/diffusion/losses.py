"""What training minimises, a number a picture.

    simple   mean |answer - wanted|^2                                         Ho et al., 2020, eq. 14
    vlb      the bound's term of t, times T: unbiased for the bound           Ho et al., 2020, eq. 5
    hybrid   simple + 0.001 T (the term, the mean held fixed)                 Nichol & Dhariwal, 2021, eq. 16
    min-snr  min(snr, gamma) |x_0' - x_0|^2, snr = alpha^2 / sigma^2          Hang et al., 2023, arXiv:2303.09556
    clipped-snr  max(1, min(snr, gamma)) |x_0' - x_0|^2: where noise is nearly all, x_0 still counts
                                                                      Salimans & Ho, 2022, arXiv:2202.00512, section 4
    edm      (s^2 + d^2) / (s d)^2 |x_0' - x_0|^2                             Karras et al., 2022, table 1
    flow     |velocity' - velocity|^2                                         Lipman et al., 2023, eq. 14

Terms of the bound are in bits a dimension, as the published losses are; of latents the last one is a density's. A
weight of |x_0' - x_0|^2 is one of the answer's square by the factor `predictions.gain`^2. Times are drawn evenly, but
ln s normally for "edm" (-1.2, 1.2), and logit t normally for "flow" (Esser et al., 2024, arXiv:2403.03206).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor

from zoo.errors import RequestError
from zoo.nn.diffusion import posterior, predictions
from zoo.nn.diffusion.bounds import Coded, step_nats
from zoo.nn.diffusion.levels import Level, Number, Step
from zoo.nn.diffusion.process import Process

KINDS = ("simple", "vlb", "hybrid", "min-snr", "clipped-snr", "edm", "flow")


def fitting(loss: str, process: Process) -> str:
    """The loss of a recipe's [objective]; "": hybrid for a learned variance, flow or edm for theirs, else simple.

    Raises RequestError for one that does not exist or fit the process.
    """
    learned = process.variance.startswith("learned")
    usual = process.schedule if process.continuous else "hybrid" if learned else "simple"
    loss = loss or usual
    if loss not in KINDS:
        raise RequestError(f"[objective] loss = {loss!r} is none of {', '.join(KINDS)}.")
    if loss in ("vlb", "hybrid") and process.continuous:
        raise RequestError(
            f"[objective] loss = {loss!r} is a bound of discrete steps; the schedule {process.schedule!r} is "
            f"continuous: take {usual!r}."
        )
    if learned and loss not in ("vlb", "hybrid"):
        raise RequestError(
            f"[objective] loss = {loss!r} does not train the variance, which this model learns: take hybrid or vlb, or "
            "variance = 'beta'."
        )
    if loss == "hybrid" and not learned:
        raise RequestError("[objective] loss = 'hybrid' needs a learned variance; take simple.")
    return loss


@dataclass(frozen=True)
class Noised:
    """What a net was asked about: x = `level.noised(images, noise)`, all (B, C, H, W), at times t (B,)."""

    images: Tensor
    noise: Tensor
    x: Tensor
    t: Tensor
    level: Level


def loss(
    kind: str,
    process: Process,
    output: Tensor,
    given: Noised,
    gamma: float = 5.0,
    weight: float = 0.001,
    coded: Coded = posterior.discretised,
) -> tuple[Tensor, dict[str, Tensor | float]]:
    """What is minimised (), of a net's answer about `given`, and what it is made of, by name.

    `weight` is of the bound's term in "hybrid"; `coded` as for `bounds.step_nats`.
    """
    if kind in ("vlb", "hybrid"):
        each = term(process, output, given.x, given.images, given.t, kind == "hybrid", coded)
        bits = each.mean() * process.steps
        if kind == "vlb":
            return bits, {"bits": bits.detach()}
    plain = "simple" if kind == "hybrid" else kind
    rows = squares(plain, process, output, given.images, given.noise, given.level, gamma)
    square = rows.mean()
    if kind != "hybrid":
        return square, {"square": square.detach()}
    return square + weight * bits, {"square": square.detach(), "bits": bits.detach()}


def spread(count: int, uniform: Tensor) -> Tensor:
    """Uniform numbers (count,) in [0, 1), one in each of `count` equal parts, from one uniform number ().

    Each is uniform by itself; together they cover all times, which lowers the loss's variance (Kingma et al., 2021,
    arXiv:2107.00630, appendix I.1).
    """
    places = torch.arange(count, dtype=torch.float64, device=uniform.device)
    return (places / count + uniform.double()) % 1


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
    """The weight (B, 1, 1, 1), or 1, of the answer's square for KINDS but "vlb" and "hybrid"."""
    gain = predictions.gain(process.prediction, level, process.data)
    square = gain**2
    if kind in ("min-snr", "clipped-snr"):
        least = 1.0 if kind == "clipped-snr" else 0.0
        return square * (level.alpha / level.sigma).square().clamp(least, gamma)
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
    process: Process,
    output: Tensor,
    x: Tensor,
    images: Tensor,
    t: Tensor,
    held: bool,
    coded: Coded = posterior.discretised,
) -> Tensor:
    """The bound's terms (B,) of a net's answer about x at times t (B,), in bits a dimension.

    `held`: no gradient passes through the mean, only through a learned variance.
    """
    if held:
        channels = x.shape[1]
        output = torch.cat([output[:, :channels].detach(), output[:, channels:]], 1)
    found = process.read(output, x, process.levels(t, x))
    nats = step_nats(found, images, x, steps_back(process, t), process.variance, coded)
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
