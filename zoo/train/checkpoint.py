"""Checkpoints: a folder a step, tensors in safetensors and the rest in JSON, complete or not there.

    checkpoints/step-00002000/
        model.safetensors      the net's state dict
        ema.safetensors        its averaged parameters, if the recipe averages
        modules.safetensors    trainable parameters and buffers of objectives' own modules
        buffers.safetensors    buffers that are in no state dict
        optimizer.safetensors  OBJECTIVE/PARAMETER/exp_avg ...
        state.json             step, seconds, gradient scaler, versions
        shards/                of a sharded run, instead of the safetensors: see `zoo.train.sharded`

No random state needs keeping: the data and the noise of step n are functions of (seed, n) alone. A
folder is written under another name, flushed to the disk, then renamed, so a kill at any instant
leaves the last complete one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from zoo.errors import WeightsError

SCHEMA = 1


def write(
    run: Path,
    step: int,
    tensors: Mapping[str, Mapping[str, Tensor]],
    state: Mapping[str, Any],
    keep: int,
) -> Path:
    """Write the checkpoint of `step` into the run's folder and delete all but the last `keep`."""
    folder = begin(run, step)
    for name, group in tensors.items():
        save_file(_apart(group), folder / f"{name}.safetensors")
    return complete(run, step, {**state, "files": sorted(tensors)}, keep)


def unfinished(run: Path, step: int) -> Path:
    """Where the checkpoint of `step` is written before it is complete."""
    return run / "checkpoints" / f".unfinished-{step:08d}"


def begin(run: Path, step: int) -> Path:
    """An empty folder to write a checkpoint to; sweeps what a run that was killed has left."""
    folder = unfinished(run, step)
    for left in folder.parent.glob(".unfinished-*"):
        shutil.rmtree(left)
    folder.mkdir(parents=True)
    return folder


def complete(run: Path, step: int, state: Mapping[str, Any], keep: int) -> Path:
    """Make what was written a checkpoint, once it is on the disk."""
    folder, final = unfinished(run, step), run / "checkpoints" / f"step-{step:08d}"
    about = {"schema": SCHEMA, "step": step, **state}
    (folder / "state.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    for path in [*folder.rglob("*"), folder]:
        flush(path)
    if final.exists():  # the same step of the same run: the new one is as good
        shutil.rmtree(final)
    folder.rename(final)
    flush(folder.parent)
    for old in every(run)[:-keep]:
        shutil.rmtree(old)
    return final


def every(run: Path) -> list[Path]:
    """The run's complete checkpoints, oldest first."""
    return sorted((run / "checkpoints").glob("step-*"))


def steps_of(folder: Path) -> int:
    """How many steps a checkpoint's folder has behind it, by its name."""
    return int(folder.name.removeprefix("step-"))


def state_of(folder: Path) -> dict[str, Any]:
    """What state.json says. Raises WeightsError naming the folder."""
    try:
        state = dict(json.loads((folder / "state.json").read_text(encoding="utf-8")))
        if state["schema"] != SCHEMA:
            raise WeightsError(
                f"{folder} has schema {state['schema']}, this version reads {SCHEMA}. "
                "Go on with the version that wrote it, or start a new run."
            )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _damaged(folder, error) from error
    return state


def read(
    folder: Path, groups: Collection[str] | None = None
) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The whole tensors by file, and the state of a checkpoint, whoever wrote it.

    All groups, or those of `groups` that are there. Raises WeightsError naming the folder.
    """
    state = state_of(folder)
    if state.get("sharded"):
        from zoo.train import sharded

        return sharded.read(folder, groups), state
    try:
        names = [name for name in state["files"] if groups is None or name in groups]
        tensors = {name: load_file(folder / f"{name}.safetensors") for name in names}
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise _damaged(folder, error) from error
    return tensors, state


def _damaged(folder: Path, error: Exception) -> WeightsError:
    return WeightsError(
        f"The checkpoint {folder} is damaged: {error}. Delete {folder} to go on from the "
        "checkpoint before it."
    )


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk and not only in its cache."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _apart(group: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tied tensors written once for each name, as safetensors asks."""
    seen: set[int] = set()
    apart: dict[str, Tensor] = {}
    for name, tensor in group.items():
        place = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone() if place in seen else tensor
        seen.add(place)
    return apart
