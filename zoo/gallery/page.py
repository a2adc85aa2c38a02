"""Cards to one page of HTML: filters, a box a model, plots."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from zoo.card import Card, Metric
from zoo.gallery.markup import Markup, element, joined
from zoo.gallery.pictures import Picture
from zoo.gallery.plots import plots
from zoo.tables import headlines

HERE = Path(__file__).parent
SIZES = (1, 2, 5, 10, 50, 100, 500, 1000)  # MB
Entry = tuple[Card, Picture | None]


def page(entries: Sequence[Entry], title: str) -> str:
    """The page, ready to be written."""
    style = Markup((HERE / "page.css").read_text(encoding="utf-8"))
    script = Markup((HERE / "page.js").read_text(encoding="utf-8"))
    cards = [card for card, _ in entries]
    drawn = plots(cards)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(style, script)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", style),
    )
    body = element(
        "body",
        element("a", "To the models", href="#models", class_="skip"),
        element("header", element("h1", title), _filters(cards)),
        element("main", *(_model(*each) for each in entries), id="models", tabindex=-1),
        element("section", element("h2", "Measured"), drawn, id="plots") if drawn else "",
        element("script", script),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _policy(style: str, script: str) -> str:
    """Nothing from anywhere but the pictures, the style and the script that stand in the page."""
    hashes = [base64.b64encode(sha256(each.encode()).digest()).decode() for each in (style, script)]
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'"
    )


def _filters(cards: Sequence[Card]) -> Markup:
    largest = max(card.bytes for card in cards) / 1e6
    sizes = [(str(size), f"up to {size} MB") for size in SIZES if size < 2 * largest]
    return element(
        "form",
        element(
            "label", "Search ", element("input", type="search", id="text", placeholder="words", autocomplete="off")
        ),
        _choice("family", "Family", [(each, each) for each in _of(cards, "family")]),
        _choice("task", "Task", [(each, each) for each in _of(cards, "pipeline_tag")]),
        _choice("license", "Licence", [(each, each) for each in _of(cards, "license")]),
        _choice("size", "Size", sizes),
        element("button", "Clear", type="reset"),
        element("output", f"{len(cards)} models", id="count", aria_live="polite"),
        role="search",
        hidden=True,
    )  # fmt: skip


def _of(cards: Sequence[Card], field: str) -> list[str]:
    return sorted({value for card in cards if (value := getattr(card, field))})


def _choice(name: str, label: str, options: Sequence[tuple[str, str]]) -> Markup:
    every = [element("option", "all", value="")]
    every += [element("option", text, value=value) for value, text in options]
    return element("label", f"{label} ", element("select", *every, id=name))


def _model(card: Card, picture: Picture | None) -> Markup:
    heading = element(
        "h2", element("a", card.name, href=f"#{card.name}"), " ", element("small", card.version)
    )
    shown = (
        element(
            "img", src=picture.source, width=picture.width, height=picture.height, loading="lazy",
            alt=f"{picture.file} of {card.name}",
        )
        if picture
        else element("p", "No picture.", class_="none")
    )  # fmt: skip
    return element(
        "article",
        heading,
        shown,
        element("p", _first_paragraph(card.body)),
        _facts(card),
        _metrics(card),
        element("pre", element("code", f'zoo.load("{card.title}")')),
        id=card.name,
        data_family=card.family,
        data_task=card.pipeline_tag or "",
        data_license=card.license,
        data_bytes=card.bytes,
        data_words=" ".join([*(card.tags or ()), *(card.training.data if card.training else ())]),
    )


def _facts(card: Card) -> Markup:
    latents = "none"
    if card.latent is not None:
        kind = f"tokens of {card.codes:,}" if card.codes else "numbers"
        latents = f"{' × '.join(map(str, card.latent))} {kind}"
    training = card.training
    rows = [
        ("family", card.family),
        ("task", card.pipeline_tag or "-"),
        ("licence", card.license),
        ("size", f"{card.bytes / 1e6:.1f} MB"),
        ("images", " × ".join(map(str, card.image))),
        ("latents", latents),
        ("can", ", ".join(card.hooks)),
        ("log p", f"{card.log_prob.kind}, {card.log_prob.over}" if card.log_prob else "-"),
        ("trained on", ", ".join(training.data) if training and training.data else "-"),
    ]
    return element(
        "dl", *(element("div", element("dt", key), element("dd", value)) for key, value in rows)
    )


def _metrics(card: Card) -> Markup:
    if not card.metrics:
        return element("p", "Nothing measured.", class_="none")
    first = headlines(card)
    rest = tuple(each for each in card.metrics if each not in first)
    table = _table(first)
    if not rest:
        return table
    more = element("details", element("summary", f"{len(rest)} more measurements"), _table(rest))
    return joined(table, more)


def _table(metrics: Sequence[Metric]) -> Markup:
    rows = []
    for each in metrics:
        margin = f" ± {each.se:.2g}" if each.se is not None else ""
        value = f"{each.value:.5g}{margin}{f' {each.unit}' if each.unit else ''}"
        rows.append(
            element(
                "tr",
                element("th", each.name, scope="row"),
                element("td", value, title=each.command),
                element("td", each.data),
            )
        )
    return element("table", *rows)


def _first_paragraph(body: str) -> str:
    """The first words of a card's text that are no heading, without Markdown's signs."""
    for paragraph in body.split("\n\n"):
        text = " ".join(line for line in paragraph.split("\n") if line)
        if text and not text.startswith(("#", "```", "|", "!", "<!--", "- ")):
            return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text).replace("`", "").replace("**", "")
    return ""
