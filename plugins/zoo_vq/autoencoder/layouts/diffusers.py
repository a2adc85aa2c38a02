"""diffusers' AutoencoderKL folders: names and shapes are those of its VQModel, `zoo_vq.layouts.diffusers`.

`scaling_factor` and `shift_factor` are our scale and shift: a diffusion model sees (z - shift) * scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.adoption import Adoption
from zoo.errors import ForeignError
from zoo.layouts import Keys, agree
from zoo_vq.layouts.diffusers import read

_SIGNS = (
    "encoder.down_blocks.0.resnets.0.conv1.weight",
    "encoder.conv_out.weight",
    "decoder.conv_in.weight",
)


def adopt(keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """The checkpoint as ours, if it is of this layout."""
    if not all(sign in keys for sign in _SIGNS) or any(k.startswith("quantize.") for k in keys):
        return None
    said = config or {}
    if said.get("_class_name", "AutoencoderKL") != "AutoencoderKL":
        return None
    found = read(keys, said, moments=2)
    if "spatial" in found.decoder:
        raise ForeignError("an AutoencoderKL with spatial norms (a MoVQ's) is not supported")
    for name in ("latents_mean", "latents_std"):
        if said.get(name) is not None:
            raise ForeignError(
                f"{name} is {said[name]}: a mean and a deviation for each channel of the latents are not supported, "
                "only scaling_factor and shift_factor"
            )
    before, after = "quant_conv.weight" in keys, "post_quant_conv.weight" in keys
    agree("use_quant_conv", said.get("use_quant_conv"), before)
    agree("use_post_quant_conv", said.get("use_post_quant_conv"), after)
    latent = keys["post_quant_conv.weight"][1] if after else found.decoder["latent"]
    moments = keys["quant_conv.weight"][0] if before else found.encoder["latent"]
    if moments != 2 * latent:
        raise ForeignError(
            f"the encoder gives {moments} numbers for {latent} channels of latents: an AutoencoderKL gives a mean and "
            "a variance of each"
        )
    height, width = found.size
    return Adoption(
        layout="diffusers-autoencoderkl",
        config={
            "encoder": found.encoder,
            "decoder": found.decoder,
            "latent": latent,
            "quant_conv": before,
            "post_quant_conv": after,
            "scale": float(said.get("scaling_factor") or 0.18215),
            "shift": float(said.get("shift_factor") or 0.0),
        },
        rename=found.rename,
        transforms=found.transforms,
        image=(found.decoder["channels"], height, width),
        latent=(latent, height // found.factor, width // found.factor),
        multiple=found.factor,
        notes=found.notes and f"{found.notes}; scale 0.18215 too, diffusers' default",
    )
