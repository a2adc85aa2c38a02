"""Checkpoints of many processes: each writes the pieces it holds, any number of them reads back.

torch.distributed.checkpoint's own files, in the folder `shards` of a checkpoint: `__RANK_0.distcp` the pieces,
`.metadata` which piece of which tensor lies where. A reader says which pieces it wants and finds them, so the number of
processes and how tensors are cut over them may differ from the writer's. What is the same on all processes is written
by the first. `.metadata` is a pickle: go on with runs of your own; what is handed on is the card that `finish` writes.

Names are GROUP:NAME, as in the other kind of checkpoint GROUP.safetensors holds NAME.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.errors import WeightsError

NAME = "shards"
Groups = Mapping[str, Mapping[str, Tensor]]


def write(folder: Path, groups: Groups) -> None:
    """Write this process's pieces; all processes together."""
    from torch.distributed.checkpoint import DefaultSavePlanner, FileSystemWriter, save

    save(
        flat(groups),
        storage_writer=FileSystemWriter(folder / NAME),
        planner=DefaultSavePlanner(dedup_save_to_lowest_rank=True),
    )


def held(folder: Path) -> dict[str, Any]:
    """What a checkpoint holds: name -> its `size` and `properties.dtype`."""
    from torch.distributed.checkpoint import FileSystemReader

    try:
        return dict(FileSystemReader(folder / NAME).read_metadata().state_dict_metadata)
    except (OSError, EOFError, ValueError) as error:
        raise _damaged(folder, error) from error


def fill(folder: Path, targets: dict[str, Tensor]) -> None:
    """Fill tensors by their flat names in place, each process its own pieces of them."""
    from torch.distributed.checkpoint import FileSystemReader, load
    from torch.distributed.checkpoint.api import CheckpointException

    alone = not (torch.distributed.is_available() and torch.distributed.is_initialized())
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
            load(targets, storage_reader=FileSystemReader(folder / NAME), no_dist=alone)
    except (CheckpointException, OSError) as error:
        raise _damaged(folder, error) from error


def read(folder: Path, groups: Collection[str] | None = None) -> dict[str, dict[str, Tensor]]:
    """Whole tensors by group, on the CPU of this process alone; all groups, or those named."""
    every = held(folder)
    wanted = {
        name: torch.empty(facts.size, dtype=facts.properties.dtype)
        for name, facts in every.items()
        if groups is None or name.partition(":")[0] in groups
    }
    fill(folder, wanted)
    found: dict[str, dict[str, Tensor]] = {}
    for key, tensor in wanted.items():
        group, _, name = key.partition(":")
        found.setdefault(group, {})[name] = tensor
    return found


def _damaged(folder: Path, error: BaseException) -> WeightsError:
    return WeightsError(
        f"The checkpoint {folder} is damaged: {error}. Delete it to go on from the one before it."
    )


def flat(groups: Groups) -> dict[str, Tensor]:
    """One dictionary of all groups."""
    return {
        f"{group}:{name}": tensor
        for group, tensors in groups.items()
        for name, tensor in tensors.items()
    }
