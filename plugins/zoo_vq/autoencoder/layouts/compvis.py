"""CompVis latent-diffusion's AutoencoderKL, alone or as the `first_stage_model.*` of a file that holds nothing else.

Names are ours already. What makes the latents about N(0, 1) is not the autoencoder's here but the diffusion model's, so
a file of this layout alone has scale 1 (Stable Diffusion 1.x and 2.x: 0.18215). Source: Rombach et al.,
arXiv:2112.10752.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.adoption import Adoption
from zoo.errors import ForeignError
from zoo.layouts import Keys, agree
from zoo_vq.layouts._shapes import side
from zoo_vq.layouts.taming import DROPPED, check, options

_PREFIX = "first_stage_model."
_SIGNS = (
    "encoder.conv_in.weight",
    "encoder.down.0.block.0.norm1.weight",
    "quant_conv.weight",
    "post_quant_conv.weight",
)
_LEFT = ("loss.", "model_ema.")


def adopt(keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """The checkpoint as ours, if it is of this layout."""
    prefix = _PREFIX if keys and all(key.startswith(_PREFIX) for key in keys) else ""
    named = {key[len(prefix) :]: shape for key, shape in keys.items()}
    if not all(sign in named for sign in _SIGNS) or any(k.startswith("quantize.") for k in named):
        return None
    _, params = options(config)
    params = (params.get("first_stage_config") or {}).get("params", params)
    dd = params.get("ddconfig") or {}
    encoder, decoder = side(named, "encoder"), side(named, "decoder")
    check(dd, encoder, decoder)
    if dd.get("give_pre_end"):
        raise ForeignError(
            "give_pre_end: a decoder that stops before its last layer gives no images"
        )
    if dd.get("tanh_out"):
        decoder["tanh"] = True
    encoder["dropout"] = decoder["dropout"] = float(dd.get("dropout") or 0.0)
    moments, latent = named["quant_conv.weight"][0], named["post_quant_conv.weight"][1]
    agree("embed_dim", params.get("embed_dim"), latent)
    if moments != 2 * latent:
        raise ForeignError(
            f"quant_conv gives {moments} numbers for {latent} channels of latents: an AutoencoderKL gives a mean and "
            "a variance of each"
        )
    factor = 2 ** (len(encoder["widths"]) - 1)
    resolution = int(dd.get("resolution") or 256)
    return Adoption(
        layout="compvis-autoencoderkl",
        config={"encoder": encoder, "decoder": decoder, "latent": latent},
        rename={prefix + k: k for k in named if not k.startswith(_LEFT) and k not in DROPPED},
        dropped=DROPPED,
        image=(decoder["channels"], resolution, resolution),
        latent=(latent, resolution // factor, resolution // factor),
        multiple=factor,
        notes="" if "resolution" in dd else "no configuration: the resolution is assumed to be 256",
    )
