"""LlamaGen's image tokenizers VQ-8 and VQ-16 (Sun et al., arXiv:2406.06525).

taming's net under other names: `conv_blocks.N.{res, attn, downsample | upsample}` and `mid.0..2`;
the decoder's list runs from the lowest resolution. Codes and latents lie on the unit sphere, beta
weighs the commitment, and an entropy term keeps codes in use. The stored `codebook_used` is the
trainer's memory of recent tokens; it is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from zoo.adoption import Adoption
from zoo.layouts import Keys, agree, count
from zoo_vq.layouts._shapes import side

_SIGNS = (
    "quantize.embedding.weight",
    "quant_conv.weight",
    "encoder.conv_blocks.0.res.0.conv1.weight",
    "encoder.mid.0.conv1.weight",
)
_USED = "quantize.codebook_used"
_BLOCK = re.compile(r"^(encoder|decoder)\.conv_blocks\.(\d+)\.")
_MIDDLE = {"0": "block_1", "1": "attn_1", "2": "block_2"}
_MID = re.compile(r"\.mid\.([012])\.")


def adopt(keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """The checkpoint as ours, if it is of this layout."""
    if not all(k in keys for k in _SIGNS):
        return None
    config = config or {}
    last = count(keys, "decoder.conv_blocks.") - 1
    rename = {k: _renamed(k, last) for k in keys if k != _USED}
    shapes = {ours: keys[theirs] for theirs, ours in rename.items()}
    encoder, decoder = side(shapes, "encoder"), side(shapes, "decoder")
    _check(config, encoder, decoder)
    encoder["dropout"] = decoder["dropout"] = float(config.get("dropout_p") or 0.0)
    codes, dim = keys["quantize.embedding.weight"]
    agree("codebook_size", config.get("codebook_size"), codes)
    agree("codebook_embed_dim", config.get("codebook_embed_dim"), dim)
    factor = 2 ** (len(encoder["widths"]) - 1)
    size = int(config.get("image_size") or 256)
    return Adoption(
        layout="llamagen-vq",
        config={
            "encoder": encoder,
            "decoder": decoder,
            "quantizer": {
                "kind": "vector",
                "codes": codes,
                "dim": dim,
                "learn": "gradient",
                "cosine": bool(config.get("codebook_l2_norm", True)),
                "commitment": float(config.get("commit_loss_beta", 0.25)),
                "codebook_weight": 1.0,
                "entropy": float(config.get("entropy_loss_ratio", 0.0)),
                "statistics": False,
            },
        },
        rename=rename,
        dropped=(_USED,),
        image=(decoder["channels"], size, size),
        latent=(size // factor, size // factor),
        codes=codes,
        multiple=factor,
        notes=""
        if config
        else "no configuration: codes on the unit sphere are assumed, as in the published ones",
    )


def _renamed(key: str, last: int) -> str:
    def level(found: re.Match[str]) -> str:
        number = int(found[2])
        return (
            f"encoder.down.{number}." if found[1] == "encoder" else f"decoder.up.{last - number}."
        )

    key = _BLOCK.sub(level, key).replace(".res.", ".block.")
    key = _MID.sub(lambda found: f".mid.{_MIDDLE[found[1]]}.", key)
    return "quantizer.codebook" if key == "quantize.embedding.weight" else key


def _check(
    config: Mapping[str, Any], encoder: Mapping[str, Any], decoder: Mapping[str, Any]
) -> None:
    width = int(config.get("ch") or 128)
    for name, options in (("encoder", encoder), ("decoder", decoder)):
        multipliers = config.get(f"{name}_ch_mult")
        widths = None if multipliers is None else [width * m for m in multipliers]
        agree(f"{name}_ch_mult", widths, options["widths"])
        agree("z_channels", config.get("z_channels"), options["latent"])
    blocks = config.get("num_res_blocks")
    agree("num_res_blocks", blocks, encoder["blocks"])
    agree("num_res_blocks + 1", None if blocks is None else blocks + 1, decoder["blocks"])
