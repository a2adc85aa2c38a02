"""Pictures to train on and to measure with: sets built from packages, and users' own folders.

folder = zoo.data.build("icons", size=128)
held_out = zoo.data.open_set("icons", "test", 128)
for batch in zoo.data.batches(zoo.data.open_set("my-pictures/", size=64), 16, seed=0, flip=True): ...
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.data.batching import batches as batches
    from zoo.data.batching import collate as collate
    from zoo.data.binarising import Binarised as Binarised
    from zoo.data.binarising import binarise as binarise
    from zoo.data.catalogue import build as build
    from zoo.data.catalogue import names as names
    from zoo.data.catalogue import place as place
    from zoo.data.encoding import encode_set as encode_set
    from zoo.data.opening import built as built
    from zoo.data.opening import open_set as open_set
    from zoo.data.opening import preview as preview

_PLACES = {
    "batches": "batching",
    "collate": "batching",
    "Binarised": "binarising",
    "binarise": "binarising",
    "build": "catalogue",
    "names": "catalogue",
    "place": "catalogue",
    "encode_set": "encoding",
    "built": "opening",
    "open_set": "opening",
    "preview": "opening",
}
__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"zoo.data has no {name!r}; it has {', '.join(_PLACES)}.")
    value = getattr(import_module(f"zoo.data.{_PLACES[name]}"), name)
    globals()[name] = value
    return value
