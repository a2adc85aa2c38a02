"""Checkpoints: a folder a step, tensors in safetensors and the rest in JSON, complete or not there.

    checkpoints/step-00002000/
        model.safetensors      the net's state dict
        ema.safetensors        its averaged parameters, if the recipe averages
        modules.safetensors    trainable parameters and buffers of objectives' own modules
        buffers.safetensors    buffers that are in no state dict
        optimizer.safetensors  OBJECTIVE/PARAMETER/exp_avg ...
        state.json             step, seconds, gradient scaler, versions

No random state needs keeping: the data and the noise of step n are functions of (seed, n) alone. A
folder is written under another name, flushed to the disk, then renamed, so a kill at any instant
leaves the last complete one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
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
    folder = run / "checkpoints"
    final, unfinished = folder / f"step-{step:08d}", folder / f".unfinished-{step:08d}"
    for left in folder.glob(".unfinished-*"):  # of a run that was killed while writing
        shutil.rmtree(left)
    unfinished.mkdir(parents=True)
    for name, group in tensors.items():
        save_file(_apart(group), unfinished / f"{name}.safetensors")
    about = {"schema": SCHEMA, "step": step, **state, "files": sorted(tensors)}
    (unfinished / "state.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    for path in [*unfinished.iterdir(), unfinished]:
        flush(path)
    if final.exists():  # the same step of the same run: the new one is as good
        shutil.rmtree(final)
    unfinished.rename(final)
    flush(folder)
    for old in every(run)[:-keep]:
        shutil.rmtree(old)
    return final


def every(run: Path) -> list[Path]:
    """The run's complete checkpoints, oldest first."""
    return sorted((run / "checkpoints").glob("step-*"))


def steps_of(folder: Path) -> int:
    """How many steps a checkpoint's folder has behind it, by its name."""
    return int(folder.name.removeprefix("step-"))


def read(folder: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The tensors by file and the state of a checkpoint. Raises WeightsError naming the folder."""
    remedy = f"Delete {folder} to go on from the checkpoint before it."
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        if state["schema"] != SCHEMA:
            raise WeightsError(
                f"{folder} has schema {state['schema']}, this version reads {SCHEMA}. "
                "Go on with the version that wrote it, or start a new run."
            )
        tensors = {name: load_file(folder / f"{name}.safetensors") for name in state["files"]}
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise WeightsError(f"The checkpoint {folder} is damaged: {error}. {remedy}") from error
    return tensors, state


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
