"""diffusers' UNet2DModel folders, google/ddpm-* among them; see `zoo.nn.unet.published.diffusers`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.adoption import Adoption
from zoo.errors import ForeignError
from zoo.layouts import Keys, need
from zoo.nn.unet.published import diffusers as published
from zoo_diffusion.layouts._process import diffusers


def adopt(keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """The checkpoint as ours, if it is of this layout."""
    if not all(name in keys for name in (*published.SIGNS, "up_blocks.0.resnets.0.conv1.weight")):
        return None
    config = config or {}
    if config.get("_class_name", "UNet2DModel") != "UNet2DModel":
        return None
    if any(".attn2." in key for key in keys):
        return None  # of a net that attends to something else
    if not config:
        raise ForeignError(
            "a diffusers UNet2DModel without its config.json: the shapes do not tell groups, heads, padding and the "
            "form of the time embedding. Put it beside the weights."
        )
    need(keys, "conv_out.weight", "conv_norm_out.weight")
    net = {"kind": "unet", **published.options(keys, config)}
    rename = published.renames(keys, config)
    size = config.get("sample_size") or 8 * 2 ** (len(net["widths"]) - 1)
    height, width = (size, size) if isinstance(size, int) else tuple(size)
    channels, outputs = net["channels"], net["outputs"]
    return Adoption(
        layout="diffusers-unet2d",
        config={"net": net, "process": diffusers(channels, outputs, config.get("scheduler"))},
        rename=rename,
        transforms=published.transforms(keys, rename),
        image=(channels, height, width),
        multiple=2 ** (len(net["widths"]) - 1),
        notes=""
        if "scheduler" in config
        else "no scheduler_config.json: DDPM's process is assumed.",
    )
