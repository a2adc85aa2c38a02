"""diffusers' DiTTransformer2DModel (older: Transformer2DModel) folders, facebook/DiT-XL-2-256 among them.

Each block holds embeddings of time and label of its own; the last layer takes the first block's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from zoo.adoption import Adoption
from zoo.errors import ForeignError
from zoo.layouts import Keys, agree, indices, need
from zoo_diffusion.layouts._process import diffusers

_BLOCK = "transformer_blocks.0"
_SIGNS = (
    "pos_embed.proj.weight",
    f"{_BLOCK}.norm1.emb.timestep_embedder.linear_1.weight",
    f"{_BLOCK}.norm1.linear.weight",
    "proj_out_1.weight",
    "proj_out_2.weight",
)
_INSIDE = {
    "norm1.emb.timestep_embedder.linear_1": "conditions.time.first",
    "norm1.emb.timestep_embedder.linear_2": "conditions.time.second",
    "norm1.emb.class_embedder.embedding_table": "conditions.label",
    "norm1.linear": "modulation",
    "attn1.to_q": "q",
    "attn1.to_k": "k",
    "attn1.to_v": "v",
    "attn1.to_out.0": "out",
    "norm3": "norm2",
    "ff.net.0.proj": "up",
    "ff.net.2": "down",
}
_OUTSIDE = {"pos_embed.proj": "patches", "proj_out_1": "modulation", "proj_out_2": "out"}
_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu-approximate": "gelu-tanh",
    "geglu": "geglu",
    "geglu-approximate": "gelu-sigmoid",
    "swiglu": "swiglu",
    "linear-silu": "silu",
}
_NUMBERED = re.compile(r"^transformer_blocks\.(\d+)\.(.+)\.(weight|bias)$")


def adopt(keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """The checkpoint as ours, if it is of this layout."""
    if not all(name in keys for name in _SIGNS):
        return None
    config = config or {}
    if config.get("_class_name", "DiTTransformer2DModel") not in (
        "DiTTransformer2DModel",
        "Transformer2DModel",
    ):
        return None
    net = {"kind": "dit", **_options(keys, config)}
    channels, outputs = net["channels"], net["outputs"]
    latents = channels > 3  # as all published ones have; no pictures have so many
    notes = "It draws latents of an autoencoder, which is not in this folder." if latents else ""
    if not config:
        notes = f"{notes} no configuration: 72 channels a head and 32 positions a side are assumed."
    return Adoption(
        layout="diffusers-dit",
        config={
            "net": net,
            "process": diffusers(channels, outputs, config.get("scheduler")),
            **({"space": "latents"} if latents else {}),
        },
        rename={key: _renamed(key) for key in keys if key != "pos_embed.pos_embed"},
        dropped=("pos_embed.pos_embed",),
        image=(channels, net["size"], net["size"]),
        multiple=net["patch"],
        notes=notes.strip(),
    )


def _options(keys: Keys, config: Mapping[str, Any]) -> dict[str, Any]:
    width, channels, patch, _ = keys["pos_embed.proj.weight"]
    table = f"{_BLOCK}.norm1.emb.class_embedder.embedding_table.weight"
    need(keys, table, f"{_BLOCK}.ff.net.2.weight")
    classes, outputs = keys[table][0] - 1, keys["proj_out_2.weight"][0] // patch**2
    depth, each = (
        len(indices(keys, "transformer_blocks.")),
        int(config.get("attention_head_dim", 72)),
    )
    if width % each:
        raise ForeignError(f"a width of {width} does not divide into heads of {each} channels")
    agree("num_attention_heads", config.get("num_attention_heads"), width // each)
    agree("num_layers", config.get("num_layers"), depth)
    agree("patch_size", config.get("patch_size"), patch)
    agree("in_channels", config.get("in_channels"), channels)
    agree("out_channels", config.get("out_channels"), outputs)
    agree("num_embeds_ada_norm", config.get("num_embeds_ada_norm"), classes)
    if config.get("norm_type", "ada_norm_zero") != "ada_norm_zero":
        raise ForeignError(
            f"norm_type {config['norm_type']!r} is not supported; 'ada_norm_zero' is"
        )
    said = config.get("activation_fn", "gelu-approximate")
    if said not in _ACTIVATIONS:
        raise ForeignError(
            f"activation_fn {said!r} is not supported; there are {sorted(_ACTIVATIONS)}"
        )
    inner, features = keys[f"{_BLOCK}.ff.net.2.weight"][1], f"{_BLOCK}.norm1.emb.timestep_embedder"
    options: dict[str, Any] = {
        "channels": channels,
        "outputs": outputs,
        "size": int(config.get("sample_size", 32)),
        "width": width,
        "depth": depth,
        "heads": width // each,
        "patch": patch,
        "classes": classes,
        "null": True,
        "conditions": "each",
        "split": "apart",
        "activation": _ACTIVATIONS[said],
        "bias": f"{_BLOCK}.attn1.to_q.bias" in keys,
        "affine": f"{_BLOCK}.norm3.weight" in keys,
        "eps": float(config.get("norm_eps", 1e-5)),
        "dropout": float(config.get("dropout") or 0.0),
        "time": {"width": keys[f"{features}.linear_1.weight"][1], "shift": 1.0},
    }
    if inner != 4 * width:
        options["hidden"] = inner
    return options


def _renamed(key: str) -> str:
    found = _NUMBERED.match(key)
    if found is not None and found[2] in _INSIDE:
        return f"blocks.{found[1]}.{_INSIDE[found[2]]}.{found[3]}"
    module, _, name = key.rpartition(".")
    if module not in _OUTSIDE:
        raise ForeignError(f"{key} is no tensor of a DiT")
    return f"{_OUTSIDE[module]}.{name}"
