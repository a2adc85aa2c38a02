"""Does our code give what the references gave? Run as `python -m zoo.parity CASE...`.

A case is a folder with recorded tensors (`io.safetensors`: `in.NAME`, `out.NAME`), the reference's
weights and configuration in its own layout, and `meta.json` with tolerances. A case passes when
every recorded output is given with the same shape, integers and booleans are equal, and every other
number satisfies

    |got - want| <= atol + rtol |want|.

The families bring the code that runs a case (entry-point group `zoo.parity`: a module with
`RUNNERS`); a runner recognises a case by its files, never by the folder's name. A case that nobody
recognises fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

import torch

from zoo.errors import ForeignError
from zoo.parity.case import Case as Case
from zoo.parity.case import Runner as Runner
from zoo.parity.case import upcast as upcast
from zoo.parity.report import Line as Line
from zoo.parity.report import Report as Report
from zoo.parity.report import compare as compare


def runners() -> list[Runner]:
    """Every installed family's runners, in the order of their names."""
    found = sorted(entry_points(group="zoo.parity"), key=lambda point: point.name)
    return [runner for point in found for runner in point.load().RUNNERS]


def check(folder: str | Path, known: Sequence[Runner] | None = None) -> Report:
    """Run one case. Never raises for the case's sake: what goes wrong is in the report."""
    report = Report(Path(folder).name or str(folder))
    try:
        case = Case.read(folder)
        runner = _runner(case, runners() if known is None else known)
        report.runner = runner.name
        torch.manual_seed(0)
        report.lines = compare(case, runner.run(case))
    except Exception as error:  # a crash in one case must not hide the others
        report.error = f"{type(error).__name__}: {error}"
    return report


def _runner(case: Case, known: Sequence[Runner]) -> Runner:
    mine = [runner for runner in known if runner.recognise(case)]
    if len(mine) == 1:
        return mine[0]
    names = ", ".join(runner.name for runner in (mine or known)) or "none"
    if not mine:
        raise ForeignError(f"no runner recognises this case; there are: {names}")
    raise ForeignError(f"{len(mine)} runners take this case for theirs: {names}")
