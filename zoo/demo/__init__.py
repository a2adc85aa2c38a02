"""`zoo demo`: what each family does, on pictures that come with the package, without a network.

A section is one function that runs models of a family and returns what to print and what to draw, None if no model
of it comes with the package, or what is missing; `SECTIONS` lists them, and a family to come adds its own. The pictures
in `demo_data/` are photographs (public domain), held-out icons and two sketches of our own, see LICENCES.md there; no
model of the zoo was trained on any of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from zoo.demo.lossless import archived
from zoo.demo.prompts import asked
from zoo.demo.samples import between, drawn
from zoo.demo.section import Missing, Section
from zoo.demo.sketches import sketched
from zoo.demo.tokenizer import there_and_back

SECTIONS: tuple[Callable[[], Section | Missing | None], ...] = (
    asked,
    sketched,
    there_and_back,
    drawn,
    between,
    archived,
)


@dataclass(frozen=True)
class Report:
    """Everything the demo did: `text()` for people, `as_dict()` for scripts."""

    sections: list[Section]
    sheet: Path
    seconds: float
    hints: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, without the pictures."""
        return {
            "sections": [
                {"title": each.title, "rows": [asdict(row) for row in each.rows]}
                for each in self.sections
            ],
            "hints": self.hints,
            "sheet": str(self.sheet),
            "seconds": self.seconds,
        }

    def text(self) -> str:
        """One table a section, then where the sheet is."""
        parts = [f"{each.title}\n{each.table}" for each in self.sections]
        parts += self.hints
        parts.append(f"{self.seconds:.1f} s in all; look at {self.sheet}")
        return "\n\n".join(parts)


def run(out: str | Path = "zoo-demo.png") -> Report:
    """Run every section and write the sheet of pictures to `out`.

    Raises UnknownModel or WeightsError if a model the demo uses is not whole, DataError if its
    pictures are not.
    """
    from zoo.evaluate.sheets import stacked

    begun = time.perf_counter()
    found = [section() for section in SECTIONS]
    sections = [each for each in found if isinstance(each, Section)]
    hints = [each.hint for each in found if each is not None and each.hint]
    sheet = Path(out)
    sheet.parent.mkdir(parents=True, exist_ok=True)
    stacked([each.sheet for each in sections]).save(sheet, format="PNG", optimize=True)
    return Report(sections, sheet, time.perf_counter() - begun, hints)
