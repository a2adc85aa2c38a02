"""An encoder's and decoder's architecture read off the names and shapes of taming's layout.

Every layout that shares this encoder is first renamed to taming's names; then widths, blocks,
attention and shortcuts are in the shapes. What a shape does not tell (group count, resolution,
dropout, beta) the configuration does.
"""

from __future__ import annotations

from typing import Any

from zoo.errors import ForeignError
from zoo.layouts import Keys, count


def side(keys: Keys, name: str) -> dict[str, Any]:
    """Options of zoo.nn.autoencoder's Encoder ("encoder") or Decoder ("decoder") for these shapes.

    Raises ForeignError when something every such net has is not there.
    """
    levels = "down" if name == "encoder" else "up"
    depth = count(keys, f"{name}.{levels}.")
    needed = [f"{name}.conv_in.weight", f"{name}.conv_out.weight"]
    needed += [f"{name}.{levels}.{i}.block.0.conv1.weight" for i in range(max(1, depth))]
    missing = [k for k in needed if k not in keys]
    if missing:
        raise ForeignError(f"the {name} lacks {missing[0]}; the checkpoint is incomplete")
    widths = [keys[f"{name}.{levels}.{i}.block.0.conv1.weight"][0] for i in range(depth)]
    blocks = {count(keys, f"{name}.{levels}.{i}.block.") for i in range(depth)}
    if len(blocks) != 1:
        raise ForeignError(
            f"the {name}'s levels have {sorted(blocks)} blocks; they must have one number"
        )
    seen = [i for i in range(depth) if count(keys, f"{name}.{levels}.{i}.attn.")]
    middle = any(k.startswith(f"{name}.mid.attn_1.") for k in keys)
    linear = any(".attn" in k and k.endswith(".to_qkv.weight") for k in keys if k.startswith(name))
    first, last = keys[f"{name}.conv_in.weight"], keys[f"{name}.conv_out.weight"]
    resampling = f"{name}.down.0.downsample" if name == "encoder" else f"{name}.up.1.upsample"
    options: dict[str, Any] = {
        "channels": first[1] if name == "encoder" else last[0],
        "latent": last[0] if name == "encoder" else first[1],
        "widths": widths,
        "blocks": blocks.pop(),
        "attention": seen,
        "middle_attention": middle,
        "resample_conv": depth == 1 or f"{resampling}.conv.weight" in keys,
    }
    if linear:
        options["attention_kind"] = "linear"
    if name == "encoder" and first[0] != widths[0]:
        options["stem"] = first[0]
    spatial = keys.get("decoder.norm_out.conv_y.weight")
    if name == "decoder" and spatial is not None:
        options["spatial"] = spatial[1]
    return options
