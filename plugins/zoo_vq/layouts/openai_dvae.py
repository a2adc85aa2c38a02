"""OpenAI's discrete VAE of DALL-E (Ramesh et al., arXiv:2102.12092), its two halves or both.

Parameters are `blocks...w` and `.b`; a file with both halves prefixes them with `encoder.` and
`decoder.`. Either half alone is half a tokenizer: an encoder gives tokens, a decoder pictures.
Everything is in the shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.adoption import Adoption
from zoo.errors import ForeignError
from zoo.layouts import Keys, agree

_SIGN = "blocks.group_1.block_1.res_path.conv_1.w"
_GROUPS, _FACTOR, _SIZE = 4, 8, 256


def adopt(keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """This layout's adoption; None if the keys are of another one, ForeignError if they clash."""
    if _SIGN in keys:  # one half as it was published; its first block's first kernel is 3 or 1
        half = "encoder" if keys[_SIGN][-1] == 3 else "decoder"
        renamed = {key: f"{half}.{key}" for key in keys}
    elif f"encoder.{_SIGN}" in keys or f"decoder.{_SIGN}" in keys:
        renamed = {key: key for key in keys if key.startswith(("encoder.", "decoder."))}
    else:
        return None
    shapes = {ours: keys[key] for key, ours in renamed.items()}
    sides = {
        name: _side(shapes, name, config or {}) if f"{name}.{_SIGN}" in shapes else None
        for name in ("encoder", "decoder")
    }
    there = {name: side for name, side in sides.items() if side is not None}
    codes = {side["latent"] for side in there.values()}
    channels = {side["channels"] for side in there.values()}
    if len(codes) != 1 or len(channels) != 1:
        raise ForeignError(
            f"encoder and decoder differ: {sorted(codes)} tokens, {sorted(channels)} channels"
        )
    number, colours = codes.pop(), channels.pop()
    absent = [name for name, side in sides.items() if side is None]
    return Adoption(
        layout="openai-dvae",
        config={
            **{name: side and {"kind": "dvae", **side} for name, side in sides.items()},
            "quant_conv": False,
            "post_quant_conv": False,
            "quantizer": {"kind": "gumbel", "codes": number, "width": None},
        },
        rename=renamed,
        image=(colours, _SIZE, _SIZE),
        latent=(_SIZE // _FACTOR, _SIZE // _FACTOR),
        codes=number,
        multiple=_FACTOR,
        notes=f"Half a tokenizer: the {absent[0]} is not in this file." if absent else "",
    )


def _side(keys: Keys, name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    groups = len({key.split(".")[2] for key in keys if key.startswith(f"{name}.blocks.group_")})
    if groups != _GROUPS:
        raise ForeignError(
            f"the {name} has {groups} groups of blocks; the published ones have {_GROUPS}"
        )
    prefix = f"{name}.blocks.group_1."
    blocks = len({key[len(prefix) :].split(".")[0] for key in keys if key.startswith(prefix)})
    first, last = keys[f"{name}.blocks.input.w"], keys[f"{name}.blocks.output.conv.w"]
    agree("n_blk_per_group", config.get("n_blk_per_group"), blocks)
    agree("group_count", config.get("group_count"), groups)
    if name == "encoder":
        side = {"channels": first[1], "latent": last[0], "hidden": first[0], "blocks": blocks}
        agree("input_channels", config.get("input_channels"), side["channels"])
    else:
        side = {"channels": last[0] // 2, "latent": first[1], "hidden": last[1], "blocks": blocks}
        side["start"] = first[0]
        agree("n_init", config.get("n_init"), side["start"])
        agree("output_channels", config.get("output_channels"), side["channels"])
    agree("n_hid", config.get("n_hid"), side["hidden"])
    agree("vocab_size", config.get("vocab_size"), side["latent"])
    return side
