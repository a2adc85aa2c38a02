"""What was measured, put into a model's card."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from zoo.card import README, Card
from zoo.card import Metric as CardMetric
from zoo.errors import listed
from zoo.evaluate.metric import Metric
from zoo.saving import described
from zoo.saving import write_card as save_card


def put_into_card(
    folder: Path,
    metrics: Sequence[Metric],
    section: str = "",
    files: Sequence[Path] = (),
    mark: str = "codecs",
) -> Path:
    """Put metrics into the card of a folder, in place of those of the same name and data.

    One that stands there of more pictures stays, with a warning.

    Args:
        folder: holds README.md.
        metrics: from `evaluate`.
        section: Markdown that replaces what an earlier run put between its marks.
        files: what was written for the section; files beside the card are listed in it.
        mark: names the section between its marks.

    Returns:
        The card's path.
    """
    card = Card.read(folder)
    fresh = {(each.name, each.data): CardMetric(**each.for_card()) for each in metrics}
    kept = {(each.name, each.data): each for each in card.metrics}
    better = [key for key, each in fresh.items() if _of_more(kept.get(key), each)]
    if better:
        told = listed(f"{name} of {kept[name, data].count:,}" for name, data in better)
        warnings.warn(
            f"{folder / README} keeps what was measured of more pictures: {told}.", stacklevel=2
        )
    measured = {**kept, **{key: each for key, each in fresh.items() if key not in better}}
    body = card.body
    if section:
        begin, end = f"<!-- zoo eval: {mark} -->", f"<!-- /zoo eval: {mark} -->"
        block = f"{begin}\n{section}\n{end}"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        found = pattern.search(body)
        body = pattern.sub(lambda _: block, body) if found else f"{body.rstrip()}\n\n{block}\n"
    files_there = {**card.files}
    for path in files:
        if path.parent.resolve() == folder.resolve():
            files_there[path.name] = described(path)
    save_card(replace(card, metrics=tuple(measured.values()), body=body, files=files_there), folder)
    return folder / README


def _of_more(old: CardMetric | None, new: CardMetric) -> bool:
    """Whether the old one was measured on more pictures."""
    return bool(old and old.count and new.count and old.count > new.count)
