"""LlamaGen's GPT (Sun et al., 2024, arXiv:2406.06525), class- or caption-conditional.

The weights are in `model`; the tokenizer (VQ-8 or VQ-16) is a file of its own. `up` has W_v (their w3) above W_g (w1).
Source: FoundationVision/LlamaGen, autoregressive/models/gpt.py (MIT).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.adoption import Adoption, Piece
from zoo.errors import ForeignError
from zoo.layouts import Keys, agree, count
from zoo_dalle.layouts._shapes import EXACT, square

_SIGNS = (
    "tok_embeddings.weight",
    "layers.0.attention.wqkv.weight",
    "layers.0.feed_forward.w3.weight",
)
_CLASSES = "cls_embedding.embedding_table.weight"
_CAPTION = "cls_embedding.cap_proj.fc1.weight"
_BLOCK = {
    "attention.wqkv.weight": "attention.qkv.weight",
    "attention.wo.weight": "attention.out.weight",
    "feed_forward.w2.weight": "feed.down.weight",
    "attention_norm.weight": "norm_attention.weight",
    "ffn_norm.weight": "norm_feed.weight",
}


def adopt(keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """The checkpoint as ours, if it is of this layout."""
    if not all(sign in keys for sign in _SIGNS) or not (_CLASSES in keys or _CAPTION in keys):
        return None
    config = config or {}
    if "n_head" not in config:
        raise ForeignError(
            "a LlamaGen GPT's heads are in no tensor: put a config.json beside it with its ModelArgs "
            "(n_head, n_kv_head, block_size, ...)"
        )
    codes, width = keys["tok_embeddings.weight"]
    depth, heads = count(keys, "layers."), int(config["n_head"])
    kv_heads = int(config.get("n_kv_head") or heads)
    hidden = keys["layers.0.feed_forward.w1.weight"][0]
    agree("dim", config.get("dim"), width)
    agree("n_layer", config.get("n_layer"), depth)
    agree("vocab_size", config.get("vocab_size"), codes)
    if width % heads:
        raise ForeignError(
            f"the configuration says {heads} heads, which do not divide the width {width}"
        )
    rows = (heads + 2 * kv_heads) * (width // heads)
    agree(
        f"(n_head + 2 n_kv_head) channels with {heads} and {kv_heads} heads",
        rows,
        keys[_SIGNS[1]][0],
    )
    grid = square(int(config.get("block_size") or 256), "block_size")
    rename = {
        "tok_embeddings.weight": "image_codes.embedding.weight",
        "output.weight": "image_codes.head.weight",
        "norm.weight": "transformer.norm.weight",
    }
    pieces = {}
    for layer in range(depth):
        theirs, ours = f"layers.{layer}.", f"transformer.blocks.{layer}."
        rename |= {theirs + old: ours + new for old, new in _BLOCK.items()}
        pieces[f"{ours}feed.up.weight"] = [
            Piece(f"{theirs}feed_forward.{each}.weight") for each in ("w3", "w1")
        ]
    given = _classes(keys, config, rename) if _CLASSES in keys else _captions(keys, config, rename)
    drop = max(float(config.get(f"{name}_dropout_p") or 0) for name in ("resid", "ffn"))
    ours_config = {
        "shape": {
            "width": width,
            "depth": depth,
            "heads": heads,
            "kv_heads": 0 if kv_heads == heads else kv_heads,
            "hidden": hidden,
            "norm": "rms",
            "eps": float(config.get("norm_eps", 1e-5)),
            "feed": "swiglu",
            "bias": False,
            "positions": "none",
            "rotary": "llamagen",
            "theta": float(config.get("rope_base", 10000)),
            "dropout": drop,
        },
        "grid": list(grid),
        "codes": codes,
        "begin": False,
        "head_bias": False,
        **given,
    }
    factor = 16
    return Adoption(
        layout="llamagen-gpt",
        config=ours_config,
        rename=rename,
        pieces=pieces,
        dropped=("freqs_cis",),
        image=(3, grid[0] * factor, grid[1] * factor),
        latent=grid,
        codes=codes,
        log_prob=EXACT,
        notes="Its tokenizer (LlamaGen's VQ-16) is a file of its own: convert it too, and name it in the card's parts.",
    )


def _classes(keys: Keys, config: Mapping[str, Any], rename: dict[str, str]) -> dict[str, Any]:
    rename[_CLASSES] = "given.embedding.weight"
    rows = keys[_CLASSES][0]
    classes = int(config.get("num_classes", rows - 1))
    null = rows == classes + 1
    if not null:
        agree("num_classes", classes, rows)
    return {"classes": classes, "null": null}


def _captions(keys: Keys, config: Mapping[str, Any], rename: dict[str, str]) -> dict[str, Any]:
    rename["cls_embedding.cap_proj.fc1.weight"] = "given.inward.weight"
    rename["cls_embedding.cap_proj.fc2.weight"] = "given.outward.weight"
    rename["cls_embedding.uncond_embedding"] = "given.absent"
    rows, features = keys["cls_embedding.uncond_embedding"]
    agree("caption_dim", config.get("caption_dim"), features)
    length = int(config.get("cls_token_num", rows))
    return {"captions": {"length": length, "features": features, "rows": rows}, "null": True}
