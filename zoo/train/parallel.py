"""How a run is laid over processes: who sees which pictures, who holds which pieces of the net.

World W = D x T processes: D groups of T. Every group takes its share of a batch; the T processes of a group see the
same pictures and each compute a T-th of the layers that the net names.

    shard = "none"   each group holds everything; gradients are averaged (DDP, Li et al. 2020, arXiv:2006.15704)
    shard = "full"   parameters, gradients and optimizer state are cut over the D groups; a block's parameters are
                     gathered for its forward pass, dropped, gathered for its backward pass (ZeRO stage 3, Rajbhandari
                     et al. 2019, arXiv:1910.02054; FSDP, Zhao et al. 2023, arXiv:2304.11277: torch's `fully_shard`)
    shard = "grads"  the same, but gathered parameters are kept from the forward to the backward pass (stage 2 in
                     memory held while computing, stage 3 in what is stored)
    tensor = T       pairs of Linear layers are cut, the first by its outputs, the second by its inputs
                     (Shoeybi et al. 2019, arXiv:1909.08053: torch's `parallelize_module`)

A net takes part by up to two methods, both optional:

    blocks() -> Sequence[nn.Module]   the modules that are cut and recomputed one by one, each always called as a module
                                      (`block(x)`, not a method of it) in the loss. Without it the net is one piece:
                                      sharding still divides what is stored, not what is held while computing.
    tensor_plan() -> Mapping[str, str]
                                      names of nn.Linear layers -> "column" (cut by outputs, which stay cut: what
                                      follows is elementwise, or counts its heads from the shape it is given), "row"
                                      (takes what a column layer gave) or "gather" (cut by outputs, which are put
                                      together again: right for any layer, at the price of a gather).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from zoo.errors import PluginError, listed, nearest
from zoo.train.recipe import Recipe
from zoo.train.table import RecipeError

STYLES = ("column", "row", "gather")


@dataclass(frozen=True)
class Layout:
    """Where this process stands.

    Attributes:
        accelerator: accelerate's, for the device and for reductions over all processes.
        rank, world: of the D groups that share a batch, this one's number and how many there are.
        shard: "none", "full" or "grads"; "none" for a process alone.
        mesh: torch's DeviceMesh ("data", "tensor") of (D, T); None unless sharded.
    """

    accelerator: Any
    rank: int
    world: int
    shard: str = "none"
    mesh: Any = None

    @property
    def sharded(self) -> bool:
        """Whether parameters are DTensors."""
        return self.mesh is not None


def layout(recipe: Recipe, accelerator: Any) -> Layout:
    """Lay a run over the processes there are.

    `accelerate launch --use_fsdp` asks for shard = "full" too. Raises RecipeError where the numbers
    do not divide.
    """
    processes, tensor, shard = accelerator.num_processes, recipe.train.tensor, recipe.train.shard
    if shard == "none" and os.environ.get("ACCELERATE_USE_FSDP") == "true":
        if os.environ.get("FSDP_VERSION", "2") != "2":
            raise RecipeError(
                "FSDP is supported in version 2: `accelerate launch --fsdp_version 2`, or "
                '[train] shard = "full".'
            )
        shard = "full"
    if processes == 1:
        tensor, shard = 1, "none"  # nothing to divide; such a run goes on with more of them
    if processes % tensor:
        raise RecipeError(
            f"[train] tensor = {tensor} does not divide {processes} processes; start a multiple."
        )
    world = processes // tensor
    share = recipe.train.accumulate * world
    if recipe.data.batch % share:
        raise RecipeError(
            f"[data] batch = {recipe.data.batch} does not divide among {world} processes times "
            f"{recipe.train.accumulate} accumulated parts; take a multiple of {share}."
        )
    if shard == "none":
        return Layout(accelerator, accelerator.process_index, world)
    from torch.distributed.device_mesh import init_device_mesh

    names = ("data", "tensor")
    mesh = init_device_mesh(accelerator.device.type, (world, tensor), mesh_dim_names=names)
    return Layout(accelerator, mesh.get_local_rank("data"), world, shard, mesh)


def blocks_of(net: nn.Module) -> list[nn.Module]:
    """What the net's `blocks()` says; empty without it. Raises PluginError for what is not in it."""
    ask: Any = getattr(net, "blocks", None)
    if not callable(ask) or isinstance(ask, nn.Module):
        return []
    found, inside = list(ask()), set(net.modules())
    strange = [type(each).__name__ for each in found if each not in inside]
    if strange:
        raise PluginError(
            f"{type(net).__name__}.blocks() names {len(strange)} modules that are not in the net: "
            f"{listed(strange)}."
        )
    return found


