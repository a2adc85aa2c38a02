"""Pictures out of nothing, by every family that draws; and the way from one picture to another.

Between latents z_0 and z_1 the way is along the great circle, z(t) = (sin((1 - t) w) z_0 + sin(t w) z_1) / sin w, w
the angle between them, for of normal numbers in many dimensions nearly all have about one length. So do latents that
are drawn (of a flow: where in its grey level each pixel lies), while the most probable ones may be far from it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zoo.columns import columns
from zoo.demo.section import COLUMNS, Section, shown

if TYPE_CHECKING:
    from torch import Tensor

DRAW = ("vae-fashion", "realnvp-mnist", "pixelcnn-mnist", "gan-cifar10")
BETWEEN = ("vae-mnist", "vae-fashion", "realnvp-mnist")
EACH, STEPS = 16, 8  # pictures of a model; of the way from one to another
SEED = 4  # of a way between two things that look different
LEAST, SMALL = 200, 112  # pixels a side of what is shown


@dataclass(frozen=True)
class Row:
    """`count` pictures of one model in `seconds`."""

    model: str
    family: str
    size: str
    count: int
    seconds: float


def drawn(names: tuple[str, ...] = DRAW) -> Section | None:
    """Sixteen pictures of each model, labels in turn where it has some."""
    import zoo
    from zoo.evaluate.drawing import drawn as draw
    from zoo.evaluate.sheets import labelled

    rows, pictures = [], []
    for name in shown(names):
        model = zoo.load(name)
        begun = time.perf_counter()
        images = draw(model, EACH, seed=0)
        seconds = time.perf_counter() - begun
        size = f"{images.shape[3]}x{images.shape[2]}"
        rows.append(Row(model.card.title, model.family, size, EACH, seconds))
        pictures.append(images.grid(4))
    if not rows:
        return None
    title = "Drawn: pictures that nobody drew"
    labels = [f"{row.model} ({row.family})\n{EACH} in {row.seconds:.2f} s" for row in rows]
    sheet = labelled(_folded(pictures), _folded(labels), caption=title, least=LEAST)
    return Section(title, rows, _table(rows), sheet)


def between(names: tuple[str, ...] = BETWEEN) -> Section | None:
    """From one picture to another through the latents of each model."""
    import torch

    import zoo
    from zoo.evaluate.sheets import labelled

    rows, pictures, labels = [], [], []
    share = torch.linspace(0, 1, STEPS)
    for name in shown(names):
        model = zoo.load(name)
        ends = model.sample(2, seed=SEED)
        begun = time.perf_counter()
        start, end = model.encode(ends, seed=0)
        images = model.decode(great_circle(start, end, share))
        seconds = time.perf_counter() - begun
        size = f"{images.shape[3]}x{images.shape[2]}"
        rows.append(Row(model.card.title, model.family, size, STEPS, seconds))
        pictures.append(list(images))
        labels.append([name, *(f"{100 * float(t):.0f} %" for t in share[1:])])
    if not rows:
        return None
    title = "Between: from one picture to another through the latents, decoded on the way"
    sheet = labelled(pictures, labels, caption=title, least=SMALL)
    return Section(title, rows, _table(rows), sheet)


def great_circle(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """Points (n, *Z) on the way from `start` (*Z) to `end` (*Z), at the parts `share` (n,) of it."""
    import torch

    cosine = torch.nn.functional.cosine_similarity(start.flatten(), end.flatten(), dim=0)
    angle = cosine.clamp(-1, 1).acos()
    t = share.to(start).view(-1, *[1] * start.ndim)
    if float(angle.sin()) < 1e-4:  # one direction, or opposite ones: a straight line
        return (1 - t) * start + t * end
    return (((1 - t) * angle).sin() * start + (t * angle).sin() * end) / angle.sin()


def _table(rows: list[Row]) -> str:
    header = ("model", "family", "size", "pictures", "seconds")
    lines = [(r.model, r.family, r.size, f"{r.count}", f"{r.seconds:.2f}") for r in rows]
    return columns(header, lines, right=header[3:])


def _folded(row: list[Any]) -> list[list[Any]]:
    """Rows of at most COLUMNS."""
    return [row[start : start + COLUMNS] for start in range(0, len(row), COLUMNS)]
