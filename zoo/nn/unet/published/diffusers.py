"""diffusers' UNet2DModel, UNet2DConditionModel and the encoder half of both, which ControlNets copy.

The nets are OpenAI's and CompVis' under other names; attention has three projections, in older files under the names
query, key, value and proj_attn. Up blocks count from the lowest resolution, ours from the finest. What shapes do not
tell (heads, groups, epsilons, the sinusoid, on which side a picture is padded) config.json does, so it must be there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from zoo.errors import ForeignError
from zoo.layouts import Keys, agree, indices, need
from zoo.nn.residual import ACTIVATIONS
from zoo.nn.unet.published import transformer
from zoo.nn.unet.published.shapes import one

SIGNS = (
    "conv_in.weight",
    "time_embedding.linear_1.weight",
    "down_blocks.0.resnets.0.conv1.weight",
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
# of UNet2DModel, and of UNet2DConditionModel
BLOCKS = {
    False: {
        "down": ("DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"),
        "up": ("UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"),
    },
    True: {
        "down": ("DownBlock2D", "CrossAttnDownBlock2D", "ResnetDownsampleBlock2D"),
        "up": ("UpBlock2D", "CrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
    },
}
# What a conditional net may ask for beyond this one, and the values that do not.
_PLAIN: Mapping[str, tuple[Any, ...]] = {
    "addition_embed_type": (None,),
    "attention_type": (None, "default"),
    "class_embed_type": (None, "timestep", "identity"),
    "class_embeddings_concat": (None, False),
    "conv_in_kernel": (None, 3),
    "conv_out_kernel": (None, 3),
    "cross_attention_norm": (None,),
    "dual_cross_attention": (None, False),
    "encoder_hid_dim": (None,),
    "encoder_hid_dim_type": (None,),
    "global_pool_conditions": (None, False),
    "mid_block_only_cross_attention": (None, False),
    "mid_block_type": ("UNetMidBlock2DCrossAttn",),
    "only_cross_attention": (None, False),
    "resnet_out_scale_factor": (None, 1),
    "resnet_skip_time_act": (None, False),
    "reverse_transformer_layers_per_block": (None,),
    "time_cond_proj_dim": (None,),
    "time_embedding_act_fn": (None,),
    "timestep_post_act": (None,),
}
_ORDERS = {True: "cos-sin", False: "sin-cos"}


def renames(keys: Keys, config: Mapping[str, Any]) -> dict[str, str]:
    """Their name -> ours, for every tensor that is ours. Raises ForeignError for blocks that are not supported."""
    last = len(indices(keys, "up_blocks.")) - 1
    return {key: _renamed(key, last, config.get("time_embedding_type")) for key in keys}


def _renamed(key: str, last: int, kind: str | None) -> str:
    if key == "time_proj.weight":
        return "time.frequencies" if kind == "fourier" else "time.table.weight"
    for theirs, ours in _NAMES.items():
        if key.startswith(f"{theirs}."):
            return f"{ours}.{_inside(key[len(theirs) + 1 :])}"
    found = _LEVEL.match(key)
    if found is None:
        known = sorted({each for of in BLOCKS.values() for each in (*of["down"], *of["up"])})
        raise ForeignError(f"{key}: a U-Net of other blocks than {known} is not supported")
    way, block, part, number = found[1], int(found[2]), found[3], found[4]
    level = block if way == "down" else last - block
    place = f"{_PARTS[part]}.{number}" if part in _PARTS else "resample"
    side = "descent" if way == "down" else "ascent"
    return f"{side}.levels.{level}.{place}.{_inside(key[found.end() + 1 :])}"


def _inside(name: str) -> str:
    module, _, kind = transformer.renamed(name).rpartition(".")
    return f"{_INSIDE.get(module, module)}.{kind}" if module else kind


def transforms(keys: Keys, rename: Mapping[str, str]) -> dict[str, str]:
    """For `Adoption`: convolutions of one position, in the file, that are matrices in the net."""
    return {
        ours: "squeeze-conv"
        for theirs, ours in rename.items()
        if ".attention" in ours and len(keys[theirs]) == 4
    }


def options(keys: Keys, config: Mapping[str, Any]) -> dict[str, Any]:
    """Of `zoo.nn.unet.UNet`; of a file with no way up, those of its way down.

    Raises ForeignError for what is not supported, and where the configuration disagrees with the shapes.
    """
    conditional = any(transformer.SIGN in key for key in keys)
    for way, known in BLOCKS[conditional].items():
        odd = sorted(set(_types(config, way)) - set(known))
        if odd:
            raise ForeignError(f"{way}_block_types {odd} are not supported; there are {known}")
    if conditional:
        for name, plain in _PLAIN.items():
            if name in config and config[name] not in plain:
                raise ForeignError(
                    f"{name} {config[name]!r} is not supported; there are {list(plain)}"
                )
    net = _options(keys, config, conditional)
    _check(keys, config, net)
    return net


def _options(keys: Keys, config: Mapping[str, Any], conditional: bool) -> dict[str, Any]:
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
        "widths": widths,
        "blocks": len(indices(keys, "down_blocks.0.resnets.")),
        "time": _time(keys, config),
        "attention": (_crossed if conditional else _attention)(keys, config, groups),
        "residual": residual,
        "down": one([_halving(keys, config, i) for i in steps]),
    }
    if "conv_out.weight" in keys:
        seen, outputs = options["channels"], keys["conv_out.weight"][0]
        options |= {
            "outputs": outputs,
            "up": one([_doubling(keys, levels[-1] - 1 - i) for i in steps]),
        }
        if conditional and seen > outputs:
            options |= {"channels": outputs, "concat": seen - outputs}
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


def _places(keys: Keys) -> dict[str, int]:
    """Each attention's name -> its level."""
    last = len(indices(keys, "down_blocks.")) - 1
    found: dict[str, int] = {}
    for level in range(last + 1):
        for way, block in (("down", level), ("up", last - level)):
            name = f"{way}_blocks.{block}.attentions."
            found |= {f"{name}{number}": level for number in indices(keys, name)}
    return found


