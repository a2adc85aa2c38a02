"""Key lists of published checkpoints: does our net of their configuration take every tensor?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from zoo.errors import ForeignError
from zoo.foreign import Foreign
from zoo.foreign_models import renamed
from zoo.parity.report import Line, Report
from zoo.plugins import families, family


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
            extra |= listed.get(name, {})
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
    said = [
        (hooks, adoption)
        for hooks in (family(each) for each in families())
        if "adopt" in hooks.hooks
        and (adoption := hooks.call("adopt", keys=keys, config=config)) is not None
    ]
    if len(said) != 1:
        raise ForeignError(f"{len(said)} families recognise these {name}")
    hooks, adoption = said[0]
    report.runner = adoption.layout
    with torch.device("meta"):
        net = hooks.call("build", config=adoption.config, parts={})
    empty = {key: torch.empty(shape, device="meta") for key, shape in keys.items()}
    foreign = Foreign(Path(name), keys, config, _tensors=empty)
    given = {key: tuple(value.shape) for key, value in renamed(foreign, adoption, name).items()}
    ours = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    faults = sorted(key for key in given.keys() | ours.keys() if given.get(key) != ours.get(key))
    note = ""
    if faults:
        first = faults[0]
        note = f"OUT: {first} is {given.get(first, 'missing')}, ours {ours.get(first, 'missing')}"
    return Line(f"{name} ({len(keys)})", float(len(faults)), 0.0, float(len(faults)), note)
