"""The measurements of a card: the zoo's own, or the public hub's `model-index`.

A stranger's front matter holds anything; rows that are not as expected are left out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

MOST = 100


class Number(NamedTuple):
    """A row of a page's table, as text."""

    name: str
    value: str
    data: str


def metrics_of(matter: dict[str, Any]) -> list[Number]:
    """The rows of a front matter."""
    zoo = matter.get("zoo")
    found = [_zoo(each) for each in _rows(zoo.get("metrics") if isinstance(zoo, dict) else None)]
    for model in _rows(matter.get("model-index")):
        for result in _rows(model.get("results")):
            data = result.get("dataset")
            where = str(data.get("name", "")) if isinstance(data, dict) else ""
            found += [_indexed(each, where) for each in _rows(result.get("metrics"))]
    return found[:MOST]


def _rows(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _zoo(row: dict[str, Any]) -> Number:
    error = row.get("se")
    margin = f" ± {error:.2g}" if isinstance(error, int | float) else ""
    unit = f" {row['unit']}" if row.get("unit") else ""
    return Number(
        str(row.get("name", "")), _said(row.get("value")) + margin + unit, str(row.get("data", ""))
    )


def _indexed(row: dict[str, Any], data: str) -> Number:
    return Number(str(row.get("name") or row.get("type") or ""), _said(row.get("value")), data)


def _said(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, int | float) else str(value)
