"""Tensors on one process or, when sharded, in pieces on many (torch's DTensor), handled alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@torch.no_grad()
def local(tensor: Tensor) -> Tensor:
    """This process's piece, sharing its memory; the tensor itself where nothing is cut."""
    piece: Any = getattr(tensor, "to_local", None)
    found: Tensor = tensor if piece is None else piece()
    return found


def whole(tensor: Tensor) -> Tensor:
    """The whole tensor, on the CPU and contiguous; every process must call it, in one order."""
    tensor = tensor.detach()
    gather = getattr(tensor, "full_tensor", None)
    return (gather() if gather is not None else tensor).cpu().contiguous()


@torch.no_grad()
def fill(target: Tensor, value: Tensor) -> Tensor:
    """Copy a whole tensor, or one cut alike, into `target`; keeps memory format."""
    if hasattr(target, "full_tensor") and not hasattr(value, "full_tensor"):
        from torch.distributed.tensor import DTensor, distribute_tensor

        assert isinstance(target, DTensor)
        pieces = value.to(device=target.device, dtype=target.dtype)
        value = distribute_tensor(pieces, target.device_mesh, target.placements)
    return target.copy_(value)


@torch.no_grad()
def clip(parameters: Sequence[Tensor], limit: float) -> Tensor:
    """Scale the gradients down to a norm of `limit` over all processes; the norm () before.

    Every number counts once: pieces are summed over the dimensions of the mesh they are cut along,
    copies are not. (torch's own cannot put together gradients of several meshes.)
    """
    gradients: list[Any] = [p.grad for p in parameters if p.grad is not None]
    if not any(hasattr(each, "placements") for each in gradients):
        return nn.utils.clip_grad_norm_(parameters, limit)
    sums: dict[tuple[Any, ...], Tensor] = {}
    for each in gradients:
        square = local(each).float().square().sum()
        groups: tuple[Any, ...] = ()
        if hasattr(each, "placements"):
            # not is_shard(): a dimension cut by both, FSDP and layers, is a _StridedShard
            cut = [dim for dim, place in enumerate(each.placements) if not place.is_replicate()]
            groups = tuple(each.device_mesh.get_group(dim) for dim in cut)
        sums[groups] = sums.get(groups, torch.zeros_like(square)) + square
    for groups, total in sums.items():
        for group in groups:
            torch.distributed.all_reduce(total, group=group)
    norm = torch.stack(list(sums.values())).sum().sqrt()
    torch._foreach_mul_([local(each) for each in gradients], (limit / (norm + 1e-6)).clamp(max=1.0))
    return norm


@contextmanager
def gathered(model: nn.Module, drop: bool) -> Iterator[None]:
    """Every parameter whole on every process in the block: for what calls blocks by their methods.

    A sampler that keeps a cache does not call a block as a module, which is what gathers it.
    `drop`: whether blocks drop their whole parameters after a forward pass otherwise.
    """
    pieces: list[Any] = [each for each in model.modules() if hasattr(each, "unshard")]
    for each in pieces:
        each.set_reshard_after_forward(False, recurse=False)
        each.unshard()
    try:
        yield
    finally:
        for each in pieces:
            each.set_reshard_after_forward(drop and each is not model, recurse=False)
            each.reshard()


def release(model: nn.Module) -> None:
    """Drop the whole parameters that FSDP keeps after a pass without a backward one.

    FSDP2 leaves the outermost module's parameters gathered for the backward pass to come. After a
    pass for evaluation none comes, and the next training step would use those (averaged)
    parameters.
    """
    for module in model.modules():
        reshard: Any = getattr(module, "reshard", None)
        if reshard is not None:
            reshard()
