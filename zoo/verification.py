"""All files of a model against its card, read again whatever was checked before."""

from __future__ import annotations

import os
from pathlib import Path

from zoo import hub, weights


def verify(name: str | os.PathLike[str], version: str | None = None) -> list[Path]:
    """Read every file of a model again and check it against its card; the files.

    Raises WeightsError at the first that is missing or not what the card says, and as `zoo.show`
    does.
    """
    found = hub.resolve(name, version)
    for file, facts in found.card.files.items():
        weights.verify(found.folder / file, facts.sha256, facts.size)
    return [found.folder / file for file in found.card.files]
