"""``zoo list`` and ``zoo show``: what there is, without importing torch."""

import dataclasses
from typing import Any

import click

from zoo.cli.terminal import Size, json_option, print_json, size_text, table
from zoo.errors import UnknownModel


@click.command("list")
@click.argument("patterns", nargs=-1, metavar="[PATTERN]...")
@click.option("--family", default=None, help="Only models of this family (see `zoo plugins`).")
@click.option("--license", "licence", default=None, help="Only this licence; wildcards allowed.")
@click.option("--task", default=None, help="Only this task, as the hub names it.")
@click.option("--max-size", type=Size(), default=None, help="Only weights of at most 5MB, 1GB ...")
@json_option
def list_(
    patterns: tuple[str, ...],
    family: str | None,
    licence: str | None,
    task: str | None,
    max_size: int | None,
    as_json: bool,
) -> None:
    """List models by name: `zoo list`, `zoo list 'vq*' --max-size 5MB`."""
    import zoo

    names: dict[str, None] = {}
    for pattern in patterns or ("*",):
        found = zoo.list(pattern, family=family, license=licence, task=task, max_bytes=max_size)
        names.update(dict.fromkeys(found))
    rows = [_row(name) for name in names]
    if as_json:
        print_json(rows)
        return
    if not rows:
        asked = " ".join(patterns) or "*"
        raise UnknownModel(f"no model matches {asked!r} and the filters; `zoo list` shows all")
    header = ["name", "version", "family", "image", "latent", "size", "licence"]
    cells = [
        [
            row["name"], row["version"], row["family"], _shape(row["image"]), _shape(row["latent"]),
            size_text(row["bytes"]), row["license"] or "-",
        ]
        for row in rows
    ]  # fmt: skip
    click.echo(table(header, cells, right=("size",)))


@click.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show the card of a model: NAME, NAME@VERSION, hf:ORG/REPO or a folder."""
    import zoo

    card = zoo.show(name)
    if as_json:
        print_json(dataclasses.asdict(card))
    else:
        click.echo(card.text())


def _row(name: str) -> dict[str, Any]:
    import zoo

    card = zoo.show(name)
    return {
        "name": card.name,
        "version": card.version,
        "family": card.family,
        "license": card.license,
        "task": card.pipeline_tag,
        "image": card.image,
        "latent": card.latent,
        "latent_kind": card.latent_kind,
        "codes": card.codes,
        "bytes": sum(file.size for file in card.files.values()),
        "metrics": [dataclasses.asdict(metric) for metric in card.metrics],
    }


def _shape(shape: Any) -> str:
    return "-" if shape is None else "x".join(str(n) for n in shape)
