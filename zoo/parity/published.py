"""Key lists of published checkpoints: does our net of their configuration take every tensor?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from zoo.adoption import Adoption
from zoo.foreign import Foreign
from zoo.foreign_models import inside, renamed
from zoo.parity.report import Line, Report
from zoo.plugins import Family
from zoo.recognition import claimed


def published(path: str | Path) -> Report:
    """Check a key list of a published checkpoint against our net of its configuration.

    The net is built on the meta device; nothing is allocated. The list is JSON with `config` and
    `keys` (`legacy_keys`, where the file on the hub uses older names, is held to as well). Keys
    listed apart (`loss_keys`, `ema_keys`, `optional_keys`) must be dropped by name or renamed. One
    line a list: the number of tensors at fault.
    """
    report = Report(Path(path).stem)
    try:
        listed = json.loads(Path(path).read_text(encoding="utf-8"))
        extra: dict[str, list[int]] = {}
        for name in ("loss_keys", "ema_keys", "optional_keys"):
            apart = listed.get(name, {})
            extra |= apart if isinstance(apart, Mapping) else {}  # a list names some of `keys`
        for name in ("keys", "legacy_keys"):
            if name in listed:
                report.lines.append(_accepted(name, listed[name] | extra, listed["config"], report))
    except Exception as error:  # as in `check`: the other lists go on
        report.error = f"{type(error).__name__}: {error}"
    return report


def _accepted(
    name: str, listed: Mapping[str, Sequence[int]], config: Mapping[str, Any], report: Report
) -> Line:
    keys = {key: tuple(shape) for key, shape in listed.items()}
    empty = {key: torch.empty(shape, device="meta") for key, shape in keys.items()}
    foreign = Foreign(Path(name), keys, config, _tensors=empty)
    hooks, adoption = claimed(foreign, name)
    report.runner = adoption.layout
    faults = _faults(foreign, hooks, adoption, name)
    for role, within in adoption.parts.items():
        inner = inside(foreign, within)
        faults += _faults(inner, *claimed(inner, f"{name} ({role})"), f"{name} ({role})")
    note = f"OUT: {faults[0]}" if faults else ""
    return Line(f"{name} ({len(keys)})", float(len(faults)), 0.0, float(len(faults)), note)


def _faults(foreign: Foreign, hooks: Family, adoption: Adoption, name: str) -> list[str]:
    """Each tensor whose shape in the file and in our net are not the same."""
    with torch.device("meta"):
        net = hooks.call("build", config=adoption.config, parts={})
    given = {key: tuple(value.shape) for key, value in renamed(foreign, adoption, name).items()}
    ours = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    return [
        f"{key} is {given.get(key, 'missing')}, ours {ours.get(key, 'missing')}"
        for key in sorted(given.keys() | ours.keys())
        if given.get(key) != ours.get(key)
    ]
