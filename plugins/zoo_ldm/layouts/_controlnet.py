"""Published ControlNets: lllyasviel's control_model.* and diffusers' ControlNetModel.

Zhang et al., arXiv:2302.05543. The U-Net's part of the names is that of the layouts of `zoo_ldm.layouts.unet`; the
convolutions that make the hint's features and those that begin at zero have names of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.adoption import Adoption
from zoo.errors import ForeignError
from zoo.layouts import Keys, agree, indices, need
from zoo_ldm.layouts.unet import Net, compvis, of_diffusers

PREFIX = "control_model."
_FIRST_SIDE = 64  # of the latents, where nothing says another


def read(keys: Keys, config: Mapping[str, Any] | None) -> Net | None:
    """Of names without a prefix: options of `zoo.nn.control.ControlNet`; None if it is of neither layout."""
    if "input_hint_block.0.weight" in keys:
        return _lllyasviel(keys, config)
    if "controlnet_cond_embedding.conv_in.weight" in keys:
        return _diffusers(keys, config)
    return None


def _lllyasviel(keys: Keys, config: Mapping[str, Any] | None) -> Net:
    own = ("input_hint_block.", "zero_convs.", "middle_block_out.")
    half = compvis({k: v for k, v in keys.items() if not k.startswith(own)}, config)
    layers = sorted(indices(keys, "input_hint_block."))
    convolutions = [f"input_hint_block.{number}" for number in layers]
    zeros = {f"zero_convs.{i}.0": f"zeros.{i}" for i in indices(keys, "zero_convs.")}
    zeros["middle_block_out.0"] = "middle"
    return _whole("controlnet", keys, half, convolutions, zeros)


def _diffusers(keys: Keys, config: Mapping[str, Any] | None) -> Net:
    half = of_diffusers({k: v for k, v in keys.items() if not k.startswith("controlnet_")}, config)
    name, said = "controlnet_cond_embedding", config or {}
    inner = [f"{name}.blocks.{i}" for i in sorted(indices(keys, f"{name}.blocks."))]
    zeros = {
        f"controlnet_down_blocks.{i}": f"zeros.{i}"
        for i in indices(keys, "controlnet_down_blocks.")
    }
    zeros["controlnet_mid_block"] = "middle"
    found = _whole(
        "diffusers-controlnet", keys, half, [f"{name}.conv_in", *inner, f"{name}.conv_out"], zeros
    )
    order = said.get("controlnet_conditioning_channel_order", "rgb")
    if order not in ("rgb", "bgr"):
        raise ForeignError(
            f"controlnet_conditioning_channel_order {order!r} is not supported; there are rgb and bgr"
        )
    agree("conditioning_channels", said.get("conditioning_channels"), found.options["hint"])
    agree(
        "conditioning_embedding_out_channels",
        said.get("conditioning_embedding_out_channels"),
        found.options["hint_widths"],
    )
    return Net(
        found.layout, {**found.options, "bgr": order == "bgr"}, found.rename, found.transforms
    )


def _whole(
    layout: str, keys: Keys, half: Net, convolutions: list[str], zeros: Mapping[str, str]
) -> Net:
    need(keys, *(f"{name}.weight" for name in (*convolutions, *zeros)))
    *inner, last = convolutions
    named = {name: f"hint.layers.{number}" for number, name in enumerate(inner)}
    named |= {last: "hint.out", **zeros}
    rename = {theirs: f"net.{ours}" for theirs, ours in half.rename.items()}
    for theirs, ours in named.items():
        rename |= {
            f"{theirs}.{each}": f"{ours}.{each}"
            for each in ("weight", "bias")
            if f"{theirs}.{each}" in keys
        }
    widths = [keys[f"{name}.weight"][0] for name in inner[::2]]
    return Net(
        layout,
        {"net": half.options, "hint": keys[f"{inner[0]}.weight"][1], "hint_widths": widths},
        rename,
        {f"net.{ours}": how for ours, how in half.transforms.items()},
        half.notes,
    )


def adopt(keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """The checkpoint as ours, if it is of either layout."""
    prefix = PREFIX if any(key.startswith(PREFIX) for key in keys) else ""
    inner = {key[len(prefix) :]: shape for key, shape in keys.items() if key.startswith(prefix)}
    found = read(inner, _own(config))
    if found is None:
        return None
    channels = found.options["hint"]
    side = _FIRST_SIDE * 2 ** (len(found.options["hint_widths"]) - 1)
    rest = sorted({key.split(".")[0] for key in keys if not key.startswith(prefix)})
    return Adoption(
        layout=found.layout,
        config={"kind": "hint", **found.options},
        rename={f"{prefix}{theirs}": f"control.{ours}" for theirs, ours in found.rename.items()},
        transforms={f"control.{ours}": how for ours, how in found.transforms.items()},
        dropped=[f"{name}*" for name in rest],
        image=(channels, side, side),
        hooks=(),
        notes=f"{found.notes} The model that it controls is not taken from this file: {rest}."
        if rest
        else found.notes,
    )


def _own(config: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """A ControlNet's own configuration within that of a whole model."""
    params = (config or {}).get("model", {}).get("params", {})
    inner: Mapping[str, Any] | None = params.get("control_stage_config", config)
    return inner
