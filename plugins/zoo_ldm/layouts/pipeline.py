"""diffusers' pipeline folders: the models that model_index.json names become one model with parts.

`unet` is the model's own; `vae` or `vqvae` its part `autoencoder`, `text_encoder` its part `text`, with the vocabulary
of `tokenizer`; the scheduler says which process the U-Net was trained with, and pictures are drawn by it unless a
sampler is asked for. A ControlNet is a model of its own: load its folder. The safety checker is not taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from zoo.adoption import Adoption, Within
from zoo.errors import ForeignError
from zoo.layouts import Keys
from zoo_diffusion import schedulers
from zoo_ldm.layouts import _process
from zoo_ldm.layouts.unet import Around, model, read

_NET = "unet."
_STAGES = ("vae", "vqvae")
_TEXT = "text_encoder"
_VQ_SCALE = 0.18215  # of a VQModel whose configuration does not say


def adopt(keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """The checkpoint as ours, if it is of this layout."""
    said = config or {}
    own = {key[len(_NET) :]: shape for key, shape in keys.items() if key.startswith(_NET)}
    if not own or not isinstance(said.get("unet"), Mapping):
        return None
    unet = said["unet"]
    net = read(own, unet)
    if net is None:
        raise ForeignError("the pipeline's unet is of no layout that is known here")
    stages = [name for name in _STAGES if name in said]
    if len(stages) != 1:
        raise ForeignError(f"a pipeline has one of {', '.join(_STAGES)}; this one has {stages}")
    (stage,) = stages
    scheduler = unet.get("scheduler")
    if scheduler is None:
        raise ForeignError(
            "the pipeline has no scheduler/scheduler_config.json, which tells the process its unet was trained with"
        )
    parts = {"autoencoder": Within(f"{stage}.", said[stage])}
    if _TEXT in said:
        parts["text"] = Within(f"{_TEXT}.", said[_TEXT])
    more: dict[str, Any] = {}
    if stage == "vqvae":
        more["scale"] = float(said[stage].get("scaling_factor") or _VQ_SCALE)
    named = str(scheduler.get("_class_name")).removeprefix("Flax")
    known = named in schedulers.OWN
    side = unet.get("sample_size") or 64
    around = Around(
        "diffusers-pipeline",
        _process.diffusers(scheduler if known else {**scheduler, "_class_name": "DDIMScheduler"}),
        (side, side) if isinstance(side, int) else tuple(side),
        _NET,
        2 ** (len(said[stage].get("block_out_channels") or (0,) * 4) - 1),
        int(said[stage].get("out_channels") or 3),
        parts,
        more=more,
    )
    notes = [
        net.notes,
        f"{said.get('_class_name')}: the safety checker and ControlNets, if any, are not part of it.",
    ]
    limits = scheduler.get("clip_sample") or scheduler.get("thresholding")
    if not known or limits:
        why = "limits what it foresees" if known else "is not known here"
        notes.append(f"Its scheduler, {named}, {why}: pictures are drawn by ours.")
    made = model(net, around, " ".join(note for note in notes if note))
    if not known or limits:
        return made
    drawn = {key: each for key, each in scheduler.items() if key != "_diffusers_version"}
    return replace(made, sampling={"scheduler": drawn})
