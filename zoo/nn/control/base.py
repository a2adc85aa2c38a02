"""Which model a ControlNet was trained with, as its card says: by name, and by the fingerprint of its weights."""

from __future__ import annotations

from collections.abc import Mapping

from zoo.card import Card
from zoo.errors import CardError


def named(base: Card) -> dict[str, str]:
    """What a ControlNet's card says of its base: name@version, and the sha256 of its weights."""
    return {"model": base.title, "weights": "+".join(base.weights)}


def same_base(what: str, said: Mapping[str, str], base: Card) -> None:
    """Raise CardError, stating both, unless the weights of `base` are those that are `said`."""
    own = named(base)
    if said["weights"] != own["weights"]:
        raise CardError(
            f"{what} controls {said['model']} (weights {said['weights'][:12]}), and this is {own['model']} (weights "
            f"{own['weights'][:12] or 'none'}). Load {said['model']}, or train a ControlNet with {own['model']} "
            "([model.parts] base in its recipe)."
        )
