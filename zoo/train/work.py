"""The net and all objectives' modules under one roof, so that DDP or FSDP wraps them once.

Every loss and every preview runs inside `Work.forward`: there autocast is on, DDP sees the pass and
FSDP has gathered the parameters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from zoo.errors import PluginError, nearest
from zoo.train.objective import Batch, Objective
from zoo.train.recipe import Optimizer, Recipe
from zoo.train.table import RecipeError

if TYPE_CHECKING:
    from zoo.plugins import Family

PREVIEW = "preview"


class Work(nn.Module):
    """`work(name, batch, step)` is the loss and the metrics of the objective of that name."""

    def __init__(self, net: nn.Module, objectives: Sequence[Objective], family: Family) -> None:
        super().__init__()
        self.net = net
        self.extra = nn.ModuleDict({o.name: o.module for o in objectives if o.module is not None})
        self.objectives = {o.name: o for o in objectives}
        self.family = family

    def forward(self, name: str, batch: Batch, step: int) -> Any:
        """(scalar loss, detached metrics), or for PREVIEW the images (N, C, H, W)."""
        if name == PREVIEW:
            return self._preview(batch)
        loss, metrics = self.objectives[name].loss(batch, step)
        return loss, {key: torch.as_tensor(value).detach() for key, value in metrics.items()}

    def shows(self) -> bool:
        """Whether there is any way to make a preview."""
        own = any(o.preview for o in self.objectives.values())
        hooks = self.family.hooks
        return own or "sample" in hooks or ("encode" in hooks and "decode" in hooks)

    def _preview(self, batch: Batch) -> Tensor:
        for objective in self.objectives.values():
            if objective.preview is not None:
                return objective.preview(batch)
        net, images, call = self.net, batch["images"], self.family.call
        request = {"label": batch["labels"]} if "labels" in batch else {}
        cond = None
        if request and "condition" in self.family.hooks:
            cond = call("condition", net=net, request=request, batch=len(images))
        if "encode" in self.family.hooks and "decode" in self.family.hooks:
            latents = call("encode", net=net, images=images, cond=cond, generator=None)
            return torch.cat([images, call("decode", net=net, latents=latents, cond=cond)])
        return call(
            "sample",
            net=net,
            count=len(images),
            cond=cond,
            options={},
            generator=torch.Generator().manual_seed(0),
            progress=lambda iterable, total=None, label="": iterable,
        )

    def modules_state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps of the objectives' modules: all but frozen parameters."""
        every = self.extra.named_parameters(remove_duplicate=False)
        frozen = {name for name, p in every if not p.requires_grad}
        return {name: t for name, t in self.extra.state_dict().items() if name not in frozen}


@dataclass
class Task:
    """An objective, its parameters by their names in Work, and the optimizer that moves them."""

    objective: Objective
    names: list[str]  # in the order of the optimizer's groups
    settings: Optimizer
    optimizer: Any  # torch.optim.AdamW, wrapped by accelerate once prepared


def tasks(work: Work, recipe: Recipe) -> list[Task]:
    """One Task an objective. Freezes the net's parameters that no objective moves.

    Raises PluginError if an objective names a parameter that is neither the net's nor a module's.
    """
    names = {id(p): name for name, p in work.named_parameters()}
    for name in recipe.optimizer.objectives:
        if name not in work.objectives:
            raise RecipeError(
                f"[optimizer.{name}]: there is no such objective.{nearest(name, work.objectives)} "
                f"The family {work.family.name!r} has: {', '.join(work.objectives)}."
            )
    found = []
    for name, objective in work.objectives.items():
        lost = [p for p in objective.parameters if id(p) not in names]
        if lost or not objective.parameters:
            raise PluginError(
                f"The objective {name!r} of {work.family.name!r} names {len(lost)} of "
                f"{len(objective.parameters)} parameters that are neither in the net nor in its "
                "`module`. Give Objective(module=...) the module that holds them."
            )
        settings = recipe.optimizer.objectives.get(name, recipe.optimizer)
        decayed = [p for p in objective.parameters if p.ndim >= 2]
        kept = [p for p in objective.parameters if p.ndim < 2]
        optimizer = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": settings.weight_decay},
                {"params": kept, "weight_decay": 0.0},
            ],
            lr=settings.lr,
            betas=settings.betas,
            eps=settings.eps,
            fused=settings.fused,
        )
        ordered = [names[id(p)] for p in [*decayed, *kept]]
        found.append(Task(objective, ordered, settings, optimizer))
    moved = {name for task in found for name in task.names}
    for name, parameter in work.net.named_parameters():
        parameter.requires_grad_(f"net.{name}" in moved)
    return found


def sow(seed: int, *where: str | int) -> None:
    """Seed torch's global generators for one place of a run: a function of the seed and the place."""
    text = "/".join(map(str, (seed, *where)))
    torch.manual_seed(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "big"))


def part(batch: Batch, index: int, parts: int) -> dict[str, Any]:
    """The index-th of `parts` equal runs of rows of a batch."""
    rows = len(batch["images"]) // parts
    return {key: value[index * rows : (index + 1) * rows] for key, value in batch.items()}
