"""What was measured of several models on the same pictures, as bars."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.card import Card, Metric
from zoo.gallery.markup import Markup, element, joined

ROW, LABEL, BAR, VALUE = 24, 170, 300, 90  # user units of the drawing


def plots(cards: Sequence[Card]) -> Markup:
    """A figure for each metric that two or more models have of one set, most models first."""
    groups: dict[tuple[str, str, str], dict[str, Metric]] = {}
    for card in cards:
        for metric in card.metrics:
            key = (metric.name, metric.data, metric.unit or "")
            groups.setdefault(key, {}).setdefault(card.name, metric)
    several = [(key, rows) for key, rows in groups.items() if len(rows) > 1]
    several.sort(key=lambda each: (-len(each[1]), each[0]))
    return joined(*(_bars(key, rows) for key, rows in several))


def _bars(key: tuple[str, str, str], rows: dict[str, Metric]) -> Markup:
    name, data, unit = key
    most = max(abs(metric.value) for metric in rows.values()) or 1.0
    drawn = []
    ordered = sorted(rows.items(), key=lambda each: each[1].value)
    for place, (model, metric) in enumerate(ordered):
        middle = place * ROW + ROW / 2
        length = BAR * abs(metric.value) / most
        told = f"{metric.value:.4g}{f' {unit}' if unit else ''}"
        drawn.append(
            element(
                "g",
                element("title", f"{model}: {told}"),
                element("text", model, x=LABEL - 8, y=middle, class_="name"),
                element(
                    "rect", x=LABEL, y=middle - 7, width=round(max(length, 1), 1), height=14, rx=2
                ),
                element("text", told, x=round(LABEL + length + 8, 1), y=middle, class_="value"),
                data_model=model,
            )
        )
    wide, high = LABEL + BAR + VALUE, len(rows) * ROW
    words = ", ".join(f"{model} {metric.value:.4g}" for model, metric in ordered)
    caption = f"{name}{f', {unit}' if unit else ''}"
    return element(
        "figure",
        element("figcaption", caption, element("small", data)),
        element(
            "svg",
            *drawn,
            viewBox=f"0 0 {wide} {high}",
            role="img",
            aria_label=f"{caption}: {words}",
        ),
        data_models=" ".join(rows),
    )
