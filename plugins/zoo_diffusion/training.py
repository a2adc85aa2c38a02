"""What training minimises: one of `zoo.nn.diffusion.losses`.

Labels are left out for a share of the pictures, so that one net knows both p(x | label) and p(x) (Ho & Salimans, 2022,
arXiv:2207.12598). A super-resolution model sees its own pictures made small, with noise of a random level up to
`augment` of the schedule, which it is told (Ho et al., 2022, arXiv:2106.15282).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from zoo import options
from zoo.errors import RequestError
from zoo.nn.diffusion import Process, losses
from zoo.train.objective import Batch, Objective
from zoo_diffusion.net import DiffusionModel
from zoo_diffusion.stages import smaller


@dataclass(frozen=True)
class Settings:
    """The recipe's [objective] table."""

    loss: str = ""  # of `losses.KINDS`; "": what fits the process, `losses.fitting`
    gamma: float = 5.0  # of min-snr and clipped-snr
    term: float = 0.001  # weight of T times the bound's term in hybrid
    label_dropout: float = (
        0.1  # share of pictures whose label is left out, for a net with a null label
    )
    augment: float = 0.5  # most noise on the small picture, as a share of the schedule

    @classmethod
    def of(cls, table: Mapping[str, Any], process: Process) -> Settings:
        """Raises RequestError for an unknown key, or a loss that does not fit the process."""
        made = options.settings(cls, table, "[objective] of a diffusion model")
        return replace(made, loss=losses.fitting(made.loss, process))


def objectives(net: DiffusionModel, table: Mapping[str, Any]) -> Sequence[Objective]:
    """One objective; `table` is the recipe's [objective]."""
    process, settings = net.process, Settings.of(table, net.process)

    def loss(batch: Batch, step: int) -> tuple[Tensor, Mapping[str, Tensor | float]]:
        images = batch["images"]
        noise, t = torch.randn_like(images), _times(process, images)
        level = process.levels(t, images)
        x = level.noised(images, noise)
        told = _told(net, batch, settings)
        output = net.network(x * level.scale if process.schedule == "edm" else x, level.time, told)
        given = losses.Noised(images, noise, x, t, level)
        return losses.loss(settings.loss, process, output, given, settings.gamma, settings.term)

    def preview(batch: Batch) -> Tensor:
        from zoo.nn.diffusion.sampling import unwatched
        from zoo_diffusion.sampling import sample

        count, few = len(batch["images"]), {"steps": min(25, process.steps)}
        generator = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
        return sample(net, count, _shown(net, batch), few, generator, unwatched).clamp(-1, 1)

    return [Objective("diffusion", list(net.network.parameters()), loss, preview=preview)]


def _shown(net: DiffusionModel, batch: Batch) -> Any:
    from zoo_diffusion.asking import Asked

    labels = batch["labels"] if net.classes else None
    return Asked(labels, low=smaller(net, batch["images"]) if net.low else None)


def _times(process: Process, images: Tensor) -> Tensor:
    count = len(images)
    uniform = losses.spread(count, torch.rand((), device=images.device))
    return losses.draw_times(process, uniform, torch.randn(count, device=images.device))


def _labels(classes: int, batch: Batch) -> Tensor:
    if "labels" not in batch:
        raise RequestError(
            f"The net has {classes} classes, but the pictures of [data] have no labels. Leave out `classes`, or take a "
            "set with labels (mnist, fashion-mnist, cifar10)."
        )
    labels: Tensor = batch["labels"]
    return labels


def _told(net: DiffusionModel, batch: Batch, settings: Settings) -> dict[str, Tensor]:
    told: dict[str, Tensor] = {}
    images = batch["images"]
    if net.classes:
        labels = _labels(net.classes, batch)
        if net.null and torch.is_grad_enabled():
            dropped = torch.rand(len(images), device=images.device) < settings.label_dropout
            labels = torch.where(dropped, net.classes, labels)
        told["label"] = labels
    if net.low:
        low = smaller(net, images)
        if getattr(net.network, "low_time", None) is not None:
            process = net.process
            most = settings.augment * process.last
            t = torch.rand(len(images), device=images.device) * most
            t = t.clamp(min=process.first) if process.continuous else t.long()
            level = process.levels(t, images)
            low = level.noised(low, torch.randn_like(low))
            told["low_level"] = level.time
        told["low"] = low
    return told
