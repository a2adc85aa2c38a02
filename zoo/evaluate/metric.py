"""A measured number, with everything it takes to measure it again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Metric:
    """One number of one model on one set.

    Attributes:
        name: "PSNR", "LPIPS (alex)", ...
        value: the number.
        unit: "dB", "nats", ...; "" for a number without one.
        se: standard error of the mean over pictures; None where the number is not such a mean.
        count: pictures it was measured on.
        data: "icons-128/test".
        command: the line that measures it again.
        settings: what else it depends on: definitions, device, batch size.
    """

    name: str
    value: float
    unit: str
    se: float | None
    count: int
    data: str
    command: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self) | {"settings": dict(self.settings)}

    def for_card(self) -> dict[str, Any]:
        """Give the entry of a card's `metrics`: five figures, and no settings."""
        entry: dict[str, Any] = {"name": self.name, "value": rounded(self.value)}
        if self.unit:
            entry["unit"] = self.unit
        if self.se is not None:
            entry["se"] = rounded(self.se, 2)
        return entry | {"count": self.count, "data": self.data, "command": self.command}

    def __str__(self) -> str:
        """Return "PSNR 23.4 +- 0.12 dB"."""
        margin = "" if self.se is None else f" ± {rounded(self.se, 2)}"
        return f"{self.name} {rounded(self.value)}{margin} {self.unit}".rstrip()


def rounded(value: float, figures: int = 5) -> float:
    """Round to that many significant figures."""
    return float(f"{value:.{figures}g}") if math.isfinite(value) else value


def mean_and_se(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and its standard error s / sqrt(n), s with n - 1; no error of a single value."""
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return mean, None
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1) / n)


def table(metrics: Sequence[Metric]) -> str:
    """Lay one model's metrics out as lines of text, columns aligned; what kind log_prob is, if any."""
    kinds = any("kind" in each.settings for each in metrics)
    rows = [("metric", "value", "±", "unit", "pictures", "kind" if kinds else "")]
    for each in metrics:
        margin = "" if each.se is None else f"{rounded(each.se, 2):g}"
        kind = (
            f"{each.settings['kind']}, {each.settings['over']}" if "kind" in each.settings else ""
        )
        value, count = f"{rounded(each.value):g}", f"{each.count:,}"
        rows.append((each.name, value, margin, each.unit, count, kind))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    right = (1, 2, 4)
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