def _levels(keys: Keys) -> dict[str, Any]:
    places = _places(keys)
    down, up = (
        sorted({level for name, level in places.items() if name.startswith(way)})
        for way in ("down", "up")
    )
    ups = indices(keys, "up_blocks.")
    return {"levels": down} | ({"up_levels": up} if ups and up != down else {})


def _crossed(keys: Keys, config: Mapping[str, Any], groups: int) -> dict[str, Any]:
    """Of spatial transformers. What the configuration calls the width of a head is how many there are."""
    levels = len(indices(keys, "down_blocks."))
    need(keys, f"mid_block.attentions.0.{transformer.SIGN}")
    places = {**_places(keys), "mid_block.attentions.0": levels - 1}
    heads = config.get("num_attention_heads") or config.get("attention_head_dim", 8)
    return {
        **_levels(keys),
        "heads": heads if isinstance(heads, int) else list(heads),
        **transformer.options(keys, places, levels),
    }


def _attention(keys: Keys, config: Mapping[str, Any], groups: int) -> dict[str, Any]:
    options: dict[str, Any] = {**_levels(keys), "split": "apart"}
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
    agree("in_channels", config.get("in_channels"), net["channels"] + net.get("concat", 0))
    agree("num_class_embeds", config.get("num_class_embeds"), net.get("classes"))
    attention = net["attention"]
    agree("cross_attention_dim", config.get("cross_attention_dim"), attention.get("context"))
    width = keys["down_blocks.0.resnets.0.time_emb_proj.weight"][0]
    scaled = "scale-shift" if width == 2 * net["widths"][0] else "shift"
    agree("resnet_time_scale_shift", net["residual"]["modulation"], scaled)
    if "outputs" not in net:
        return
    agree("out_channels", config.get("out_channels"), net["outputs"])
    for way in ("down", "up"):
        types = _types(config, way)
        if types:
            ordered = types if way == "down" else types[::-1]
            seen = [i for i, each in enumerate(ordered) if "Attn" in each]
            levels = attention["levels"]
            if way == "up":
                levels = attention.get("up_levels", levels)
            agree(f"{way}_block_types: levels with attention", seen, levels)
