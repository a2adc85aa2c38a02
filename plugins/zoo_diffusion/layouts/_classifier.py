"""guided-diffusion's noisy classifiers (.pt), of the family `classifier`: hence not among the layouts here.

Dhariwal and Nichol, arXiv:2105.05233. Without flags, the picture's size is read off the attention pool.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import Any

from zoo.adoption import Adoption
from zoo.errors import ForeignError
from zoo.layouts import Keys, agree
from zoo.nn.unet.published.flags import levels, read
from zoo.nn.unet.published.openai import SIGNS, Found, walk
from zoo_diffusion.layouts._process import openai

_HEADS: dict[str, dict[str, str]] = {
    "attention": {"out.0": "last", "out.2.qkv_proj": "look.qkv", "out.2.c_proj": "look.out"},
    "adaptive": {"out.0": "last", "out.3": "out"},
    "spatial": {"out.0": "hidden", "out.2": "out"},
    "spatial_v2": {"out.0": "hidden", "out.1": "norm", "out.3": "out"},
}


def adopt(keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """The checkpoint as ours, if it is of this layout."""
    other = any(key.startswith("output_blocks.") for key in keys)
    if other or not all(name in keys for name in SIGNS) or "out.0.weight" not in keys:
        return None
    pool = _pool(keys)
    found = walk(keys, levels(config))
    flags = read(found, config, classifier=True)
    options = found.options
    for theirs, ours in _HEADS[pool].items():
        found.move(keys, theirs, ours)
    last = f"{list(_HEADS[pool])[-1]}.weight"
    classes = keys[last][0]
    said = config or {}
    agree("the pool", said.get("classifier_pool", said.get("pool")), pool)
    agree("out_channels", said.get("out_channels"), classes)
    agree("in_channels", said.get("in_channels"), options["channels"])
    size = flags.size
    if pool == "attention":
        found.rename["out.2.positional_embedding"] = "look.positions"
        size = _size(keys, found)
        if config and flags.size != size and "image_size" in config:
            agree("image_size", flags.size, size)
        if "heads" in flags.attention:
            raise ForeignError("the pool 'attention' needs num_head_channels; the flags have none")
        options["size"] = size
    options["attention"] |= flags.attention
    if flags.dropout:
        options["residual"]["dropout"] = flags.dropout
    options.pop("up", None)
    known = {"process": openai(1, 1, flags.process)} if flags.process else {}
    transforms = found.transforms(keys)
    if pool == "adaptive":
        transforms["out.weight"] = "squeeze-conv"
    return Adoption(
        layout="guided-classifier",
        config={
            "classes": classes,
            "net": {"classes": classes, "pool": pool, **options},
            **known,
        },
        rename=found.rename,
        transforms=transforms,
        image=(options["channels"], size, size),
        multiple=found.factor if pool != "attention" else None,
        notes=flags.notes,
    )


def _pool(keys: Keys) -> str:
    if "out.2.positional_embedding" in keys:
        return "attention"
    if len(keys["out.0.weight"]) == 2:
        return "spatial_v2" if "out.3.weight" in keys else "spatial"
    if "out.3.weight" in keys:
        return "adaptive"
    raise ForeignError(f"a classifier whose head is none of {', '.join(_HEADS)} is not supported")


def _size(keys: Keys, found: Found) -> int:
    """One side of the pictures: the attention pool has a vector for each position, and one more."""
    positions = keys["out.2.positional_embedding"][1] - 1
    side = isqrt(positions)
    if side * side != positions:
        raise ForeignError(f"the attention pool's {positions} positions are no square")
    return side * found.factor
