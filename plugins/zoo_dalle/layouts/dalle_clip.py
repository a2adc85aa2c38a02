"""DALLE-pytorch's CLIP: `text_transformer`, `visual_transformer` and their embeddings; see `zoo_dalle.clip`."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import Any

from zoo.adoption import Adoption
from zoo.errors import ForeignError
from zoo.layouts import Keys, agree
from zoo_dalle.layouts.dalle_pytorch import blocks

_SIGNS = (
    "text_emb.weight",
    "to_text_latent.weight",
    "to_visual_latent.weight",
    "to_visual_embedding.weight",
)
_NAMES = {
    "text_emb.weight": "text_embedding.weight",
    "text_pos_emb.weight": "text_places",
    "to_text_latent.weight": "text_out.weight",
    "to_visual_embedding.weight": "patches.weight",
    "to_visual_embedding.bias": "patches.bias",
    "visual_pos_emb.weight": "picture_places",
    "to_visual_latent.weight": "picture_out.weight",
    "temperature": "temperature",
}


def adopt(keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """The checkpoint as ours, if it is of this layout."""
    if not all(sign in keys for sign in _SIGNS):
        return None
    config = config or {}
    pieces, width = keys["text_emb.weight"]
    length = keys["text_pos_emb.weight"][0]
    seen, patches = keys["to_visual_embedding.weight"][0], keys["visual_pos_emb.weight"][0]
    channels = int(config.get("channels", 3))
    patch = isqrt(keys["to_visual_embedding.weight"][1] // channels)
    side = patch * isqrt(patches)
    for name, found in (
        ("dim_text", width),
        ("dim_image", seen),
        ("dim_latent", keys["to_text_latent.weight"][0]),
        ("num_text_tokens", pieces),
        ("text_seq_len", length),
        ("visual_image_size", side),
        ("visual_patch_size", patch),
    ):
        agree(name, config.get(name), found)
    rename, transforms = dict(_NAMES), dict[str, str]()
    sides = {}
    for theirs, ours, name in (
        ("text_", "text_net.", "text"),
        ("visual_", "picture_net.", "visual"),
    ):
        renamed, changes, depth = blocks(keys, f"{theirs}transformer.", f"{ours}blocks.")
        rename |= renamed
        transforms |= changes
        agree(f"{name}_enc_depth", config.get(f"{name}_enc_depth"), depth)
        heads = int(config.get(f"{name}_heads", 8))
        up = next(key for key in renamed if renamed[key].endswith("feed.up.weight"))
        qkv = next(key for key in renamed if renamed[key].endswith("attention.qkv.weight"))
        if keys[qkv][0] % (3 * heads):
            raise ForeignError(
                f"the configuration says {name}_heads is {heads}, which does not divide {keys[qkv][0] // 3} channels"
            )
        sides[name] = {
            "width": keys[qkv][1],
            "depth": depth,
            "heads": heads,
            "head": keys[qkv][0] // 3 // heads,
            "hidden": keys[up][0] // 2,
            "feed": "geglu",
            "bias_qkv": False,
            "layer_scale": True,
            "positions": "none",
            "last_norm": False,
        }
    return Adoption(
        layout="dalle-pytorch-clip",
        config={
            "clip": {
                "text": sides["text"],
                "picture": sides["visual"],
                "pieces": pieces,
                "length": length,
                "side": side,
                "patch": patch,
                "channels": channels,
                "latent": keys["to_text_latent.weight"][0],
            }
        },
        rename=rename,
        transforms=transforms,
        dropped=("*transformer.pos_emb", "*.static_mask"),
        image=(channels, side, side),
        hooks=(),
        notes="It scores pictures by a text: `zoo_dalle.clip.scorer` makes of it what `rerank=` takes.",
    )
