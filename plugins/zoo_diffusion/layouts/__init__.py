"""Published layouts of denoising networks that this family loads as they are: one module a layout.

Each module has `adopt(keys, config) -> Adoption | None`: None unless the checkpoint is of its layout; ForeignError
when it is, but its configuration and its tensors disagree or ask for something that is not supported.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from zoo.adoption import Adoption
from zoo.errors import ForeignError

Keys = Mapping[str, tuple[int, ...]]


def adopt(keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """The layout that recognises the checkpoint, None if none does, ForeignError if two do."""
    found = []
    for info in sorted(pkgutil.iter_modules(__path__), key=lambda each: each.name):
        if not info.name.startswith("_"):
            answer = importlib.import_module(f"{__name__}.{info.name}").adopt(keys, config)
            if answer is not None:
                found.append(answer)
    if len(found) > 1:
        names = " and ".join(each.layout for each in found)
        raise ForeignError(f"the checkpoint fits {names}; one of them is too loose")
    return found[0] if found else None
