"""taming-transformers' VQModel and GumbelVQ, and CompVis latent-diffusion's VQModel(Interface).

Names are ours already but for the quantizer's. `model.yaml` has `model.target` and `model.params`
with `ddconfig`; without it the shapes tell everything but the resolution. Source: Esser et al.,
arXiv:2012.09841; Rombach et al., arXiv:2112.10752.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.adoption import Adoption
from zoo.errors import ForeignError
from zoo.layouts import Keys, agree
from zoo_vq.layouts._shapes import side

# What training left in the checkpoint: discriminator and LPIPS, EMA copies, segmentation colours,
# log-variance.
DROPPED = ("loss.*", "model_ema.*", "colorize", "logvar")
_SIGNS = (
    "encoder.conv_in.weight",
    "encoder.down.0.block.0.norm1.weight",
    "quant_conv.weight",
    "post_quant_conv.weight",
)
_RENAMED = {
    "quantize.embedding.weight": "quantizer.codebook",
    "quantize.embed.weight": "quantizer.codebook",
    "quantize.proj.weight": "quantizer.proj.weight",
    "quantize.proj.bias": "quantizer.proj.bias",
    "quantize.used": "remap.used",
}


def adopt(keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """The checkpoint as ours, if it is of this layout."""
    gumbel = "quantize.embed.weight" in keys and "quantize.proj.weight" in keys
    if not all(k in keys for k in _SIGNS) or not (gumbel or "quantize.embedding.weight" in keys):
        return None
    target, params = options(config)
    dd = params.get("ddconfig") or {}
    encoder, decoder = side(keys, "encoder"), side(keys, "decoder")
    check(dd, encoder, decoder)
    if dd.get("give_pre_end"):
        raise ForeignError(
            "give_pre_end: a decoder that stops before its last layer gives no images"
        )
    encoder["dropout"] = decoder["dropout"] = float(dd.get("dropout") or 0.0)
    if dd.get("tanh_out") and not target.startswith("taming."):  # taming ignores it
        decoder["tanh"] = True
    codes, dim = keys["quantize.embed.weight" if gumbel else "quantize.embedding.weight"]
    agree("n_embed", params.get("n_embed"), codes)
    agree("embed_dim", params.get("embed_dim"), dim)
    ours: dict[str, Any] = {"encoder": encoder, "decoder": decoder}
    if gumbel:
        ours["quantizer"] = {
            "kind": "gumbel",
            "codes": codes,
            "width": dim,
            "dim": keys["quantize.proj.weight"][1],
            "kl_weight": float(params.get("kl_weight", 1e-8)),
            "temperature": _temperature(params),
        }
    else:
        ours["quantizer"] = legacy(codes, dim)
    used = keys.get("quantize.used")
    if used is not None and gumbel:
        raise ForeignError("a GumbelVQ with renumbered tokens (quantize.used) is not supported")
    if used is not None:
        ours["remap"] = {"used": used[0], "unknown": params.get("unknown_index", "random")}
    factor = 2 ** (len(encoder["widths"]) - 1)
    side_length = int(dd.get("resolution") or 256)
    return Adoption(
        layout=_layout(gumbel, target),
        config=ours,
        rename={k: _RENAMED.get(k, k) for k in keys if not _left(k)},
        dropped=DROPPED,
        image=(decoder["channels"], side_length, side_length),
        latent=(side_length // factor, side_length // factor),
        codes=used[0] if used is not None else codes,
        multiple=factor,
        notes="" if "resolution" in dd else "no configuration: the resolution is assumed to be 256",
    )


def legacy(codes: int, dim: int, beta: float = 0.25) -> dict[str, Any]:
    """VectorQuantizer2 as published: beta, by mistake, on the codebook's term."""
    return {
        "kind": "vector",
        "codes": codes,
        "dim": dim,
        "learn": "gradient",
        "commitment": 1.0,
        "codebook_weight": beta,
        "statistics": False,
    }


def options(config: Mapping[str, Any] | None) -> tuple[str, Mapping[str, Any]]:
    """(target, params) of a published configuration, wherever its top is; ("", {}) without one."""
    found: Any = config or {}
    found = found.get("model", found) if isinstance(found, Mapping) else {}
    if isinstance(found, Mapping) and "params" in found:
        return str(found.get("target", "")), found["params"] or {}
    return "", found if isinstance(found, Mapping) and "ddconfig" in found else {}


def check(dd: Mapping[str, Any], encoder: Mapping[str, Any], decoder: Mapping[str, Any]) -> None:
    """Hold a `ddconfig` to the shapes. Raises ForeignError naming the option that disagrees."""
    multipliers, width = dd.get("ch_mult"), dd.get("ch")
    if multipliers is not None and width is not None:
        agree("ch * ch_mult", [width * m for m in multipliers], encoder["widths"])
        agree("ch * ch_mult", [width * m for m in multipliers], decoder["widths"])
    blocks = dd.get("num_res_blocks")
    agree("num_res_blocks", blocks, encoder["blocks"])
    agree("num_res_blocks + 1", None if blocks is None else blocks + 1, decoder["blocks"])
    agree("z_channels", dd.get("z_channels"), decoder["latent"])
    agree("in_channels", dd.get("in_channels"), encoder["channels"])
    agree("out_ch", dd.get("out_ch"), decoder["channels"])
    resolutions, start = dd.get("attn_resolutions"), dd.get("resolution")
    if resolutions is not None and start is not None and dd.get("attn_type") != "none":
        levels = range(len(encoder["widths"]))
        seen = [i for i in levels if start // 2**i in resolutions]
        agree("the levels with attention", seen, encoder["attention"])
        agree("the levels with attention", seen, decoder["attention"])
    if "resamp_with_conv" in dd and len(encoder["widths"]) > 1:
        agree("resamp_with_conv", bool(dd["resamp_with_conv"]), encoder["resample_conv"])


def _temperature(params: Mapping[str, Any]) -> float:
    """Of the first training step by the configuration's schedule; 1 without one."""
    schedule = (params.get("temperature_scheduler_config") or {}).get("params") or {}
    first = "lr_start" if schedule.get("warm_up_steps") else "lr_max"
    return float(schedule.get(first, 1.0))


def _layout(gumbel: bool, target: str) -> str:
    if gumbel:
        return "taming-gumbelvq"
    return "compvis-ldm-vq" if target.startswith("ldm.") else "taming-vqgan"


def _left(key: str) -> bool:
    return key.startswith(("loss.", "model_ema.")) or key in ("colorize", "logvar")
