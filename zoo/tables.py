"""The table of models in the README, made from the cards."""

from __future__ import annotations

from collections.abc import Iterable

from zoo.card import Card, Metric

SHOWN = 4  # metrics of a card; the others stand in the card
HEADLINES = (  # what a card is known by, the first first
    "FD-EfficientNetLite2 of samples given captions",
    "FD-EfficientNetLite2 of samples",
    "caption accuracy",
    "log p per token",
    "bits per dimension",
    "negative log-probability",
    "accuracy",
    "edge F1",
    "edge F1 without control",
    "mean IoU",
    "mean IoU without control",
    "PSNR",
    "LPIPS (alex)",
    "codebook usage",
    "FD-EfficientNetLite2",
)
WIDTH = 200  # of a picture, in pixels
COLUMNS = ("model", "pictures", "family", "takes", "latents", "size", "license", "measured")


def card_table(cards: Iterable[Card]) -> str:
    """A Markdown table, one row a card in the order given, ending in a newline."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *(_row(card) for card in cards)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def headlines(card: Card) -> tuple[Metric, ...]:
    """The metrics that a card is known by, at most four, each on the data it was first measured on.

    The card's first where it has none of these.
    """
    named: dict[str, Metric] = {}
    for each in card.metrics:
        if _plain(each) in HEADLINES:
            named.setdefault(each.name, each)
    known = sorted(named.values(), key=lambda each: HEADLINES.index(_plain(each)))
    return tuple(known or card.metrics)[:SHOWN]


def _plain(metric: Metric) -> str:
    """Its name, without the options it was measured with."""
    name = metric.name
    return name.partition(" (")[0] if "=" in name else name


def _row(card: Card) -> tuple[str, ...]:
    latents = "-"
    if card.latent is not None:
        kind = f"tokens of {card.codes}" if card.codes is not None else card.latent_kind
        latents = f"{'x'.join(map(str, card.latent))} {kind}"
    measured = [
        f"{each.name} {each.value:.4g}{f' {each.unit}' if each.unit else ''} ({each.data})"
        for each in headlines(card)
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
