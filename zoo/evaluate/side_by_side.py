"""One table of several models: what can be compared stands together, what cannot stands apart.

Numbers belong together that were measured on the same pictures and, if they come from log_prob, over
the same thing: a bit of a binary pixel is no bit of an 8-bit pixel, and a density of tokens is
neither. Within a table models are ranked by -log p, the fewest bits first.
"""

from __future__ import annotations

from collections.abc import Sequence

from zoo.columns import columns
from zoo.errors import listed
from zoo.evaluate.metric import Metric, rounded

Key = tuple[str, int, str]  # data, pictures, over ("" for what is not of log_prob)
COST = ("bits per dimension", "negative log-probability")


def comparison(metrics: Sequence[Metric]) -> str:
    """Lay out metrics of several models as text, a table for each thing that can be compared."""
    groups: dict[Key, list[Metric]] = {}
    for each in metrics:
        key = (each.data, each.count, str(each.settings.get("over", "")))
        groups.setdefault(key, []).append(each)
    blocks = [f"{_title(key)}\n{_block(group)}" for key, group in groups.items()]
    return "\n\n".join([*blocks, *_notes(metrics)])


def _title(key: Key) -> str:
    data, count, over = key
    return f"{data}, {count:,} pictures" + (f", over {over}" if over else "")


def _block(metrics: Sequence[Metric]) -> str:
    """Rows of models, columns of metrics, each with its standard error."""
    table: dict[str, dict[str, Metric]] = {}
    for each in metrics:
        table.setdefault(_model(each), {})[each.name] = each
    names = list(dict.fromkeys(each.name for each in metrics))
    ranking = next((name for name in names if name.startswith(COST)), None)
    if ranking is not None:
        worst = float("inf")
        table = dict(
            sorted(
                table.items(),
                key=lambda row: row[1][ranking].value if ranking in row[1] else worst,
            )
        )
    kinds = any("kind" in each.settings for each in metrics)
    header, right = ["model", *(["kind"] if kinds else [])], []
    for name in names:
        unit = next(each.unit for each in metrics if each.name == name)
        right.append(f"{name} [{unit}]" if unit else name)
        header += [right[-1], "±"]
    rows = []
    for model, found in table.items():
        row = [model]
        if kinds:
            row.append(str(next(iter(found.values())).settings.get("kind", "")))
        for name in names:
            row += _cells(found.get(name))
        rows.append(row)
    return columns(header, rows, right=(*right, "±"))


def _cells(metric: Metric | None) -> tuple[str, str]:
    if metric is None:
        return "-", ""
    return f"{rounded(metric.value):g}", "" if metric.se is None else f"{rounded(metric.se, 2):g}"


def _notes(metrics: Sequence[Metric]) -> list[str]:
    """What a reader must know before ranking what stands here."""
    costs = [each for each in metrics if each.name.startswith(COST)]
    over = {str(each.settings["over"]) for each in costs}
    notes = []
    if len(over) > 1:
        notes.append(
            f"{listed(over)} are different things to predict: compare numbers within a table, never "
            "between tables."
        )
    if len({each.settings["kind"] for each in costs}) > 1:
        notes.append(
            "kind: exact is -log p itself; of a lower bound of p the true -log p is at most the "
            "number; an estimate may err to both sides."
        )
    return ["\n".join(notes)] if notes else []


def _model(metric: Metric) -> str:
    return str(metric.settings.get("model", "?"))
