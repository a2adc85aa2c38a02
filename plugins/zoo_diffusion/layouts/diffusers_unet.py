"""diffusers' UNet2DModel folders, google/ddpm-* among them.

The net is OpenAI's under other names; attention has three projections, in older files under the names query, key,
value and proj_attn. Up blocks count from the lowest resolution, ours from the finest. What shapes do not tell (heads,
groups, epsilons, the sinusoid, on which side a picture is padded) config.json does, so it must be there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from zoo.adoption import Adoption
from zoo.errors import ForeignError
from zoo.nn.residual import ACTIVATIONS
from zoo_diffusion.layouts._process import diffusers
from zoo_diffusion.layouts._shapes import Keys, agree, indices, need, one

_SIGNS = (
    "conv_in.weight",
    "time_embedding.linear_1.weight",
    "down_blocks.0.resnets.0.conv1.weight",
    "up_blocks.0.resnets.0.conv1.weight",
)
_NAMES = {
    "conv_in": "descent.stem",
    "time_embedding.linear_1": "time.first",
    "time_embedding.linear_2": "time.second",
    "class_embedding.linear_1": "label_time.first",
    "class_embedding.linear_2": "label_time.second",
    "class_embedding": "label",
    "mid_block.resnets.0": "descent.middle.first",
    "mid_block.attentions.0": "descent.middle.attention",
    "mid_block.resnets.1": "descent.middle.second",
    "conv_norm_out": "norm",
    "conv_out": "conv",
}
_INSIDE = {
    "time_emb_proj": "embed",
    "conv_shortcut": "shortcut",
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "out",
    "query": "q",
    "key": "k",
    "value": "v",
    "proj_attn": "out",
}
_LEVEL = re.compile(
    r"^(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)"
)
_PARTS = {"resnets": "blocks", "attentions": "attentions"}
_DOWN = ("DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D")
_UP = ("UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D")
_ORDERS = {True: "cos-sin", False: "sin-cos"}


def adopt(keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """The checkpoint as ours, if it is of this layout."""
    if not all(name in keys for name in _SIGNS):
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
    for way, known in (("down", _DOWN), ("up", _UP)):
        odd = sorted(set(_types(config, way)) - set(known))
        if odd:
            raise ForeignError(f"{way}_block_types {odd} are not supported; there are {known}")
    need(keys, "conv_out.weight", "conv_norm_out.weight")
    net = {"kind": "unet", **_options(keys, config)}
    _check(keys, config, net)
    rename = renames(keys, config)
    size = config.get("sample_size") or 8 * 2 ** (len(net["widths"]) - 1)
    height, width = (size, size) if isinstance(size, int) else tuple(size)
    channels, outputs = net["channels"], net["outputs"]
    return Adoption(
        layout="diffusers-unet2d",
        config={"net": net, "process": diffusers(channels, outputs, config.get("scheduler"))},
        rename=rename,
        transforms={
            ours: "squeeze-conv"
            for theirs, ours in rename.items()
            if ".attention" in ours and len(keys[theirs]) == 4
        },
        image=(channels, height, width),
        multiple=2 ** (len(net["widths"]) - 1),
        notes=""
        if "scheduler" in config
        else "no scheduler_config.json: DDPM's process is assumed.",
    )


def renames(keys: Keys, config: Mapping[str, Any]) -> dict[str, str]:
    """Their name -> ours, for every tensor that is ours. Raises ForeignError for blocks that are not supported."""
    last = len(indices(keys, "up_blocks.")) - 1
    return {key: _renamed(key, last, config.get("time_embedding_type")) for key in keys}


def _renamed(key: str, last: int, kind: str | None) -> str:
    if key == "time_proj.weight":
        return "time.frequencies" if kind == "fourier" else "time.table.weight"
    module, _, name = key.rpartition(".")
    for theirs, ours in _NAMES.items():
        if module == theirs or module.startswith(f"{theirs}."):
            return f"{_inside(ours + module[len(theirs) :])}.{name}"
    found = _LEVEL.match(module)
    if found is None:
        raise ForeignError(
            f"{key}: a UNet2DModel of other blocks than {', '.join((*_DOWN, *_UP))} is not supported"
        )
    way, block, part, number = found[1], int(found[2]), found[3], found[4]
    level = block if way == "down" else last - block
    place = f"{_PARTS[part]}.{number}" if part in _PARTS else "resample"
    side = "descent" if way == "down" else "ascent"
    return f"{side}.levels.{level}.{place}{_inside(module[found.end() :])}.{name}"


def _inside(name: str) -> str:
    for theirs, ours in _INSIDE.items():
        if name.endswith(f".{theirs}"):
            return f"{name.removesuffix(theirs)}{ours}"
    return name


def _options(keys: Keys, config: Mapping[str, Any]) -> dict[str, Any]:
    levels = sorted(indices(keys, "down_blocks."))
    widths = [keys[f"down_blocks.{i}.resnets.0.conv1.weight"][0] for i in levels]
    groups = int(config.get("norm_num_groups") or 32)
    modulation = {"default": "shift", "scale_shift": "scale-shift"}
    how = config.get("resnet_time_scale_shift", "default")
    if how not in modulation:
        raise ForeignError(
            f"resnet_time_scale_shift {how!r} is not supported; there are {sorted(modulation)}"
        )
    residual: dict[str, Any] = {
        "groups": groups,
        "eps": float(config.get("norm_eps", 1e-5)),
        "modulation": modulation[how],
        "dropout": float(config.get("dropout") or 0.0),
    }
    activation = str(config.get("act_fn", "silu"))
    if activation not in ACTIVATIONS:
        raise ForeignError(
            f"act_fn {activation!r} is not supported; there are {sorted(ACTIVATIONS)}"
        )
    if activation not in ("silu", "swish"):
        residual["activation"] = activation
    steps = range(len(levels) - 1)
    options: dict[str, Any] = {
        "channels": keys["conv_in.weight"][1],
        "outputs": keys["conv_out.weight"][0],
        "widths": widths,
        "blocks": len(indices(keys, "down_blocks.0.resnets.")),
        "time": _time(keys, config),
        "attention": _attention(keys, config, groups),
        "residual": residual,
        "down": one([_halving(keys, config, i) for i in steps]),
        "up": one([_doubling(keys, levels[-1] - 1 - i) for i in steps]),
    }
    if not any(key.startswith("mid_block.") for key in keys):
        options["middle"] = False
    if config.get("mid_block_scale_factor", 1) != 1:
        options["middle_scale"] = float(config["mid_block_scale_factor"])
    if "class_embedding.weight" in keys:
        options["classes"] = keys["class_embedding.weight"][0]
    elif "class_embedding.linear_1.weight" in keys:
        options["labels"] = "time"
    elif config.get("class_embed_type") == "identity":
        options["labels"] = "vector"
    if config.get("center_input_sample"):
        options["centre"] = True
    return options


def _time(keys: Keys, config: Mapping[str, Any]) -> dict[str, Any]:
    embed, features = keys["time_embedding.linear_1.weight"]
    kind = config.get("time_embedding_type", "positional")
    if kind == "positional":
        order = _ORDERS[bool(config.get("flip_sin_to_cos", True))]
        shift = float(config.get("freq_shift", 0))
        return {"width": features, "embed": embed, "order": order, "shift": shift}
    need(keys, "time_proj.weight")
    rows = keys["time_proj.weight"][0]
    if kind == "fourier":
        return {"width": rows, "embed": embed, "kind": "fourier", "order": "sin-cos"}
    if kind == "learned":
        return {"width": features, "embed": embed, "kind": "learned", "steps": rows}
    raise ForeignError(
        f"time_embedding_type {kind!r} is not supported; there are positional, fourier and learned"
    )


def _attention(keys: Keys, config: Mapping[str, Any], groups: int) -> dict[str, Any]:
    last = len(indices(keys, "up_blocks.")) - 1
    down = [i for i in range(last + 1) if indices(keys, f"down_blocks.{i}.attentions.")]
    up = [i for i in range(last + 1) if indices(keys, f"up_blocks.{last - i}.attentions.")]
    options: dict[str, Any] = {"levels": down, "split": "apart"}
    if up != down:
        options["up_levels"] = up
    each = config.get("attention_head_dim", 8)
    options |= {"heads": 1} if each is None else {"head_channels": int(each)}
    if not indices(keys, "mid_block.attentions."):
        options["middle"] = False
    elif "mid_block.attentions.0.group_norm.weight" not in keys:
        options["middle_groups"] = 0
    elif config.get("attn_norm_num_groups") not in (None, groups):
        options["middle_groups"] = int(config["attn_norm_num_groups"])
    return options


def _halving(keys: Keys, config: Mapping[str, Any], level: int) -> str:
    step = f"down_blocks.{level}.downsamplers.0"
    if f"{step}.norm1.weight" in keys:
        return "block"
    need(keys, f"{step}.conv.weight")
    padding = config.get("downsample_padding", 1)
    if padding not in (0, 1):
        raise ForeignError(f"downsample_padding {padding} is not supported; there are 0 and 1")
    return "conv" if padding == 1 else "conv-right"


def _doubling(keys: Keys, block: int) -> str:
    step = f"up_blocks.{block}.upsamplers.0"
    if f"{step}.norm1.weight" in keys:
        return "block"
    need(keys, f"{step}.conv.weight")
    return "conv"


def _types(config: Mapping[str, Any], way: str) -> list[str]:
    return [str(each).removeprefix("UNetRes") for each in config.get(f"{way}_block_types", ())]


def _check(keys: Keys, config: Mapping[str, Any], net: Mapping[str, Any]) -> None:
    """Hold the configuration to the shapes. Raises ForeignError naming an option that disagrees."""
    agree("block_out_channels", config.get("block_out_channels"), net["widths"])
    agree("layers_per_block", config.get("layers_per_block"), net["blocks"])
    agree("in_channels", config.get("in_channels"), net["channels"])
    agree("out_channels", config.get("out_channels"), net["outputs"])
    agree("num_class_embeds", config.get("num_class_embeds"), net.get("classes"))
    width = keys["down_blocks.0.resnets.0.time_emb_proj.weight"][0]
    scaled = "scale-shift" if width == 2 * net["widths"][0] else "shift"
    agree("resnet_time_scale_shift", net["residual"]["modulation"], scaled)
    for way in ("down", "up"):
        types = _types(config, way)
        if types:
            ordered = types if way == "down" else types[::-1]
            seen = [i for i, each in enumerate(ordered) if each.startswith("Attn")]
            attention = net["attention"]
            levels = attention["levels"]
            if way == "up":
                levels = attention.get("up_levels", levels)
            agree(f"{way}_block_types: levels with attention", seen, levels)
