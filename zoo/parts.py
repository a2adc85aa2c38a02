"""Models made of models: a DALL-E and its tokenizer, a latent diffusion and its autoencoder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from zoo import hub
from zoo.card import Card
from zoo.errors import RequestError, listed, nearest

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

    A part is given by role, as a name (or path) or as a loaded Model. Raises RequestError for a
    role the model has not, or a part that cannot stand in for the card's, with every reason; and as
    `zoo.load` does.
    """
    from zoo.loading import assemble, load
    from zoo.model import Model

    found = hub.resolve(name, version)
    for role in parts:
        if role not in found.card.parts:
            raise RequestError(
                f"{found.card.title} has no part {role!r}.{nearest(role, found.card.parts)} Its "
                f"parts: {listed(found.card.parts)}."
            )
    made = {}
    for role, own in found.card.parts.items():
        given = parts.get(role, own)
        part = given if isinstance(given, Model) else load(given, device=device, dtype=dtype)
        if role in parts:
            reasons = misfits(hub.show(own), part.card)
            if reasons:
                raise RequestError(
                    f"{part.card.title} cannot be the {role} of {found.card.title} in place of "
                    f"{own}:\n" + "\n".join(f"  {reason}" for reason in reasons)
                )
        made[role] = part
    return assemble(found.card, found.folder, made, device, dtype)


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
