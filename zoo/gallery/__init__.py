"""One page of HTML with every installed model: what it is, what it makes, what was measured.

The page is a file: pictures, style and script are in it, it asks the network for nothing (its content
security policy forbids that), and what a card says is shown as text, whatever it holds.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from zoo import hub
from zoo.errors import UnknownModel
from zoo.gallery.page import page
from zoo.gallery.pictures import inlined


def gallery(
    out: str | os.PathLike[str], patterns: Sequence[str] = ("*",), title: str = "Models"
) -> Path:
    """Write the page of all models here whose names match one of `patterns`; the file.

    `out` is a folder (the file is its index.html) or a file that ends in .html. A picture that cannot
    be read is warned of and left out. Raises UnknownModel where no model matches.
    """
    found = {each.card.name: each for pattern in patterns for each in hub.cards(pattern)}
    if not found:
        raise UnknownModel(f"No model matches {', '.join(patterns)}; `zoo list` names those here.")
    entries = []
    for name in sorted(found):
        card, folder = found[name].card, found[name].folder
        picture, fault = inlined(card, folder)
        if fault:
            warnings.warn(f"{card.title}: {fault}", stacklevel=2)
        entries.append((card, picture))
    path = Path(out)
    path = path if path.suffix == ".html" else path / "index.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}")
    unfinished.write_text(page(entries, title), encoding="utf-8")
    unfinished.replace(path)
    return path
