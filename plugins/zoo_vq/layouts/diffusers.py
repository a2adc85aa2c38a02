"""diffusers' VQModel folders: amused, latent diffusion's first stages, MoVQ (norm_type "spatial").

The net is taming's under other names; attention projections are linear layers, in older files under
the names query, key, value and proj_attn. Up blocks count from the lowest resolution, ours from the
highest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zoo.adoption import Adoption
from zoo.errors import ForeignError
from zoo.layouts import Keys, agree, count
from zoo_vq.layouts._shapes import side
from zoo_vq.layouts.taming import legacy

_SIGNS = (
    "quantize.embedding.weight",
    "quant_conv.weight",
    "encoder.down_blocks.0.resnets.0.conv1.weight",
)
_DOWN = {"DownEncoderBlock2D": False, "AttnDownEncoderBlock2D": True}
_UP = {"UpDecoderBlock2D": False, "AttnUpDecoderBlock2D": True}
_ATTENTION = {
    "group_norm": "norm",
    "spatial_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
    "query": "q",
    "key": "k",
    "value": "v",
    "proj_attn": "proj_out",
}
_RULES = [
    (re.compile(r"\.mid_block\.resnets\.0\."), r".mid.block_1."),
    (re.compile(r"\.mid_block\.resnets\.1\."), r".mid.block_2."),
    (re.compile(r"\.mid_block\.attentions\.0\."), r".mid.attn_1."),
    (re.compile(r"\.down_blocks\.(\d+)\."), r".down.\1."),
    (re.compile(r"\.resnets\.(\d+)\."), r".block.\1."),
    (re.compile(r"\.attentions\.(\d+)\."), r".attn.\1."),
    (re.compile(r"\.downsamplers\.0\."), r".downsample."),
    (re.compile(r"\.upsamplers\.0\."), r".upsample."),
    (re.compile(r"\.conv_shortcut\."), r".nin_shortcut."),
    (re.compile(r"\.conv_norm_out\."), r".norm_out."),
    (re.compile(r"^quantize\.embedding\.weight$"), r"quantizer.codebook"),
]
_UP_BLOCK = re.compile(r"\.up_blocks\.(\d+)\.")
_INSIDE = re.compile(r"(\.attn(?:_1|\.\d+)\.)(" + "|".join(map(re.escape, _ATTENTION)) + r")\.")


def adopt(keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """The checkpoint as ours, if it is of this layout."""
    if not all(k in keys for k in _SIGNS):
        return None
    config = config or {}
    if config.get("_class_name", "VQModel") != "VQModel":
        return None
    found = read(keys, config)
    codes, dim = keys["quantize.embedding.weight"]
    agree("num_vq_embeddings", config.get("num_vq_embeddings"), codes)
    agree("vq_embed_dim", config.get("vq_embed_dim"), dim)
    height, width = found.size
    return Adoption(
        layout="diffusers-vqmodel",
        config={
            "encoder": found.encoder,
            "decoder": found.decoder,
            "quantizer": legacy(codes, dim),
        },
        rename=found.rename,
        transforms=found.transforms,
        image=(found.decoder["channels"], height, width),
        latent=(height // found.factor, width // found.factor),
        codes=codes,
        multiple=found.factor,
        notes=found.notes,
    )


@dataclass(frozen=True)
class Halves:
    """Options of both halves, their tensors' names theirs -> ours, and what is done to them (ours -> transform)."""

    encoder: dict[str, Any]
    decoder: dict[str, Any]
    rename: dict[str, str]
    transforms: dict[str, str]
    size: tuple[int, int]  # (H, W) of a picture
    notes: str

    @property
    def factor(self) -> int:
        """Pixels a latent, along a side."""
        return int(2 ** (len(self.encoder["widths"]) - 1))


def read(keys: Keys, config: Mapping[str, Any], moments: int = 1) -> Halves:
    """Encoder and decoder of a VQModel, or of an AutoencoderKL, whose encoder gives `moments` = 2 numbers a latent.

    Raises ForeignError for what is incomplete or not supported, and where configuration and shapes disagree.
    """
    rename = renames(keys)
    shapes = {ours: _four(ours, keys[theirs]) for theirs, ours in rename.items()}
    encoder, decoder = side(shapes, "encoder"), side(shapes, "decoder")
    _check(config, encoder, decoder, moments)
    for options in (encoder, decoder):
        options["groups"] = int(config.get("norm_num_groups", 32))
        if config.get("act_fn", "silu") not in ("silu", "swish"):
            options["activation"] = str(config["act_fn"])
    size = config.get("sample_size") or 256
    height, width = (size, size) if isinstance(size, int) else tuple(size)
    return Halves(
        encoder,
        decoder,
        rename,
        {
            ours: "unsqueeze-conv"
            for theirs, ours in rename.items()
            if len(keys[theirs]) == 2 and ours != "quantizer.codebook"
        },
        (height, width),
        "" if config else "no configuration: 32 groups and 256 pixels a side are assumed",
    )


def renames(keys: Keys) -> dict[str, str]:
    """Their name -> ours, for every tensor."""
    last = count(keys, "decoder.up_blocks.") - 1
    return {key: _renamed(key, last) for key in keys}


def _renamed(key: str, last: int) -> str:
    for pattern, ours in _RULES:
        key = pattern.sub(ours, key)
    key = _UP_BLOCK.sub(lambda found: f".up.{last - int(found[1])}.", key)
    return _INSIDE.sub(lambda found: f"{found[1]}{_ATTENTION[found[2]]}.", key)


def _four(ours: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape, 1, 1) if len(shape) == 2 and ours != "quantizer.codebook" else shape


def _check(
    config: Mapping[str, Any], encoder: Mapping[str, Any], decoder: Mapping[str, Any], moments: int
) -> None:
    """Hold the configuration to the shapes; ForeignError names an option that disagrees."""
    widths, layers = config.get("block_out_channels"), config.get("layers_per_block")
    for options, numbers in ((encoder, moments), (decoder, 1)):
        agree("block_out_channels", widths, options["widths"])
        agree(
            "mid_block_add_attention",
            config.get("mid_block_add_attention"),
            options["middle_attention"],
        )
        agree("latent_channels", config.get("latent_channels"), options["latent"] / numbers)
    agree("layers_per_block", layers, encoder["blocks"])
    agree("layers_per_block + 1", None if layers is None else layers + 1, decoder["blocks"])
    agree("in_channels", config.get("in_channels"), encoder["channels"])
    agree("out_channels", config.get("out_channels"), decoder["channels"])
    norm = config.get("norm_type")
    agree(
        "norm_type", norm, None if norm is None else "spatial" if "spatial" in decoder else "group"
    )
    for name, known, options in (("down", _DOWN, encoder), ("up", _UP, decoder)):
        blocks = config.get(f"{name}_block_types")
        if blocks is None:
            continue
        odd = sorted(set(blocks) - set(known))
        if odd:
            raise ForeignError(
                f"{name}_block_types {odd} are not supported; there are {sorted(known)}"
            )
        levels = blocks if name == "down" else list(reversed(blocks))
        seen = [i for i, block in enumerate(levels) if known[block]]
        agree(f"{name}_block_types: levels with attention", seen, options["attention"])
