"""The net and all objectives' modules under one roof, so that DDP or FSDP wraps them once.

Every loss and every preview runs inside `Work.forward`: there autocast is on, DDP sees the pass and
FSDP has gathered the parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zlib import crc32

import torch
from torch import Tensor, nn

from zoo import rng
from zoo.errors import PluginError, nearest
from zoo.train.eight_bits import AdamW8bit
from zoo.train.objective import Batch, Objective
from zoo.train.recipe import Optimizer, Recipe
from zoo.train.table import RecipeError

if TYPE_CHECKING:
    from zoo.plugins import Family

PREVIEW = "preview"


class Work(nn.Module):
    """`work(name, step)` is one objective's loss and metrics on `work.batch`.

    The batch is an attribute and no argument because wrappers copy arguments, and objectives may
    leave results for each other in it.
    """

    batch: dict[str, Any]

    def __init__(self, net: nn.Module, objectives: Sequence[Objective], family: Family) -> None:
        super().__init__()
        self.net = net
        self.extra = nn.ModuleDict({o.name: o.module for o in objectives if o.module is not None})
        every = self.extra.named_parameters(remove_duplicate=False)
        self.frozen = {name for name, p in every if not p.requires_grad}  # now: turns freeze others
        self.objectives = {o.name: o for o in objectives}
        self.family = family

    def forward(self, name: str, step: int) -> Any:
        """(scalar loss, detached metrics), or for PREVIEW the images (N, C, H, W)."""
        if name == PREVIEW:
            return self._preview(self.batch).float()
        loss, metrics = self.objectives[name].loss(self.batch, step)
        return loss.float(), {
            key: torch.as_tensor(value).detach() for key, value in metrics.items()
        }

    def _preview(self, batch: Batch) -> Tensor:
        for objective in self.objectives.values():
            if objective.preview is not None:
                return objective.preview(batch)
        net, call, images = self.net, self.family.call, batch.get("images")
        count = len(batch["tokens"] if images is None else images)
        if images is not None and {"encode", "decode"} <= set(self.family.hooks):
            latents = call("encode", net=net, images=images, cond=None, generator=None)
            return torch.cat([images, call("decode", net=net, latents=latents, cond=None)])
        drawn: Tensor = call(
            "sample",
            net=net,
            count=count,
            cond=None,
            options={},
            generator=torch.Generator().manual_seed(0),
            progress=lambda each, total=None, label="": each,
        )
        return drawn

    def modules_state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps of the objectives' modules: all but frozen parameters."""
        state = self.extra.state_dict()
        return {name: each for name, each in state.items() if name not in self.frozen}

    def buffers_state(self) -> dict[str, Tensor]:
        """Buffers in no state dict (counts that a family keeps out of its weights files)."""
        kept = self.state_dict().keys()
        return {name: buffer for name, buffer in self.named_buffers() if name not in kept}


@dataclass
class Task:
    """An objective, its parameters by their names in Work, and the optimizer that moves them."""

    objective: Objective
    names: list[str]  # in the order of the optimizer's groups
    settings: Optimizer
    optimizer: Any = None  # AdamW, once the parameters are where they stay


def tasks(work: Work, recipe: Recipe) -> list[Task]:
    """One Task an objective, yet without its optimizer.

    Freezes the net's parameters that no objective moves. Raises PluginError if an objective names a
    parameter that is neither the net's nor a module's.
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
        ordered = [names[id(p)] for p in [*decayed, *kept]]
        found.append(Task(objective, ordered, settings))
    moved = {name for task in found for name in task.names}
    for name, parameter in work.net.named_parameters():
        parameter.requires_grad_(f"net.{name}" in moved)
    return found


def optimize(task: Task, parameters: Mapping[str, Tensor]) -> None:
    """Give a task its optimizer, over `parameters` by their names in Work.

    Tensors that are cut over different meshes stand in different groups: torch steps a group as one.
    Raises RecipeError for moments of 8 bits of parameters that are cut.
    """
    settings = task.settings
    groups: dict[tuple[bool, Any], list[str]] = {}
    for name in task.names:
        each = parameters[name]
        groups.setdefault((each.ndim >= 2, getattr(each, "device_mesh", None)), []).append(name)
    task.names = [name for group in groups.values() for name in group]
    given = [
        {
            "params": [parameters[name] for name in group],
            "weight_decay": settings.weight_decay if matrix else 0.0,
        }
        for (matrix, _), group in groups.items()
    ]
    if settings.bits == 8:
        if any(mesh is not None for _, mesh in groups):
            raise RecipeError("[optimizer] bits = 8 goes with [train] shard = 'none'.")
        task.optimizer = AdamW8bit(given, settings.lr, settings.betas, settings.eps)
        return
    task.optimizer = torch.optim.AdamW(
        given,
        lr=settings.lr,
        betas=settings.betas,
        eps=settings.eps,
        fused=settings.fused,
    )


def sow(seed: int, *place: str | int) -> None:
    """Seed torch's global generators for one place of a run, by the seed and the place."""
    numbers = (each if isinstance(each, int) else crc32(each.encode()) for each in place)
    chosen = rng.derive(seed, *numbers)
    torch.default_generator.manual_seed(chosen)  # torch.manual_seed takes half a millisecond
    if torch.accelerator.is_available():
        torch.get_device_module().manual_seed(chosen)


def divided(batch: Batch, parts: int) -> list[dict[str, Any]]:
    """A batch as so many of equal size: part i has every picture whose place is i modulo `parts`.

    Processes share a batch the same way (zoo.data.batches), so that w processes taking a parts each
    see the very parts that one process taking w * a sees.
    """
    return [{key: value[index::parts] for key, value in batch.items()} for index in range(parts)]
