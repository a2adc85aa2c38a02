"""What OpenAI's flags say: those of the training scripts, or the arguments of the classes.

The shapes of a checkpoint tell its architecture but for three things: how many heads its attention has, in which order
a head's queries, keys and values lie, and the size of its pictures; and nothing of the process. Without flags they are
those of the published checkpoint of the same shapes, if there is one (`PUBLISHED`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zoo.errors import ForeignError
from zoo.layouts import agree
from zoo.nn.unet.published.openai import Found

_MULTIPLIERS: dict[tuple[str, int], tuple[float, ...]] = {
    ("guided", 512): (0.5, 1, 1, 2, 2, 4, 4),
    ("guided", 256): (1, 1, 2, 2, 4, 4),
    ("guided", 128): (1, 1, 2, 3, 4),
    ("guided", 64): (1, 2, 3, 4),
    ("improved", 256): (1, 1, 2, 2, 4, 4),
    ("improved", 64): (1, 2, 3, 4),
    ("improved", 32): (1, 2, 2, 2),
}
# (width, widths / width, blocks, resampled by blocks, levels with attention): size, heads or channels a head, ...
_Shape = tuple[int, tuple[float, ...], int, bool, tuple[int, ...]]
PUBLISHED: dict[_Shape, dict[str, Any]] = {
    (192, (1, 2, 3, 4), 3, True, (1, 2, 3)): {
        "size": 64,
        "head_channels": 64,
        "split": "parts",
        "schedule": "cosine",
    },
    (256, (1, 1, 2, 3, 4), 2, True, (2, 3, 4)): {"size": 128, "heads": 4},
    (256, (1, 1, 2, 2, 4, 4), 2, True, (3, 4, 5)): {"size": 256, "head_channels": 64},
    (256, (0.5, 1, 1, 2, 2, 4, 4), 2, True, (4, 5, 6)): {"size": 512, "head_channels": 64},
    (192, (1, 1, 2, 2, 4, 4), 2, True, (3, 4, 5)): {"size": 256, "heads": 4},
    (192, (1, 1, 2, 2, 4, 4), 2, True, (4, 5)): {"size": 512, "head_channels": 64},
    (128, (1, 2, 2, 2), 3, False, (1, 2)): {
        "size": 32,
        "heads": 4,
        "schedule": "cosine",
        "steps": 4000,
        "rescale_t": True,
    },
    (128, (1, 2, 3, 4), 3, False, (2, 3)): {
        "size": 64,
        "heads": 4,
        "schedule": "cosine",
        "steps": 4000,
        "rescale_t": True,
    },
    (192, (1, 2, 3, 4), 3, False, (2, 3)): {
        "size": 64,
        "heads": 4,
        "schedule": "cosine",
        "steps": 4000,
    },
    (192, (1, 1, 2, 2, 4, 4), 2, False, (4, 5)): {"size": 256, "heads": 4, "steps": 4000},
    (128, (1, 1, 2, 2, 4, 4), 2, False, (4,)): {"size": 256, "heads": 1},
}
_PROCESS = {
    "noise_schedule": "schedule",
    "diffusion_steps": "steps",
    "predict_xstart": "predict_xstart",
    "learn_sigma": "learn_sigma",
    "sigma_small": "sigma_small",
    "rescale_timesteps": "rescale_t",
}


@dataclass
class Flags:
    """What flags say that shapes do not, and `notes` on what was assumed."""

    attention: dict[str, Any] = field(default_factory=dict)
    dropout: float = 0.0
    size: int = 0
    process: dict[str, Any] = field(default_factory=dict)
    notes: str = ""


def read(found: Found, config: Mapping[str, Any] | None, classifier: bool = False) -> Flags:
    """The flags, held to the shapes. Raises ForeignError naming what disagrees."""
    if not config:
        return _published(found, classifier)
    flags = _script(config)
    if flags.get("dims", 2) != 2:
        raise ForeignError(f"dims {flags['dims']}: only pictures (2) are supported")
    said = Flags(dropout=float(flags.get("dropout") or 0.0), process=process(config))
    options = found.options
    width = options["time"]["width"]
    agree("the width", flags.get("model_channels"), width)
    agree("num_res_blocks", flags.get("num_res_blocks"), options["blocks"])
    scaled = options["residual"]["modulation"] == "scale-shift"
    agree("use_scale_shift_norm", flags.get("use_scale_shift_norm"), scaled)
    steps = flags.get("resblock_updown")
    if len(options["widths"]) > 1:
        agree("resblock_updown", steps, options["down"] == "block")
        if not steps:
            agree("conv_resample", flags.get("conv_resample"), options["down"] == "conv")
    multipliers = flags.get("channel_mult")
    if multipliers:
        agree("channel_mult", [int(m * width) for m in multipliers], options["widths"])
    rates = flags.get("attention_resolutions")
    if rates is not None:
        levels = [i for i in range(len(options["widths"])) if 2**i in rates]
        agree("the levels with attention", levels, options["attention"]["levels"])
    each = flags.get("num_head_channels", -1)
    heads, up = flags.get("num_heads", 1), flags.get("num_heads_upsample", -1)
    said.attention = {"head_channels": each} if each not in (-1, None) else {"heads": heads}
    if each in (-1, None) and up not in (-1, None, heads):
        said.attention["up_heads"] = up
    if flags.get("use_new_attention_order"):
        said.attention["split"] = "parts"
    said.size = int(flags.get("image_size") or 8 * found.factor)
    return said


def levels(config: Mapping[str, Any] | None) -> int | None:
    """How many levels the flags say there are."""
    multipliers = _script(config).get("channel_mult") if config else None
    return len(multipliers) if multipliers else None


def process(config: Mapping[str, Any]) -> dict[str, Any]:
    """The flags of the process, under our names, where they are given."""
    return {ours: config[theirs] for theirs, ours in _PROCESS.items() if theirs in config}


def _script(config: Mapping[str, Any]) -> dict[str, Any]:
    """Flags of a training script as the class's arguments; the class's as they are."""
    flags = {key.removeprefix("classifier_"): value for key, value in config.items()}
    classifier = any(key.startswith("classifier_") for key in config)
    if "num_channels" not in flags and "width" not in flags:
        return flags
    size = flags["image_size"] = flags.get("large_size", flags.get("image_size", 64))
    rates = flags.get("attention_resolutions")
    if isinstance(rates, str):
        flags["attention_resolutions"] = [size // int(each) for each in rates.split(",") if each]
    flags["model_channels"] = flags.get("width") if classifier else flags.get("num_channels")
    if classifier:
        flags["num_res_blocks"] = flags.get("depth")
        flags["num_head_channels"] = 64
    else:
        flags.setdefault("num_heads", 4)
    said = flags.get("channel_mult")
    if isinstance(said, str) and said:
        flags["channel_mult"] = [int(each) for each in said.split(",")]
    elif not said:
        guided = classifier or "resblock_updown" in flags or "num_head_channels" in flags
        family = "guided" if guided else "improved"
        flags["channel_mult"] = _MULTIPLIERS.get((family, size))
        if "large_size" in flags and size == 512:
            flags["channel_mult"] = _MULTIPLIERS["guided", 256]
    return flags


def _published(found: Found, classifier: bool) -> Flags:
    """Of the published checkpoint with these shapes; else what most have. `notes` says which."""
    options = found.options
    width = options["time"]["width"]
    if classifier:
        return Flags(
            {"head_channels": _divisor(options)},
            size=8 * found.factor,
            notes="no configuration: 64 channels a head are assumed, as in the published ones.",
        )
    shape = (
        width,
        tuple(each / width for each in options["widths"]),
        options["blocks"],
        options["down"] == "block",
        tuple(options["attention"]["levels"]),
    )
    known = dict(PUBLISHED.get(shape, {}))
    size = known.pop("size", 8 * found.factor)
    of_attention = ("heads", "head_channels", "split")
    attention: dict[str, Any] = {k: known.pop(k) for k in of_attention if k in known}
    if attention:
        notes = "no configuration: heads, size and process are those of the published checkpoint of these shapes."
    else:
        attention = {"head_channels": _divisor(options)}
        notes = (
            f"no configuration, and no published checkpoint has these shapes: {attention['head_channels']} channels a "
            f"head, pictures of {size} pixels a side and a linear schedule of 1000 steps are assumed."
        )
    return Flags(attention, size=size, process=known, notes=notes)


def _divisor(options: Mapping[str, Any]) -> int:
    """64 channels a head, or as many as divide every width with attention."""
    widths = [options["widths"][i] for i in options["attention"]["levels"]]
    widths.append(options["widths"][-1])
    return next(n for n in (64, 32, 16, 8, 4, 2, 1) if all(w % n == 0 for w in widths))
