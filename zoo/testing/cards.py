"""A card held against the family that it names."""

from __future__ import annotations

from zoo import plugins
from zoo.card import Card
from zoo.errors import CardError


def card_keeps_its_word(card: Card) -> None:
    """Compare what a card declares with what its family implements. Raises CardError.

    Declared are `hooks`; a card with latents can decode, one with `log_prob` has log_prob, and the
    other way round.
    """
    family = plugins.family(card.family)
    undone = [hook for hook in card.hooks if hook not in family.hooks]
    if undone or not card.hooks:
        raise CardError(
            f"{card.title}: hooks {list(card.hooks)}; the family {card.family!r} gives "
            f"{list(family.hooks)}."
        )
    if (card.log_prob is not None) != ("log_prob" in card.hooks):
        raise CardError(
            f"{card.title}: zoo.log_prob and log_prob in zoo.hooks must be given together."
        )
    if (card.latent_kind != "none") != ("decode" in card.hooks):
        raise CardError(f"{card.title}: zoo.latent and decode in zoo.hooks must be given together.")
