"""A card held against the family that it names, and against what a reader of it needs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from zoo import plugins
from zoo.card import HOOKS, Card
from zoo.errors import CardError


def card_keeps_its_word(card: Card) -> None:
    """Compare what a card declares with what its family implements. Raises CardError.

    Declared are `hooks`, at least one unless the family is good for a part alone (a classifier that
    guides); a card with latents can decode, one with `log_prob` has log_prob, and the other way round.
    """
    family = plugins.family(card.family)
    undone = [hook for hook in card.hooks if hook not in family.hooks]
    if undone or (not card.hooks and set(HOOKS) & set(family.hooks)):
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


def a_licence_is_named(card: Card, folder: Path) -> str | None:
    """The weights' own licence; "unknown" helps nobody."""
    if card.license == "unknown":
        return "license: unknown. Name the licence of the weights as the hub does, or `other` with its text."
    return None


def metrics_stand_beside_their_commands(card: Card, folder: Path) -> str | None:
    """At least one number, each with the `zoo` command that measured it."""
    if not card.metrics:
        return "zoo.metrics: none. Measure: `zoo eval FOLDER --data SET --write`."
    odd = [each.name for each in card.metrics if not each.command.startswith("zoo ")]
    return f"zoo.metrics: {odd} name no `zoo` command that measures them." if odd else None


def the_training_is_told(card: Card, folder: Path) -> str | None:
    """On what, under which licences, and by which recipe."""
    training = card.training
    if training is None or not training.data or not training.licences:
        return "zoo.training: name `data` and `licences`: what the weights were made from."
    if training.recipe is not None and training.recipe not in card.files:
        return f"zoo.training.recipe: {training.recipe!r} is not among zoo.files."
    return None


def the_text_says_what_it_is(card: Card, folder: Path) -> str | None:
    """A heading, a sentence, and code that uses it."""
    if len(card.body.split()) < 30:
        return (
            "the text below the front matter says too little: what it is, what for, where it fails."
        )
    return (
        None
        if "```" in card.body
        else "the text shows no code that uses the model (a ```python block)."
    )


def pictures_are_files_of_the_card(card: Card, folder: Path) -> str | None:
    """Each picture that the text shows is there and vouched for; at least one is there."""
    shown = [each for each in _PICTURE.findall(card.body) if "://" not in each]
    missing = [each for each in shown if each not in card.files]
    if missing:
        return f"the text shows {missing}, which zoo.files does not name."
    if not any(name.endswith((".png", ".webp", ".jpg")) for name in card.files):
        return "no picture: put a sheet of samples beside the card, and its sha256 into zoo.files."
    return None


_PICTURE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")
PUBLISHING: tuple[Callable[[Card, Path], str | None], ...] = (
    a_licence_is_named,
    metrics_stand_beside_their_commands,
    the_training_is_told,
    the_text_says_what_it_is,
    pictures_are_files_of_the_card,
)
"""What a card must say before others are to use it: each gives a fault with its remedy, or None."""
