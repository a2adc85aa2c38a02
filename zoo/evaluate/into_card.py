"""What was measured, put into a model's card."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from zoo.card import README, Card
from zoo.card import Metric as CardMetric
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
    fresh = [CardMetric(**each.for_card()) for each in metrics]
    known = {(each.name, each.data) for each in fresh}
    kept = [each for each in card.metrics if (each.name, each.data) not in known]
    body = card.body
    if section:
        begin, end = f"<!-- zoo eval: {mark} -->", f"<!-- /zoo eval: {mark} -->"
        block = f"{begin}\n{section}\n{end}"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        found = pattern.search(body)
        body = pattern.sub(lambda _: block, body) if found else f"{body.rstrip()}\n\n{block}\n"
    listed = {**card.files}
    for path in files:
        if path.parent.resolve() == folder.resolve():
            listed[path.name] = described(path)
    save_card(replace(card, metrics=(*kept, *fresh), body=body, files=listed), folder)
    return folder / README
