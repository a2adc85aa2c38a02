"""From a name to a model. `load` reads as it runs: card, parts, family, net on meta, weights."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch

from zoo import hub, weights
from zoo.card import README, WEIGHTS, Card, reference
from zoo.errors import CardError, UnknownVersion, WeightsError, listed
from zoo.foreign_models import load_foreign
from zoo.model import Device, Model, build
from zoo.plugins import family

Name = str | os.PathLike[str]


def load(
    name: Name, version: str | None = None, device: Device = None, dtype: torch.dtype | None = None
) -> Model:
    """Load a pretrained model, ready to use.

    name     "vqgan-f16", "vqgan-f16@1.0.0", "hf:org/repo@revision", a model's folder, or the path
             of a stranger's
             checkpoint that an installed family recognises
    device   where the weights go; torch's default device (the CPU, unless set) if not given
    dtype    of floating-point weights; without it half precision becomes float32 and wider types
             stay

    Raises UnknownModel, UnknownVersion, UnknownFamily, CardError, WeightsError, HubError,
    ForeignError, PluginError.
    """
    if hub.is_foreign(name):
        if version is not None:
            raise UnknownVersion(
                f"{name} is another project's checkpoint, which has no version; got {version!r}."
            )
        return load_foreign(Path(name), device, dtype)
    found = hub.resolve(name, version)
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
    return Model(card, net, hooks, dict(parts), folder=folder)


def _part(name: str, near: Path, device: Device, dtype: torch.dtype | None) -> Model:
    """A part by name@version: a folder beside the model's own, or as any other model."""
    wanted, version = reference(name)
    for folder in (near.parent / name, near.parent / wanted):
        if (folder / README).is_file() and Card.read(folder).title == name:
            return load(f"{folder.resolve()}", version, device, dtype)
    return load(wanted, version, device, dtype)
