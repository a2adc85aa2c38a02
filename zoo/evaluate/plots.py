"""Line plots as PNG: series of points over a number, both axes linear or logarithmic, labels at the lines' ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from zoo.errors import RequestError
from zoo.evaluate.sheets import FAINT, INK, PAPER

SIDE, EDGE, TEXT, FINE = (
    420,
    56,
    13,
    2,
)  # pixels: of a panel, around it, of letters; drawn FINE times larger
INKS = (
    (0, 90, 181), (220, 50, 32), (26, 133, 90), (153, 79, 136), (200, 128, 0), (90, 90, 90),
    (64, 176, 210), (120, 60, 20),
)  # fmt: skip


@dataclass(frozen=True)
class Axis:
    """What a number is, and whether equal distances are equal ratios."""

    name: str
    log: bool = False

    def place(self, value: float) -> float:
        """Where a value lies. Raises RequestError for one that has no logarithm."""
        if not self.log:
            return value
        if value <= 0:
            raise RequestError(f"{self.name} is drawn by its logarithm, and a point has {value:g}.")
        return math.log10(value)

    def ticks(self, low: float, high: float) -> list[float]:
        """Round values between two."""
        if self.log:
            tens = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            found = [m * 10.0**ten for ten in tens for m in (1, 2, 5)]
            inside = [each for each in found if low <= each <= high]
            return inside or [low, high]
        step = 10.0 ** math.floor(math.log10(max(high - low, 1e-12)))
        step *= next(m for m in (0.2, 0.5, 1, 2) if (high - low) / (m * step) <= 6)
        return [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


@dataclass(frozen=True)
class Panel:
    """One pair of axes with its lines: name -> points (x, y)."""

    x: Axis
    y: Axis
    lines: dict[str, list[tuple[float, float]]]


def plot(panels: Sequence[Panel], path: str | Path, caption: str = "") -> Path:
    """Write panels side by side into one PNG; a name has the same colour in all of them.

    Raises RequestError where there is no point, or one that an axis cannot show.
    """
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    if not panels or any(not points for panel in panels for points in panel.lines.values()):
        raise RequestError("A plot has panels, and every line of them has points.")
    inks = {name: INKS[index % len(INKS)] for index, name in enumerate(names)}
    top = EDGE // 2 * (1 + bool(caption))
    size = (len(panels) * (SIDE + 2 * EDGE), SIDE + EDGE + top)
    sheet = Image.new("RGB", (size[0] * FINE, size[1] * FINE), PAPER)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(TEXT * FINE)
    if caption:
        pen.text((EDGE * FINE, 8 * FINE), caption, INK, font=font)
    for index, panel in enumerate(panels):
        _draw(pen, panel, (index * (SIDE + 2 * EDGE) + EDGE) * FINE, top * FINE, inks, font)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.resize(size, Image.Resampling.LANCZOS).save(path, format="PNG", optimize=True)
    return path


def _draw(
    pen: ImageDraw.ImageDraw,
    panel: Panel,
    left: int,
    top: int,
    inks: dict[str, tuple[int, int, int]],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    side, letter = SIDE * FINE, TEXT * FINE
    points = [each for line in panel.lines.values() for each in line]
    (x_low, x_high), (y_low, y_high) = (
        _ends([axis.place(each[k]) for each in points]) for k, axis in enumerate((panel.x, panel.y))
    )

    def at(x: float, y: float) -> tuple[float, float]:
        across = (panel.x.place(x) - x_low) / (x_high - x_low)
        up = (panel.y.place(y) - y_low) / (y_high - y_low)
        return left + across * side, top + (1 - up) * side

    def values(axis: Axis, *places: float) -> list[float]:
        return [10**place if axis.log else place for place in places]

    for tick in panel.x.ticks(*values(panel.x, x_low, x_high)):
        x = at(tick, points[0][1])[0]
        pen.line((x, top, x, top + side), FAINT, FINE)
        pen.text((x, top + side + letter // 3), f"{tick:g}", INK, font=font, anchor="ma")
    for tick in panel.y.ticks(*values(panel.y, y_low, y_high)):
        y = at(points[0][0], tick)[1]
        pen.line((left, y, left + side, y), FAINT, FINE)
        pen.text((left - letter // 3, y), f"{tick:g}", INK, font=font, anchor="rm")
    pen.rectangle((left, top, left + side, top + side), outline=INK, width=FINE)
    pen.text((left + side, top + side + 2 * letter), panel.x.name, INK, font=font, anchor="ra")
    pen.text((left, top - letter // 3), panel.y.name, INK, font=font, anchor="ls")
    for name, line in panel.lines.items():
        places = [at(*each) for each in sorted(line)]
        pen.line(places, inks[name], 2 * FINE, joint="curve")
        for x, y in places:
            pen.ellipse((x - 3 * FINE, y - 3 * FINE, x + 3 * FINE, y + 3 * FINE), inks[name])
    for row, name in enumerate(panel.lines):
        spot = (left + side - letter // 2, top + letter // 2 + row * (letter + 3 * FINE))
        pen.text(spot, name, inks[name], font=font, anchor="ra")


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """A little beyond the least and the most."""
    low, high = min(values), max(values)
    margin = 0.06 * (high - low) or 0.5 * max(abs(high), 1e-3)
    return low - margin, high + margin
