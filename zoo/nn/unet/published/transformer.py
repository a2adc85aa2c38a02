"""Spatial transformers: CompVis' names, which diffusers kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.errors import ForeignError
from zoo.layouts import Keys, indices

SIGN = "transformer_blocks.0.attn2.to_k.weight"
LINEAR = (".enter.weight", ".leave.weight")  # stored as convolutions of one position by SD 1.x
_NAMES = {
    "proj_in.": "enter.",
    "proj_out.": "leave.",
    "transformer_blocks.": "blocks.",
    ".attn1.": ".itself.",
    ".attn2.": ".context.",
    ".to_q.": ".q.",
    ".to_k.": ".k.",
    ".to_v.": ".v.",
    ".to_out.0.": ".out.",
    ".ff.net.0.proj.": ".layers.up.",
    ".ff.net.2.": ".layers.down.",
}


def renamed(name: str) -> str:
    """The name of a tensor within a transformer: theirs to ours."""
    for theirs, ours in _NAMES.items():
        name = name.replace(theirs, ours)
    return name


def options(keys: Keys, places: Mapping[str, int], levels: int) -> dict[str, Any]:
    """`Attending`'s context and depth for transformers at `places`, name -> level; the middle's level is the last.

    Raises ForeignError where they see contexts of several widths, or have other depths on the way up than down.
    """
    widths = {keys[f"{place}.{SIGN}"][1] for place in places}
    if len(widths) > 1:
        raise ForeignError(f"attention to contexts of several widths, {sorted(widths)}")
    found: dict[int, int] = {}
    for place, level in places.items():
        blocks = len(indices(keys, f"{place}.transformer_blocks."))
        if found.setdefault(level, blocks) != blocks:
            raise ForeignError(
                f"{place} has {blocks} transformer blocks, others of its level {found[level]}; that is not supported"
            )
    deep = [found.get(level, 1) for level in range(levels)]
    depth: Any = deep if len(set(found.values())) > 1 else next(iter(found.values()))
    return {"context": widths.pop(), **({"depth": depth} if depth != 1 else {})}
