"""Tensors on one process or, under FSDP, in pieces on many (torch's DTensor), handled alike.

Checkpoints hold whole tensors, so a run may go on with another number of processes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def whole(tensor: Tensor) -> Tensor:
    """The whole tensor, on the CPU and contiguous; every process must call it, in one order."""
    tensor = tensor.detach()
    gather = getattr(tensor, "full_tensor", None)
    return (gather() if gather is not None else tensor).cpu().contiguous()


@torch.no_grad()
def fill(target: Tensor, value: Tensor) -> Tensor:
    """Copy a whole tensor into `target`, or into this process's piece; keeps memory format."""
    if hasattr(target, "full_tensor"):
        from torch.distributed.tensor import DTensor, distribute_tensor

        assert isinstance(target, DTensor)
        pieces = value.to(device=target.device, dtype=target.dtype)
        value = distribute_tensor(pieces, target.device_mesh, target.placements)
    return target.copy_(value)


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
