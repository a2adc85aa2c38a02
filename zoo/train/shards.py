"""Tensors that lie on one process or, under FSDP, in pieces on many (torch's DTensor), handled alike.

Checkpoints hold whole tensors, so a run may go on with another number of processes.
"""

from __future__ import annotations

import torch
from torch import Tensor


def whole(tensor: Tensor) -> Tensor:
    """The tensor with all its pieces, on the CPU, contiguous. Every process must call it, in one order."""
    tensor = tensor.detach()
    gather = getattr(tensor, "full_tensor", None)
    return (gather() if gather is not None else tensor).cpu().contiguous()


@torch.no_grad()
def fill(target: Tensor, value: Tensor) -> Tensor:
    """Copy a whole tensor into `target`, or into this process's piece of it; keeps its memory format."""
    if hasattr(target, "full_tensor"):
        from torch.distributed.tensor import distribute_tensor

        pieces = value.to(device=target.device, dtype=target.dtype)
        value = distribute_tensor(pieces, target.device_mesh, target.placements)
    return target.copy_(value)
