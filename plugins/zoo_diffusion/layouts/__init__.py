"""Published layouts of denoising networks that this family loads as they are: one module a layout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.adoption import Adoption
from zoo.layouts import Keys, recognised


def adopt(keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """What the one layout that recognises the checkpoint says; None if none does."""
    return recognised(__name__, keys, config)
