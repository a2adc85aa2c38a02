"""What training a noisy classifier minimises.

    min E_{(x_0, y), t, e}  - log p(y | alpha_t x_0 + sigma_t e, t),   t (or ln t, where t is sigma) uniform

Dhariwal and Nichol, 2021, arXiv:2105.05233, appendix I: the noise is the process's own, the pictures cropped or
mirrored, weight decay against overfitting. The accuracy is told over all times and over the least noisy quarter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from zoo import options, rng
from zoo.errors import RequestError
from zoo.nn.diffusion import Process
from zoo.train.objective import Batch, Objective
from zoo_diffusion.noisy import NoisyClassifier

SHARES = (0.0, 0.25, 0.5, 0.75)  # of the process, at which accuracy is told


@dataclass(frozen=True)
class Weights:
    """The recipe's [objective] table.

    smoothing  of the labels, 0 ... 1 (Szegedy et al., 2015, arXiv:1512.00567)
    crop       pixels by which pictures are moved, each its own way, zeros coming in; 0 leaves them
    """

    smoothing: float = 0.0
    crop: int = 0

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Weights:
        """Raises RequestError for an unknown key or a value out of range."""
        made = options.settings(cls, table, "[objective] of a noisy classifier")
        if not 0 <= made.smoothing < 1 or made.crop < 0:
            raise RequestError(
                "[objective] smoothing is in [0, 1) and crop 0 or more; got "
                f"{made.smoothing} and {made.crop}."
            )
        return made


def objectives(net: NoisyClassifier, table: Mapping[str, Any]) -> Sequence[Objective]:
    """The one; `table` is the recipe's [objective]."""
    weights, process = Weights.of(table), _process(net)

    def loss(batch: Batch, step: int) -> tuple[Tensor, Mapping[str, Tensor | float]]:
        images, labels = batch["images"], _labels(net, batch)
        if weights.crop and net.training:
            images = moved(images, weights.crop)
        share = torch.rand(len(images), dtype=torch.float64, device=images.device)
        quiet = share < 0.25
        level = process.levels(times(process, share), images)
        noisy = level.noised(images, torch.randn_like(images)) * level.scale
        logits = net(noisy, level.time)
        right = (logits.argmax(1) == labels).to(logits)
        terms: dict[str, Tensor | float] = {"accuracy": right.mean()}
        if bool(quiet.any()):
            terms["accuracy_quiet"] = right[quiet].mean()
        return F.cross_entropy(logits, labels, label_smoothing=weights.smoothing), terms

    return [Objective("classifier", list(net.parameters()), loss)]


def guesses(net: NoisyClassifier, images: Tensor, generator: Generator) -> dict[str, Tensor]:
    """The most probable label (B,) of pictures (B, C, H, W) at the least noise and at SHARES of the process.

    Raises RequestError for a classifier whose process is not known.
    """
    process = _process(net)
    found, streams = {}, rng.streams(generator, len(images))
    for share in SHARES:
        t = times(process, torch.tensor([share], dtype=torch.float64))
        level = process.levels(t.to(images.device), images)
        fresh = rng.normal(streams, *images.shape[1:], device=images.device, dtype=images.dtype)
        logits = net(level.noised(images, fresh) * level.scale, level.time.expand(len(images)))
        found[f"sigma / alpha = {float(level.ratio):.2g}"] = logits.argmax(1)
    return found


def _process(net: NoisyClassifier) -> Process:
    if net.process is None:
        raise RequestError(
            "A noisy classifier works on a process's pictures; this one's config has none."
        )
    return net.process


def times(process: Process, share: Tensor) -> Tensor:
    """The times below which a `share` in [0, 1) of the process lies: of its steps, or of ln sigma for "edm"."""
    if not process.continuous:
        return (share * process.steps).long()
    if process.schedule == "edm":
        low, high = math.log(process.first), math.log(process.last)
        return (low + share * (high - low)).exp()
    return process.first + share * (process.last - process.first)


def moved(images: Tensor, most: int) -> Tensor:
    """Pictures (B, C, H, W), each moved by up to `most` pixels in both directions; what comes in is zero."""
    count, _, height, width = images.shape
    wide = F.pad(images, (most,) * 4)
    down, right = torch.randint(2 * most + 1, (2, count, 1), device=images.device)
    rows = down + torch.arange(height, device=images.device)  # (B, H)
    columns = right + torch.arange(width, device=images.device)  # (B, W)
    which = torch.arange(count, device=images.device)
    return wide[which[:, None, None], :, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)


def _labels(net: NoisyClassifier, batch: Batch) -> Tensor:
    if "labels" not in batch:
        raise RequestError(
            "A noisy classifier needs labels; these data have none (`zoo data list`)."
        )
    labels: Tensor = batch["labels"]
    if int(labels.max()) >= net.classes:
        raise RequestError(
            f"The classifier has {net.classes} classes (0 .. {net.classes - 1}) and the data a label "
            f"{int(labels.max())}."
        )
    return labels
