"""What a checkpoint holds of a run, and how a run takes it up again.

    model, ema, modules, buffers    by their names
    optimizer                       OBJECTIVE/PARAMETER/exp_avg ...

Whatever wrote a checkpoint, one process or many, whatever takes it up: tensors are told by name and
cut as the run that takes them is cut.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zoo.errors import WeightsError, listed
from zoo.train import checkpoint, sharded
from zoo.train.shards import fill

if TYPE_CHECKING:
    from zoo.train.run import Run


def contents(run: Run) -> dict[str, dict[str, Tensor]]:
    """Every tensor that shapes the steps to come, by group and name: the run's own, not copies."""
    groups = {
        "model": run.work.net.state_dict(),
        "modules": run.work.modules_state(),
        "buffers": run.work.buffers_state(),
        "optimizer": {
            f"{task.objective.name}/{name}/{key}": value
            for task in run.tasks
            for name in task.names
            for key, value in sorted(task.optimizer.state.get(run.parameters[name], {}).items())
        },
    }
    return groups if run.ema is None else {**groups, "ema": run.ema.shadow}


def take(run: Run, folder: Path) -> dict[str, Any]:
    """Fill the run from a checkpoint; what its state.json says. Raises WeightsError."""
    state = checkpoint.state_of(folder)
    wanted = contents(run)
    wanted.pop("optimizer")  # a fresh one is empty
    if state.get("sharded"):
        sizes = {name: tuple(facts.size) for name, facts in sharded.held(folder).items()}
        slots = {
            name.removeprefix("optimizer:"): size
            for name, size in sizes.items()
            if name.startswith("optimizer:")
        }
        kept = _slots(run, slots)
        _compare(wanted, sizes, folder)
        sharded.fill(folder, sharded.flat({**wanted, "optimizer": kept}))
    else:
        tensors = checkpoint.read(folder)[0]
        given = tensors.pop("optimizer")
        kept = _slots(run, {name: tuple(tensor.shape) for name, tensor in given.items()})
        sizes = {name: tuple(each.shape) for name, each in sharded.flat(tensors).items()}
        _compare(wanted, sizes, folder)
        for group, targets in {**wanted, "optimizer": kept}.items():
            for name, target in targets.items():
                fill(target, given[name] if group == "optimizer" else tensors[group][name])
    for task in run.tasks:
        entries: dict[int, dict[str, Tensor]] = {}
        for index, name in enumerate(task.names):  # an objective that had not started has none
            before = f"{task.objective.name}/{name}/"
            slots_of = {
                key.removeprefix(before): value
                for key, value in kept.items()
                if key.startswith(before)
            }
            if slots_of:
                entries[index] = slots_of
        task.optimizer.load_state_dict({**task.optimizer.state_dict(), "state": entries})
    return state


def _slots(run: Run, sizes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Empty tensors for the optimizers' state: cut as the parameter, or a number (`step`)."""
    found = {}
    for key, size in sizes.items():
        own = run.parameters.get(key.split("/")[1])
        alike = own is not None and tuple(own.shape) == size
        found[key] = torch.empty_like(own) if own is not None and alike else torch.empty(size)
    return found


def _compare(
    wanted: dict[str, dict[str, Tensor]], sizes: dict[str, tuple[int, ...]], folder: Path
) -> None:
    """Both sides must have the same names and shapes. Raises WeightsError naming what differs."""
    for group, tensors in wanted.items():
        given = {
            name.partition(":")[2]: size
            for name, size in sizes.items()
            if name.startswith(f"{group}:")
        }
        lost = [name for name, each in tensors.items() if given.get(name) != tuple(each.shape)]
        over = [name for name in given if name not in tensors]
        if lost or over:
            raise WeightsError(
                f"{folder}, {group}: does not fit this net. Missing or of another shape: "
                f"{listed(lost)}. Not in the net: {listed(over)}. Was the family's code changed "
                "since? Start a new run."
            )
