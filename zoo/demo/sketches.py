"""From a drawn sketch to pictures, by a ControlNet of edges; and what the same words give without it.

The strokes, thinned to one pixel (`zoo.annotate.sketch`), are the hint: an outline drawn with a pen has two edges, and
one is meant.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from zoo.columns import columns
from zoo.demo.section import SIDE, Missing, Section, embedded, pictures
from zoo.errors import listed

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.images import Images

NEEDS = (
    "controlnet-edges",
    "ldm-icons",
    "kl-f8",
)  # the ControlNet, its base, the base's autoencoder
PROMPTS = {"apple": "noto: red apple", "house": "twemoji: house"}
EACH = 4  # pictures of a sketch


@dataclass(frozen=True)
class Row:
    """One sketch's pictures: edge F1 of its strokes and what is drawn, given them as a hint and not given them."""

    model: str
    sketch: str
    prompt: str
    count: int
    edge_f1: float
    edge_f1_without: float
    seconds: float


def sketched(needs: Sequence[str] = NEEDS) -> Section | Missing:
    """Four pictures of each sketch by the first of `needs`, beside four of its base, of the same words and seeds."""
    here = {each.card.name for each in embedded()}
    if absent := [each for each in needs if each not in here]:
        verb = "does" if len(absent) == 1 else "do"
        return Missing(
            f"A drawn sketch becomes a picture by {needs[0]}: {listed(absent)} {verb} not come with this package."
        )
    if find_spec("tokenizers") is None:
        return Missing(
            f"To see {needs[0]} make pictures of a sketch: `pip install 'genzoo[text]'`."
        )
    return _shown(needs[0])


def _shown(name: str) -> Section:
    import zoo
    from zoo.annotate import annotate
    from zoo.evaluate.sheets import labelled
    from zoo.images import Images

    model = zoo.load(name)
    names, files = pictures("sketch")
    drawings = Images.read(files, 3, (model.card.image[1], model.card.image[2]))
    strokes = annotate("sketch", drawings)
    hints = strokes.tensor.repeat_interleave(EACH, dim=0)
    texts = [PROMPTS[each] for each in names for _ in range(EACH)]
    told = model.condition(text=texts, **{model.card.config["kind"]: hints})
    begun = time.perf_counter()
    controlled = told.sample(len(hints), seed=0)
    seconds = time.perf_counter() - begun
    free = model.parts["base"].condition(text=texts).sample(len(hints), seed=0)
    rows = [
        Row(model.card.title, each, PROMPTS[each], EACH, f1, without, seconds / len(names))
        for each, f1, without in zip(
            names, _scores(hints, controlled), _scores(hints, free), strict=True
        )
    ]
    title = (
        f"{model.card.title}: two sketches drawn by hand, {len(hints)} pictures of their strokes "
        f"and a few words in {seconds:.1f} s"
    )
    cells: list[list[Any]] = [
        [drawings[place], strokes[place], _four(controlled, place), _four(free, place)]
        for place in range(len(names))
    ]
    labels = [
        [
            row.sketch,
            "",
            f"{row.prompt}\nedge F1 {row.edge_f1:.2f}",
            f"{row.prompt}\nedge F1 {row.edge_f1_without:.2f}",
        ]
        for row in rows
    ]
    titles = ["sketch", "hint: its strokes", "controlled", "uncontrolled"]
    sheet = labelled(cells, labels, titles, title, SIDE)
    return Section(title, rows, _table(rows), sheet)


def _scores(hints: Tensor, drawn: Images) -> list[float]:
    """Mean edge F1 of each sketch's pictures."""
    from zoo.evaluate.control import Kept

    found = Kept("edges").scores(hints, drawn.tensor)
    return [sum(found[at : at + EACH]) / EACH for at in range(0, len(found), EACH)]


def _four(drawn: Images, place: int) -> Images:
    """The pictures of a sketch, tiled."""
    from zoo.images import Images

    return Images(drawn.tensor[place * EACH : (place + 1) * EACH]).grid()


def _table(rows: list[Row]) -> str:
    header = ("sketch", "prompt", "pictures", "edge F1", "uncontrolled", "seconds")
    lines = [
        (
            row.sketch,
            row.prompt,
            f"{row.count}",
            f"{row.edge_f1:.2f}",
            f"{row.edge_f1_without:.2f}",
            f"{row.seconds:.2f}",
        )
        for row in rows
    ]
    return columns(header, lines, right=header[2:])
