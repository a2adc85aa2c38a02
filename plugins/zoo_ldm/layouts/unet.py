"""The conditional U-Net alone: CompVis' UNetModel with spatial transformers, diffusers' UNet2DConditionModel.

Rombach et al., arXiv:2112.10752. `read` gives the net's options and names for whatever file the net lies in; `adopt`
takes a file that holds nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from zoo.adoption import Adoption, Within
from zoo.errors import ForeignError
from zoo.layouts import Keys, agree, need
from zoo.nn.unet.published import diffusers, openai, transformer
from zoo.nn.unet.published.flags import read as flags_of
from zoo_ldm.layouts import _process

_SIDE = 64  # of the latents, where nothing says another


@dataclass(frozen=True)
class Net:
    """A U-Net found: its `layout`, options of `zoo.nn.unet.UNet`, and its tensors, theirs -> ours."""

    layout: str
    options: Mapping[str, Any]
    rename: Mapping[str, str]
    transforms: Mapping[str, str]
    notes: str = ""

    @property
    def factor(self) -> int:
        """Of the sides, between the first level and the last."""
        return int(2 ** (len(self.options["widths"]) - 1))


def read(keys: Keys, config: Mapping[str, Any] | None) -> Net | None:
    """The U-Net of these names, if they are of either layout; ForeignError for what is not supported."""
    if "output_blocks.0.0.in_layers.0.weight" in keys and all(k in keys for k in openai.SIGNS):
        return compvis(keys, config)
    if "up_blocks.0.resnets.0.conv1.weight" in keys and all(k in keys for k in diffusers.SIGNS):
        need(keys, "conv_out.weight", "conv_norm_out.weight")
        return of_diffusers(keys, config)
    return None


def compvis(keys: Keys, config: Mapping[str, Any] | None) -> Net:
    """`input_blocks.*` and so on; `config` is the class's arguments, alone or under `params`."""
    found = openai.walk(keys)
    options, notes = found.options, ""
    said = dict(config or {}).get("params", config)
    if said:
        flags = flags_of(found, said)
        options["attention"] |= flags.attention
        if flags.dropout:
            options["residual"]["dropout"] = flags.dropout
        agree("context_dim", said.get("context_dim"), options["attention"].get("context"))
    elif "context" in options["attention"]:
        known, notes = _heads(keys, options["widths"])
        options["attention"] |= known
    else:
        flags = flags_of(found, None)
        options["attention"] |= flags.attention
        notes = flags.notes
    if "out.2.weight" in keys:
        need(keys, "out.0.weight")
        found.move(keys, "out.0", "norm")
        found.move(keys, "out.2", "conv")
        seen, outputs = options["channels"], keys["out.2.weight"][0]
        options["outputs"] = outputs
        if seen > outputs:
            options |= {"channels": outputs, "concat": seen - outputs}
    if "label_emb.weight" in keys:
        options["classes"] = keys["label_emb.weight"][0]
        found.move(keys, "label_emb", "label")
    return Net("compvis-unet", options, found.rename, found.transforms(keys), notes)


def of_diffusers(keys: Keys, config: Mapping[str, Any] | None) -> Net:
    """`down_blocks.*` and so on. Raises ForeignError without a configuration."""
    if not config:
        raise ForeignError(
            "a diffusers U-Net without its config.json: the shapes do not tell groups, heads, padding and the form of "
            "the time embedding. Put it beside the weights."
        )
    options, rename = diffusers.options(keys, config), diffusers.renames(keys, config)
    return Net("diffusers-unet", options, rename, diffusers.transforms(keys, rename))


def _heads(keys: Keys, widths: Sequence[int]) -> tuple[dict[str, int], str]:
    """What no shape tells, as it is in the published nets, and a note that says so."""
    if tuple(widths) == (192, 384, 576, 960):
        return {"heads": 1}, "no configuration: one head, as in the net published for ImageNet."
    if any(key.endswith(".proj_in.weight") and len(keys[key]) == 4 for key in keys):
        return {"heads": 8}, "no configuration: 8 heads, as in Stable Diffusion 1.x."
    return {
        "head_channels": 64
    }, "no configuration: 64 channels a head, as in Stable Diffusion 2.x."


def adopt(keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """A file that holds a conditional U-Net alone, of latents whose autoencoder is not known."""
    if not any(transformer.SIGN in key for key in keys):
        return None
    net = read(keys, config)
    if net is None:
        return None
    said = config or {}
    size = said.get("sample_size") or said.get("params", said).get("image_size") or _SIDE
    scheduler = said.get("scheduler")
    notes = (
        f"{net.notes} Its autoencoder is not in this file: a latent is assumed to be 8 x 8 pixels."
    )
    if scheduler is None:
        notes += " No scheduler_config.json: Stable Diffusion's process is assumed."
    return model(
        net,
        Around(
            net.layout,
            _process.diffusers(scheduler) if scheduler else _process.STABLE,
            size=(size, size) if isinstance(size, int) else tuple(size),
        ),
        notes=notes.lstrip(),
    )


@dataclass(frozen=True)
class Around:
    """What a U-Net lies in.

    prefix      of the U-Net's names
    process     of `zoo.nn.diffusion.Process`; size (h, w) of the latents
    factor      pixels a latent, along a side; `channels` of a picture
    parts       role -> the model in the same file; `dropped` as an Adoption's
    more        of the model's configuration
    extra       their name -> ours, of what is neither the U-Net's nor a part's
    """

    layout: str
    process: Mapping[str, Any]
    size: tuple[int, int]
    prefix: str = ""
    factor: int = 8
    channels: int = 3
    parts: Mapping[str, Within] = field(default_factory=dict)
    dropped: Sequence[str] = ()
    more: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, str] = field(default_factory=dict)


def model(net: Net, around: Around, notes: str) -> Adoption:
    """A latent diffusion model of this U-Net."""
    (height, width), factor = around.size, around.factor
    channels = net.options["channels"]
    beside = net.options.get("concat", 0)
    kinds = {0: "", 1 + channels: "masked", around.channels: "low"}
    ours = {
        "image": [around.channels, factor * height, factor * width],
        "latent": [channels, height, width],
        "net": {"kind": "unet", **net.options},
        "process": dict(around.process),
        "beside": kinds.get(beside, "map"),
        "null": "context" in net.options["attention"],
        "classes": net.options.get("classes") or 0,
        **around.more,
    }
    parts = {
        role: replace(part, size=(factor * height, factor * width)) if role != "text" else part
        for role, part in around.parts.items()
    }
    return Adoption(
        layout=around.layout,
        config=ours,
        rename={around.prefix + theirs: f"network.{own}" for theirs, own in net.rename.items()}
        | dict(around.extra),
        transforms={f"network.{own}": how for own, how in net.transforms.items()},
        dropped=around.dropped,
        image=(around.channels, factor * height, factor * width),
        latent=(channels, height, width),
        multiple=None,
        log_prob={"kind": "lower bound", "over": "latents"},
        parts=parts,
        notes=notes,
    )
