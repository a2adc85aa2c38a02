"""OpenAI's improved-diffusion and guided-diffusion .pt files: U-Nets, and upsamplers that see a small picture.

Nichol and Dhariwal, arXiv:2102.09672; Dhariwal and Nichol, arXiv:2105.05233. The files hold a state dict alone; the
flags beside it (config.json), if there are any, are held to the shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.adoption import Adoption
from zoo.errors import ForeignError
from zoo.layouts import Keys, agree, need
from zoo.nn.unet.published.flags import read
from zoo.nn.unet.published.openai import SIGNS, walk
from zoo_diffusion.layouts._process import openai


def adopt(keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """The checkpoint as ours, if it is of this layout."""
    if (
        not all(name in keys for name in SIGNS)
        or "middle_block.1.qkv.weight" not in keys
        or "output_blocks.0.0.in_layers.0.weight" not in keys
    ):
        return None
    need(keys, "out.0.weight", "out.2.weight")
    found = walk(keys)
    flags = read(found, config)
    found.move(keys, "out.0", "norm")
    found.move(keys, "out.2", "conv")
    options = found.options
    outputs = keys["out.2.weight"][0]
    channels, low = pictures(options.pop("channels"), outputs, config)
    net: dict[str, Any] = {"kind": "unet", "channels": channels, "outputs": outputs, **options}
    if low:
        net["low"] = low
    if "label_emb.weight" in keys:
        net["classes"] = keys["label_emb.weight"][0]
        found.move(keys, "label_emb", "label")
        agree("num_classes", (config or {}).get("num_classes"), net["classes"])
    net["attention"] |= flags.attention
    if flags.dropout:
        net["residual"]["dropout"] = flags.dropout
    return Adoption(
        layout="openai-upsampler" if low else "openai-unet",
        config={"net": net, "process": openai(channels, outputs, flags.process)},
        rename=found.rename,
        transforms=found.transforms(keys),
        image=(channels, flags.size, flags.size),
        multiple=found.factor,
        notes=flags.notes,
    )


def pictures(seen: int, outputs: int, config: Mapping[str, Any] | None) -> tuple[int, int]:
    """(channels of a picture, of the small one beside it or 0). Raises ForeignError where they cannot be told."""
    config = config or {}
    learned = config.get("learn_sigma")
    channels = config.get("in_channels")
    if channels is None and learned is not None:
        channels = outputs // 2 if learned else outputs
    if channels is None:
        channels = next(
            (n for n in (3, 1, 4) if outputs in (n, 2 * n) and seen in (n, 2 * n)), seen
        )
    if seen not in (channels, 2 * channels) or outputs not in (channels, 2 * channels):
        raise ForeignError(
            f"a net that sees {seen} channels and gives {outputs}, of pictures with {channels}, is not supported: it "
            "sees a picture, or a picture and a small one, and gives as many channels or twice as many"
        )
    return channels, seen - channels
