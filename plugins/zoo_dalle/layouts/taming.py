"""taming-transformers' Net2NetTransformer: minGPT over a condition's tokens and then a picture's.

    z = [c_1 ... c_P, t_1 ... t_T],      x = E[z] + places

One table E of V rows embeds both, and the head has V rows. What c is, the condition stage says: another VQ model's
tokens (a map of classes, of depths), a class (Labelator), coordinates (CoordStage), a begin token (none, or
`unconditional`), or tokens that another program makes (DummyCondStage). The condition stage and the first
stage are in the file, and become parts. Source: Esser et al., arXiv:2012.09841;
CompVis/taming-transformers, taming/models/cond_transformer.py (MIT).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isqrt
from typing import Any

from zoo.adoption import Adoption, Piece, Within
from zoo.errors import ForeignError
from zoo.layouts import Keys, agree
from zoo_dalle.layouts._shapes import EXACT, mingpt, square

_SIGNS = ("transformer.tok_emb.weight", "transformer.pos_emb", "transformer.head.weight")
FIRST, SECOND = "first_stage_model.", "cond_stage_model."
DROPPED = ("transformer.blocks.*.attn.mask", "loss.*")
_LIKE_FIRST, _NONE = "__is_first_stage__", "__is_unconditional__"


@dataclass(frozen=True)
class Condition:
    """What stands before the picture: our config's keys, P positions, ids of the prefix, its part."""

    config: Mapping[str, Any]
    length: int
    ids: int = 0
    begin: int | None = None  # the token that begins, where there is nothing else
    parts: Mapping[str, Within] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    notes: str = ""


