"""The table of models in the README, made from the cards."""

from __future__ import annotations

from collections.abc import Iterable

from zoo.card import Card

SHOWN = 4  # metrics of a card, its first; the others stand in the card
WIDTH = 200  # of a picture, in pixels
COLUMNS = ("model", "pictures", "family", "takes", "latents", "size", "license", "measured")


def card_table(cards: Iterable[Card]) -> str:
    """A Markdown table, one row a card in the order given, ending in a newline."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *(_row(card) for card in cards)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(card: Card) -> tuple[str, ...]:
    latents = "-"
    if card.latent is not None:
        kind = f"tokens of {card.codes}" if card.codes is not None else card.latent_kind
        latents = f"{'x'.join(map(str, card.latent))} {kind}"
    measured = [
        f"{each.name} {each.value:.4g}{f' {each.unit}' if each.unit else ''} ({each.data})"
        for each in card.metrics[:SHOWN]
    ]
    folder = f"model_cards/{card.name}"
    shown = f'<img src="{folder}/{card.picture}" width="{WIDTH}" alt="">' if card.picture else "-"
    return (
        f"[{card.title}]({folder}/README.md)",
        shown,
        card.family,
        "x".join(map(str, card.image)),
        latents,
        f"{card.bytes / 1e6:.1f} MB",
        card.license,
        "; ".join(measured) or "-",
    )
