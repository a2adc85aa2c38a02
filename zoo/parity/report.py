"""What was given beside what was wanted, output by output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from zoo.parity.case import Case


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
