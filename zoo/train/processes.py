"""The process this is, alone or one of several, and its device: accelerate's Accelerator."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch

from zoo.errors import ZooError
from zoo.train.recipe import Recipe


def processes(recipe: Recipe) -> Any:
    """Accelerate's Accelerator for this process; one of several under `accelerate launch`, torchrun.

    What it is asked for is the device, DDP and reductions: precision and sharding are our own
    (`zoo.train.precision`, `zoo.train.parallel`), so that they are alike on CPUs and accelerators.
    """
    try:
        from accelerate import Accelerator, DistributedDataParallelKwargs
        from accelerate.state import AcceleratorState
    except ImportError as error:
        raise ZooError("Training needs accelerate: pip install 'genzoo[train]'.") from error
    if recipe.train.threads:
        torch.set_num_threads(recipe.train.threads)
    AcceleratorState._reset_state()  # or a second run in this process would be given the first's
    return Accelerator(
        mixed_precision="no",
        cpu=not torch.accelerator.is_available(),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )


def left_alone(accelerator: Any) -> AbstractContextManager[None]:
    """A block after which torch's global generators are as they were before it."""
    index = accelerator.device.index
    devices = [index or 0] if accelerator.device.type == "cuda" else []
    return torch.random.fork_rng(devices)
