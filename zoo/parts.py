"""Models made of models: a DALL-E and its tokenizer, a latent diffusion and its autoencoder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from zoo import hub, weights
from zoo.card import Card
from zoo.errors import RequestError, WeightsError, listed, nearest

if TYPE_CHECKING:
    import torch

    from zoo.model import Model


def compose(
    name: str | os.PathLike[str],
    *,
    version: str | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    **parts: str | os.PathLike[str] | Model,
) -> Model:
    """Load a model with some of its parts swapped, as in `tokenizer="vqgan-mine"`.

    A part is given by role, as a name (or path) or as a loaded Model. A role that the card does not
    name is taken if the net can do with it (its `roles`), and stands in the card of what comes.
    Raises RequestError for a role the model has not, or a part that cannot stand in for the card's,
    with every reason; WeightsError for one whose net the model's weights do not fit; and as `zoo.load` does.
    """
    from zoo.loading import assemble, load
    from zoo.model import Model

    def loaded(part: str | os.PathLike[str] | Model) -> Model:
        return part if isinstance(part, Model) else load(part, device=device, dtype=dtype)

    if hub.is_foreign(name):
        model = load(name, version, device, dtype)
    else:
        found = hub.resolve(name, version)
        made = {}
        for role, own in found.card.parts.items():
            part = loaded(parts.get(role, own))
            reasons = misfits(hub.show(own), part.card) if role in parts else []
            if reasons:
                raise RequestError(
                    f"{part.card.title} cannot be the {role} of {found.card.title} in place of "
                    f"{own}:\n" + "\n".join(f"  {reason}" for reason in reasons)
                )
            made[role] = part
        try:
            model = assemble(found.card, found.folder, made, device, dtype)
        except WeightsError as error:
            swapped = [
                f"{made[role].card.title} for {found.card.parts[role]}"
                for role in parts
                if role in made
            ]
            if not swapped:
                raise
            raise WeightsError(
                f"With {listed(swapped)}, of which the net is made: {error}"
            ) from error
    more = {role: part for role, part in parts.items() if role not in model.card.parts}
    known = dict.fromkeys((*model.card.parts, *getattr(model.net, "roles", ())))
    for role in more:
        if role not in known:
            raise RequestError(
                f"{model.card.title} has no part {role!r}.{nearest(role, known)} Its parts: "
                f"{listed(known)}."
            )
    return extended(model, {role: loaded(part) for role, part in more.items()}) if more else model


def extended(model: Model, more: Mapping[str, Model]) -> Model:
    """The model with parts that its card does not name; it shares the model's weights.

    Raises CardError for parts that the family cannot build with.
    """
    from zoo.model import build

    parts = {**model.parts, **more}
    named = {role: part.card.title for role, part in more.items()}
    card = replace(model.card, parts={**model.card.parts, **named})
    net = build(model.hooks, card, parts, folder=model.folder)
    weights.assign(net, model.net.state_dict(), card.title, model.dtype, model.device)
    return replace(model, card=card, net=net, parts=parts)


def misfits(own: Card, other: Card) -> list[str]:
    """Why `other` cannot stand in for `own`: what its neighbours in the model would see another of.

    Empty if it can.
    """
    seen = {
        "images (C, H, W)": (own.image, other.image),
        "latents": (own.latent_kind, other.latent_kind),
        "grid of latents": (own.latent, other.latent),
        "codes (the vocabulary)": (own.codes, other.codes),
    }
    return [f"{what}: needs {a}, {other.title} has {b}" for what, (a, b) in seen.items() if a != b]
