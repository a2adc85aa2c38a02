"""What the layouts share: square grids, minGPT's blocks."""

from __future__ import annotations

from math import isqrt
from typing import Any

from zoo.adoption import Piece
from zoo.errors import ForeignError
from zoo.layouts import Keys, count

EXACT = {"kind": "exact", "over": "tokens"}  # for the card's log_prob


def square(tokens: int, what: str) -> tuple[int, int]:
    """The grid of a square picture of so many tokens. Raises ForeignError if there is none."""
    side = isqrt(tokens)
    if side * side != tokens or not tokens:
        raise ForeignError(f"{what}: {tokens} tokens are no square picture")
    return side, side


def mingpt(
    keys: Keys, prefix: str, heads: int
) -> tuple[dict[str, Any], dict[str, str], dict[str, list[Piece]]]:
    """Of minGPT's blocks under `prefix`: the Shape's options, what is renamed, and what is pieced together.

    Source: taming-transformers, taming/modules/transformer/mingpt.py (MIT); minDALL-E has the same.
    """
    depth = count(keys, f"{prefix}blocks.")
    first = f"{prefix}blocks.0."
    for name in ("attn.query.weight", "mlp.0.weight", "ln1.weight"):
        if f"{first}{name}" not in keys:
            raise ForeignError(f"the checkpoint lacks {first}{name}; it is incomplete")
    hidden, width = keys[f"{first}mlp.0.weight"]
    if width % heads:
        raise ForeignError(
            f"the configuration says {heads} heads, which do not divide the width {width}"
        )
    rename, pieces = {}, {}
    for layer in range(depth):
        theirs, ours = f"{prefix}blocks.{layer}.", f"transformer.blocks.{layer}."
        for old, new in (
            ("ln1", "norm_attention"),
            ("ln2", "norm_feed"),
            ("attn.proj", "attention.out"),
            ("mlp.0", "feed.up"),
            ("mlp.2", "feed.down"),
        ):
            for kind in ("weight", "bias"):
                if f"{theirs}{old}.{kind}" in keys:
                    rename[f"{theirs}{old}.{kind}"] = f"{ours}{new}.{kind}"
        for kind in ("weight", "bias"):
            if f"{theirs}attn.query.{kind}" in keys:
                pieces[f"{ours}attention.qkv.{kind}"] = [
                    Piece(f"{theirs}attn.{each}.{kind}") for each in ("query", "key", "value")
                ]
    for kind in ("weight", "bias"):
        rename[f"{prefix}ln_f.{kind}"] = f"transformer.norm.{kind}"
    shape = {"width": width, "depth": depth, "heads": heads, "hidden": hidden}
    return shape, rename, pieces
