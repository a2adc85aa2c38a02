"""The hub that ships with the package: model_cards/, laid out as hub repositories are."""

from __future__ import annotations

import functools
from pathlib import Path


@functools.cache
def root() -> Path | None:
    """The folder of embedded models, in the package or beside it in a checkout; or None."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "_model_cards", package.parent / "model_cards"):
        if folder.is_dir():
            return folder
    return None