def adopt(keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """The checkpoint as ours, if it is of this layout."""
    if not all(sign in keys for sign in _SIGNS):
        return None
    params = options(config)
    gpt = params["transformer_config"].get("params") or {}
    vocabulary, width = keys["transformer.tok_emb.weight"]
    block = keys["transformer.pos_emb"][1]
    agree("vocab_size", gpt.get("vocab_size"), vocabulary)
    agree("block_size", gpt.get("block_size"), block)
    agree("n_embd", gpt.get("n_embd"), width)
    shape, rename, pieces = mingpt(keys, "transformer.", int(gpt.get("n_head", 8)))
    agree("n_layer", gpt.get("n_layer"), shape["depth"])
    if any(key.startswith("permuter.") for key in keys):
        raise ForeignError(
            "the tokens of this model are in the order of a permuter other than Identity, which is not supported"
        )
    codes, factor, side = stage(params.get("first_stage_config"), keys, FIRST)
    if codes > vocabulary:
        raise ForeignError(
            f"the first stage has {codes} codes, but the transformer {vocabulary} tokens"
        )
    given = condition(params, keys, block, vocabulary, factor, side)
    cells = min((side // factor) ** 2, block + 1 - given.length)
    grid = (isqrt(cells), isqrt(cells))
    if not grid[0]:
        raise ForeignError(
            f"block_size {block} has no room for a picture behind a condition of {given.length} tokens"
        )
    total = given.length + grid[0] * grid[1]
    places = [Piece("transformer.pos_emb", 0, min(total, block), "rows")]
    if (
        total > block
    ):  # the last token of a picture is never looked at, so its place is of no account
        places.append(Piece("transformer.pos_emb", block - 1, block, "rows"))
    pieces["places.places"] = places
    table, transforms = "transformer.tok_emb.weight", {}
    pieces["image_codes.embedding.weight"] = [Piece(table, 0, codes)]
    pieces["image_codes.head.weight"] = [Piece("transformer.head.weight", 0, codes)]
    if given.begin is not None:
        pieces["begin"] = [Piece(table, given.begin, given.begin + 1)]
        transforms["begin"] = "flatten"
    if given.ids:
        pieces["given.embedding.weight"] = [Piece(table, 0, given.ids)]
        if "picture" in given.config:
            pieces["text_head.weight"] = [Piece("transformer.head.weight", 0, given.ids)]
    drop = max(float(gpt.get(name) or 0) for name in ("resid_pdrop", "attn_pdrop"))
    shape |= {"dropout": drop, "unmasked": int(gpt.get("n_unmasked") or 0)}
    first = params.get("first_stage_config") or {}
    size = (grid[0] * factor, grid[1] * factor)
    notes = [given.notes] if given.notes else []
    if codes < vocabulary:
        notes.append(f"{vocabulary} tokens share a table; pictures have the first {codes} of them.")
    if float(params.get("pkeep", 1.0)) <= 0:
        raise ForeignError(
            "pkeep 0: a model of noise alone, which draws all tokens at once, is not supported"
        )
    return Adoption(
        layout="taming-net2net",
        config={
            "shape": shape,
            "grid": list(grid),
            "codes": codes,
            "begin": given.begin is not None,
            "head_bias": False,
            **given.config,
        },
        rename=rename,
        transforms=transforms,
        pieces=pieces,
        dropped=(*DROPPED, *given.dropped),
        parts={"tokenizer": Within(FIRST, _bare(first), size), **given.parts},
        image=(channels(keys, FIRST), *size),
        latent=grid,
        codes=codes,
        log_prob=EXACT,
        notes=" ".join(notes),
    )


def options(config: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Net2NetTransformer's arguments, wherever in a published configuration they are. Raises ForeignError."""
    found: Any = config or {}
    found = found.get("model", found)
    found = found.get("params", found) if isinstance(found, Mapping) else {}
    if not isinstance(found, Mapping) or "transformer_config" not in found:
        raise ForeignError(
            "a Net2NetTransformer's heads and conditions are in its configuration alone: put its "
            "project.yaml beside it (`transformer_config`, `first_stage_config`, `cond_stage_config`)"
        )
    return found


def stage(config: Any, keys: Keys, prefix: str) -> tuple[int, int, int]:
    """A VQ model's codes, pixels a cell, and pixels a side of its pictures."""
    names = (
        f"{prefix}quantize.used",
        f"{prefix}quantize.embedding.weight",
        f"{prefix}quantize.embed.weight",
    )
    codes = next((keys[name][0] for name in names if name in keys), None)
    if codes is None:
        raise ForeignError(
            f"the checkpoint has no VQ model under {prefix!r} ({names[1]} is not there)"
        )
    levels = {
        key[len(prefix) :].split(".")[2] for key in keys if key.startswith(f"{prefix}encoder.down.")
    }
    params = config.get("params") or {} if isinstance(config, Mapping) else {}
    resolution = (params.get("ddconfig") or {}).get("resolution") or 256
    return codes, 2 ** (len(levels) - 1), int(resolution)


def channels(keys: Keys, prefix: str) -> int:
    """Of a VQ model's pictures."""
    return keys[f"{prefix}decoder.conv_out.weight"][0]


def condition(
    params: Mapping[str, Any], keys: Keys, block: int, vocabulary: int, factor: int, side: int
) -> Condition:
    """The condition that a configuration names. Raises ForeignError for a stage that is not known."""
    named = params.get("cond_stage_config")
    target = str(named.get("target", "")) if isinstance(named, Mapping) else str(named)
    inner = (named.get("params") or {}) if isinstance(named, Mapping) else {}
    kind = target.rsplit(".", 1)[-1]
    small = int(params.get("downsample_cond_size") or -1)
    if params.get("unconditional") or target == _NONE:
        return Condition({}, 1, begin=int(params.get("sos_token") or 0))
    if kind == "SOSProvider":
        return Condition({}, 1, begin=int(inner.get("sos_token") or 0))
    if kind == "Labelator":
        classes = min(int(inner["n_classes"]), vocabulary)
        return Condition({"classes": classes}, 1, classes)
    if kind == "CoordStage":
        across, codes = (side // int(inner["down_factor"]),) * 2, int(inner["n_embed"])
        ids = min(codes, vocabulary)
        asked = {"codes": ids, "grid": list(across), "coordinates": int(inner["down_factor"])}
        return Condition({"picture": asked}, across[0] * across[1], ids)
    if kind == "DummyCondStage":
        length = block - (side // factor) ** 2
        asked = {"codes": vocabulary, "grid": [1, length]}
        told = "Its condition's tokens are made by another program: give tokens=(B, 1, n)."
        return Condition({"picture": asked}, length, vocabulary, notes=told)
    prefix = FIRST if target == _LIKE_FIRST else SECOND
    if not any(key.startswith(f"{prefix}encoder.") for key in keys):
        raise ForeignError(
            f"a condition stage {target or named!r} is not known, and the file has no {SECOND}encoder"
        )
    if target == _LIKE_FIRST:
        named = params.get("first_stage_config")
    codes, cell, own = stage(named, keys, prefix)
    pixels = small if small > 0 else own
    grid = square((pixels // cell) ** 2, "the condition")
    asked = {"codes": codes, "grid": list(grid), "part": "condition"}
    within = Within(prefix, _bare(named), (pixels, pixels))
    left = (f"{SECOND}*",) if target == _LIKE_FIRST else ()
    return Condition(
        {"picture": asked}, grid[0] * grid[1], codes, None, {"condition": within}, left
    )


def _bare(config: Any) -> Mapping[str, Any] | None:
    """A stage's configuration as its own file would have it."""
    return {"model": dict(config)} if isinstance(config, Mapping) else None
