"""The process this is, alone or one of several, and its device: accelerate's Accelerator."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from typing import Any

import torch

from zoo.errors import ZooError
from zoo.train.recipe import Recipe
from zoo.train.table import RecipeError


def processes(recipe: Recipe) -> Any:
    """Accelerate's Accelerator for this process; one of several under `accelerate launch`."""
    try:
        from accelerate import Accelerator, DistributedDataParallelKwargs
        from accelerate.state import AcceleratorState
    except ImportError as error:
        raise ZooError("Training needs accelerate: pip install 'genzoo[train]'.") from error
    if recipe.train.precision == "fp16" and not torch.accelerator.is_available():
        raise RecipeError("[train] precision = 'fp16' needs an accelerator; CPUs take 'bf16'.")
    if recipe.train.threads:
        torch.set_num_threads(recipe.train.threads)
    AcceleratorState._reset_state()  # or a second run in this process could not change precision
    accelerator = Accelerator(
        mixed_precision=recipe.train.precision,
        cpu=not torch.accelerator.is_available(),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        _shard(accelerator)
    share = recipe.train.accumulate * accelerator.num_processes
    if recipe.data.batch % share:
        raise RecipeError(
            f"[data] batch = {recipe.data.batch} does not divide among "
            f"{accelerator.num_processes} processes times {recipe.train.accumulate} accumulated "
            f"parts; take a multiple of {share}."
        )
    return accelerator


def _shard(accelerator: Any) -> None:
    """Set up FSDP (Zhao et al. 2023, arXiv:2304.11277) as torch's `fully_shard` does it.

    accelerate offers it on accelerators only; torch shards over gloo on CPUs just as well, so the
    state is told so. Each process builds the whole net from the seed before it is cut (accelerate's
    own way to spare that memory fails on nets with buffers), and mixed precision is autocast's, as
    without FSDP.
    """
    from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

    plugin = FullyShardedDataParallelPlugin()  # as `accelerate launch` was told
    if plugin.fsdp_version != 2:
        raise RecipeError("FSDP is supported in version 2: `accelerate launch --fsdp_version 2`.")
    plugin.cpu_ram_efficient_loading = False
    plugin.mixed_precision_policy = None
    accelerator.state.fsdp_plugin = plugin
    accelerator.state.distributed_type = DistributedType.FSDP


def left_alone(accelerator: Any) -> AbstractContextManager[None]:
    """A block after which torch's global generators are as they were before it."""
    index = accelerator.device.index
    devices = [index or 0] if accelerator.device.type == "cuda" else []
    return torch.random.fork_rng(devices)
