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

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file
from torch import Tensor

from zoo.errors import ForeignError
from zoo.foreign import ENDINGS, Foreign, open_checkpoint
from zoo.foreign_models import renamed
from zoo.plugins import families, family


@dataclass(frozen=True)
class Case:
    """One recorded run: `meta` is meta.json, `config` the reference's configuration if any."""

    folder: Path
    meta: Mapping[str, Any]
    config: dict[str, Any] | None
    inputs: Mapping[str, Tensor]  # "in." stripped
    outputs: Mapping[str, Tensor]  # "out." stripped: what the reference gave

    @property
    def name(self) -> str:
        """The folder's."""
        return self.folder.name

    @staticmethod
    def read(folder: str | Path) -> Case:
        """Read a case folder. Raises ForeignError naming what is missing."""
        folder = Path(folder)
        for name in ("meta.json", "io.safetensors"):
            if not (folder / name).is_file():
                raise ForeignError(f"{folder} is not a parity case: it has no {name}")
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        path = folder / "config.json"
        config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        recorded = load_file(folder / "io.safetensors")
        given = {k[3:]: v for k, v in recorded.items() if k.startswith("in.")}
        wanted = {k[4:]: v for k, v in recorded.items() if k.startswith("out.")}
        if not wanted:
            raise ForeignError(f"{folder / 'io.safetensors'} has no outputs ('out.NAME')")
        return Case(folder, meta, config, given, wanted)

    @cached_property
    def files(self) -> list[Path]:
        """The weights files of the case, its folders included; `io.safetensors` is none."""
        every = sorted(p for p in self.folder.rglob("*") if p.suffix in ENDINGS)
        return [p for p in every if p.name != "io.safetensors"]

    def checkpoint(self, name: str | None = None) -> Foreign:
        """The case's weights file, opened: the only one, or the one of that name in the folder."""
        if name is not None:
            return open_checkpoint(self.folder / name)
        named = self.meta.get("weights_file")
        if isinstance(named, str) and (self.folder / named).is_file():
            return open_checkpoint(self.folder / named)
        if len(self.files) != 1:
            raise ForeignError(f"{self.folder} has {len(self.files)} weights files; name one")
        return open_checkpoint(self.files[0])

    def weights(self, name: str | None = None) -> dict[str, Tensor]:
        """The weights by their published names, floating ones as float32."""
        return {k: upcast(v) for k, v in self.checkpoint(name).tensors().items()}

    def tolerance(self, output: str) -> tuple[float, float]:
        """(atol, rtol) of an output; integers: (0, 0)."""
        if not self.outputs[output].is_floating_point():
            return 0.0, 0.0
        table = self.meta.get("tolerance", {})
        atol = table.get("atol", {})
        return float(atol[output] if isinstance(atol, Mapping) else atol), float(table["rtol"])


def upcast(tensor: Tensor) -> Tensor:
    """float32 for a half or bfloat16, else the tensor itself: references ran in float32."""
    small = (torch.float16, torch.bfloat16)
    return tensor.float() if tensor.dtype in small else tensor


class Runner(Protocol):
    """Runs cases of one kind."""

    @property
    def name(self) -> str:
        """Of the kind, for reports."""
        ...

    def recognise(self, case: Case) -> bool:
        """Whether the case is of this kind, by its files and the names in them; cheap."""
        ...

    def run(self, case: Case) -> Mapping[str, Tensor]:
        """The outputs by name, at least those in `case.outputs`."""
        ...


@dataclass
class Line:
    """One output compared: the largest |got - want|, and the largest share of a tolerance used."""

    name: str
    error: float
    tolerance: float
    ratio: float
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether it is within its tolerance."""
        return self.ratio <= 1 and not self.note

    def __str__(self) -> str:
        told = self.note or ("ok" if self.ok else "OUT")
        numbers = f"max error {self.error:9.3g}  tolerance {self.tolerance:9.3g}"
        return f"  {self.name:<34} {numbers}  {told}"


@dataclass
class Report:
    """A case's outcome: its lines, or the error that ended it."""

    case: str
    runner: str = ""
    lines: list[Line] = field(default_factory=list)
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether every output was."""
        return bool(self.lines) and not self.error and all(line.ok for line in self.lines)

    def __str__(self) -> str:
        told = "ok" if self.ok else f"FAIL{': ' + self.error if self.error else ''}"
        by = f" ({self.runner})" if self.runner else ""
        return "\n".join([*map(str, self.lines), f"{self.case}{by}: {told}"])


def compare(case: Case, got: Mapping[str, Tensor]) -> list[Line]:
    """One line for each recorded output; a missing one, another shape or a NaN is out."""
    return [_line(name, got.get(name), want, case) for name, want in case.outputs.items()]


def _line(name: str, got: Tensor | None, want: Tensor, case: Case) -> Line:
    infinite = float("inf")
    atol, rtol = case.tolerance(name)
    if got is None:
        return Line(name, infinite, atol, infinite, "OUT: not given")
    if got.shape != want.shape:
        shapes = f"OUT: shape {tuple(got.shape)}, wanted {tuple(want.shape)}"
        return Line(name, infinite, atol, infinite, shapes)
    if want.numel() == 0:
        return Line(name, 0.0, atol, 0.0)
    got, want = got.detach().cpu(), want.cpu()
    if not want.is_floating_point():
        if got.is_floating_point():
            return Line(name, infinite, 0.0, infinite, f"OUT: {got.dtype}, wanted {want.dtype}")
        wrong = int((got.to(torch.int64) != want.to(torch.int64)).sum())
        return Line(
            name,
            float(wrong),
            0.0,
            infinite if wrong else 0.0,
            f"OUT: {wrong} differ" if wrong else "",
        )
    error = (got.double() - want.double()).abs()
    error = torch.where(got.double() == want.double(), 0.0, error).nan_to_num(nan=infinite)
    bound = atol + rtol * want.double().abs()
    worst = int((error / bound).nan_to_num(nan=infinite).argmax())
    return Line(
        name, float(error.max()), float(bound.flatten()[worst]), float((error / bound).max())
    )


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


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; gives the exit status, 0 if every case passes."""
    parser = argparse.ArgumentParser(
        prog="python -m zoo.parity", description=__doc__.split("\n")[0]
    )
    parser.add_argument("case", nargs="+", help="a case folder, or with --published a key list")
    parser.add_argument(
        "--json", action="store_true", help="one JSON object a case, then a summary"
    )
    parser.add_argument(
        "--published",
        action="store_true",
        help="the arguments are key lists of published checkpoints",
    )
    options = parser.parse_args(arguments)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    reports = []
    for name in options.case:
        report = published(name) if options.published else check(name)
        print(json.dumps(_plain(report)) if options.json else report, flush=True)
        reports.append(report)
    good = sum(report.ok for report in reports)
    if options.json:
        print(json.dumps({"pass": good, "of": len(reports)}))
    else:
        print(f"{good} of {len(reports)} cases pass")
    return 0 if good == len(reports) else 1


def _plain(report: Report) -> dict[str, Any]:
    lines = [
        {
            "name": line.name,
            "error": line.error,
            "tolerance": line.tolerance,
            "ok": line.ok,
            "note": line.note,
        }
        for line in report.lines
    ]
    return {
        "case": report.case,
        "runner": report.runner,
        "ok": report.ok,
        "error": report.error,
        "lines": lines,
    }


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


if __name__ == "__main__":
    sys.exit(main())
