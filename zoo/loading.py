"""From a name to a model. `load` reads as it runs: card, parts, family, net on meta, weights."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from zoo import adapters, hub, weights
from zoo.card import README, WEIGHTS, Card, reference
from zoo.errors import (
    CardError,
    ForeignError,
    UnknownFamily,
    UnknownVersion,
    WeightsError,
    listed,
)
from zoo.foreign_models import load_foreign
from zoo.model import Device, Model, build
from zoo.plugins import family

Name = str | os.PathLike[str]


def load(
    name: Name,
    version: str | None = None,
    device: Device = None,
    dtype: torch.dtype | None = None,
    *,
    family: str | None = None,
    drop: Sequence[str] = (),
) -> Model:
    """Load a pretrained model, ready to use.

    name     "vqgan-f16", "vqgan-f16@1.0.0", "hf:org/repo@revision", a model's folder, or the path
             of a stranger's checkpoint that an installed family recognises
    device   where the weights go; torch's default device (the CPU, unless set) if not given
    dtype    of floating-point weights; without it half precision becomes float32 and wider types
             stay
    family   which to ask about a stranger's checkpoint that several recognise
    drop     names or patterns ("ema.*") of a stranger's tensors that are not wanted; without it one
             that no layout accounts for is an error, as one that is missing always is

    Raises UnknownModel, UnknownVersion, UnknownFamily, CardError, WeightsError, HubError,
    ForeignError, PluginError.
    """
    if hub.is_foreign(name):
        if version is not None:
            raise UnknownVersion(
                f"{name} is another project's checkpoint, which has no version; got {version!r}."
            )
        return replace(load_foreign(Path(name), device, dtype, family, drop), attach=attached)
    if family is not None:
        raise UnknownFamily(
            f"{name} is a model of the zoo, whose card says the family; family={family!r} is for "
            "other projects' checkpoints."
        )
    if drop:
        raise ForeignError(
            f"drop leaves out tensors of another project's checkpoint, and {name} is a model of the zoo, whose weights "
            "its card describes."
        )
    found = hub.resolve(name, version)
    if found.card.adapter is not None:
        base = _part(found.card.adapter.base, found.folder, device, dtype)
        made = adapters.put_on(base, [(found.card, found.folder, 1.0)])
        return replace(made, card=found.card, folder=found.folder)
    parts = {
        role: _part(part, found.folder, device, dtype) for role, part in found.card.parts.items()
    }
    return assemble(found.card, found.folder, parts, device, dtype)


def assemble(
    card: Card,
    folder: Path,
    parts: Mapping[str, Model],
    device: Device = None,
    dtype: torch.dtype | None = None,
) -> Model:
    """A model of a card whose files lie in `folder`, made with `parts`. Raises as `load` does."""
    device = torch.device(device) if device is not None else torch.get_default_device()
    hooks = family(card.family)
    undone = [hook for hook in card.hooks if hook not in hooks.hooks]
    if undone:
        raise CardError(
            f"{folder}: the card of {card.title} promises {listed(undone)}, which the family "
            f"{card.family!r} ({hooks.distribution}) does not give. Install the version of the "
            "family that this card was made with."
        )
    net = build(hooks, card, parts, folder=folder)
    for name, file in card.files.items():
        weights.verify(folder / name, file.sha256, file.size, again=False)
    if WEIGHTS in card.files:
        weights.load_into(net, folder / WEIGHTS, dtype, device)
    elif net.state_dict():
        raise WeightsError(
            f"{folder}: the card of {card.title} names no {WEIGHTS}, but its net has weights."
        )
    return Model(card, net, hooks, dict(parts), folder=folder, attach=attached)


def attached(base: Model, given: Name | Model) -> Model:
    """A ControlNet, by name or loaded, made with `base`, the model that it is to control.

    What the card says of the base it was trained on (`base` in its config: `model` and `weights`)
    is held against the base's own card. A stranger's says nothing; whether the nets fit is then all
    that is asked.

    Raises CardError stating both where they differ, RequestError for what is no ControlNet; and as
    `load` does.
    """
    from zoo.nn.control.base import same_base

    if isinstance(given, Model):
        control = given
    elif hub.is_foreign(given):
        control = load_foreign(Path(given), base.device, base.dtype)
    else:
        found = hub.resolve(given)
        parts = dict.fromkeys(found.card.parts, base)
        return assemble(found.card, found.folder, parts, base.device, base.dtype)
    if (said := control.card.config.get("base")) is not None:
        same_base(control.card.title, said, base.card)
    return control


def _part(name: str, near: Path, device: Device, dtype: torch.dtype | None) -> Model:
    """A part by name@version: a folder beside the model's own, or as any other model."""
    wanted, version = reference(name)
    for folder in (near.parent / name, near.parent / wanted):
        if (folder / README).is_file() and Card.read(folder).title == name:
            return load(f"{folder.resolve()}", version, device, dtype)
    return load(wanted, version, device, dtype)
