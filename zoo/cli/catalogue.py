"""``zoo list`` and ``zoo show``: what there is, without importing torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.terminal import Size, json_option, print_json, size_text
from zoo.columns import columns, visible
from zoo.errors import UnknownModel, listed, nearest

if TYPE_CHECKING:
    from zoo.card import Card


@click.command("list", short_help="List models, by wildcards and filters.")
@click.argument("patterns", nargs=-1, metavar="[PATTERN]...")
@click.option("--family", default=None, help="Only this family; see `zoo plugins`.")
@click.option("--license", "licence", default=None, help="Only this licence, as the hub names it.")
@click.option("--task", default=None, help="Only this task: image-to-image, text-to-image ...")
@click.option("--max-size", type=Size(), default=None, help="At most so many bytes: 5MB, 1GB.")
@json_option
def list_(
    patterns: tuple[str, ...],
    family: str | None,
    licence: str | None,
    task: str | None,
    max_size: int | None,
    as_json: bool,
) -> None:
    """List models, newest version of each: `zoo list`, `zoo list 'vq*' --max-size 5MB`.

    PATTERN, --family, --license and --task may hold wildcards.
    """
    from zoo import hub

    found = {
        each.name: each
        for pattern in patterns or ("*",)
        for each in hub.cards(pattern, family, licence, task, max_size)
    }
    if as_json:
        print_json(
            [
                {**_facts(each.card), "name": each.name, "source": each.source}
                for each in found.values()
            ]
        )
        return
    if not found:
        names = hub.names()
        close = nearest(patterns[0], names) if patterns else ""
        filters = {
            "--family": family,
            "--license": licence,
            "--task": task,
            "--max-size": None if max_size is None else size_text(max_size),
        }
        asked = [
            *patterns,
            *(f"{key} {value}" for key, value in filters.items() if value is not None),
        ]
        if not asked:
            click.echo("No model is on this machine yet; `zoo pull hf:ORG/REPO` fetches one.")
            return
        raise UnknownModel(
            f"No model matches {', '.join(asked)}.{close} There are: {listed(names)}."
        )
    header = ["name", "version", "family", "images", "latents", "size", "licence"]
    rows = [
        [
            name, card.version, card.family, _sides(card.image), _latents(card),
            size_text(card.bytes), card.license,
        ]
        for name, card in ((name, each.card) for name, each in found.items())
    ]  # fmt: skip
    click.echo(columns(header, rows, right=("size",)))


@click.command(short_help="Show a model's card.")
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show the card of NAME: a model, NAME@VERSION, hf:ORG/REPO, or a folder."""
    import zoo

    card = zoo.show(name)
    if as_json:
        print_json(dataclasses.asdict(card))
    else:
        click.echo(visible(card.text().rstrip()))


def _facts(card: Card) -> dict[str, Any]:
    """What a script wants to choose by; `zoo show --json` gives the rest."""
    keys = ("name", "version", "family", "license", "pipeline_tag", "image", "latent",
            "latent_kind", "codes", "hooks", "bytes")  # fmt: skip
    metrics = [dataclasses.asdict(metric) for metric in card.metrics]
    return {**{key: getattr(card, key) for key in keys}, "metrics": metrics}


def _sides(shape: Sequence[int]) -> str:
    return "x".join(str(side) for side in shape)


def _latents(card: Card) -> str:
    if card.latent is None:
        return "-"
    kind = f"tokens of {card.codes}" if card.codes else card.latent_kind
    return f"{_sides(card.latent)} {kind}"