def recompute(net: nn.Module) -> None:
    """Gradient checkpointing: a block keeps its input alone and is computed again for gradients.

    Chen et al. 2016, arXiv:1604.06174. Random numbers are drawn again alike, so gradients stay what
    they were. Raises RecipeError for a net without blocks.
    """
    blocks = blocks_of(net)
    if not blocks:
        raise RecipeError(
            "[train] gradient_checkpointing = true recomputes a net's blocks, and "
            f"{type(net).__name__} names none (it has no method `blocks`). Leave it out."
        )
    for block in blocks:
        block.forward = functools.partial(_recomputed, block.forward)


def _recomputed(forward: Any, *arguments: Any, **named: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*arguments, **named)
    return checkpoint(forward, *arguments, use_reentrant=False, **named)


def cut(work: nn.Module, net: nn.Module, where: Layout) -> None:
    """Divide the parameters of `work`, of which `net` is a part, as the layout says; in place."""
    from torch.distributed.fsdp import fully_shard

    if where.mesh["tensor"].size() > 1:
        _cut_layers(net, where.mesh["tensor"])
    options = {"mesh": where.mesh["data"]}
    for block in blocks_of(net):
        fully_shard(block, **options, reshard_after_forward=where.shard == "full")
    fully_shard(work, **options, reshard_after_forward=False)


def _cut_layers(net: nn.Module, mesh: Any) -> None:
    """Tensor parallel, by the net's `tensor_plan()`. Raises RecipeError or PluginError."""
    from torch.distributed.tensor import Replicate
    from torch.distributed.tensor.parallel import (
        ColwiseParallel,
        RowwiseParallel,
        parallelize_module,
    )

    ask: Any = getattr(net, "tensor_plan", None)
    plan: Mapping[str, str] = ask() if callable(ask) else {}
    if not plan:
        raise RecipeError(
            f"[train] tensor = {mesh.size()} cuts the layers that a net names, and "
            f'{type(net).__name__} names none (it has no method `tensor_plan`). shard = "full" '
            "alone divides any net."
        )
    linear = {name: each for name, each in net.named_modules() if isinstance(each, nn.Linear)}
    for name, style in plan.items():
        if name not in linear or style not in STYLES:
            raise PluginError(
                f"{type(net).__name__}.tensor_plan() says {name!r}: {style!r}; names are of "
                f"nn.Linear layers and styles {', '.join(STYLES)}.{nearest(name, linear)}"
            )
        sides = linear[name].in_features, linear[name].out_features
        if sides[style != "row"] % mesh.size():
            raise RecipeError(
                f"[train] tensor = {mesh.size()} does not divide the layer {name!r} of "
                f"{sides[0]} inputs and {sides[1]} outputs, to be cut by "
                f"{'inputs' if style == 'row' else 'outputs'}."
            )
    styles: Mapping[str, Any] = {
        "column": ColwiseParallel,
        "row": RowwiseParallel,
        "gather": functools.partial(ColwiseParallel, output_layouts=Replicate()),
    }
    parallelize_module(net, mesh, {name: styles[style]() for name, style in plan.items()})


def agree(buffers: Sequence[Tensor], where: Layout) -> None:
    """Give every process the main one's buffers (running means ...), as DDP does for its own."""
    for buffer in buffers if where.sharded else ():
        torch.distributed.broadcast(buffer, 0)
