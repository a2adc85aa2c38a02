"""``zoo data``: build the sets that models are trained and measured on, and look at them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from zoo.cli.terminal import json_option, print_json
from zoo.columns import columns


@click.group()
def data() -> None:
    """Build data sets from packages, list them, look at them."""


@data.command()
@click.argument("name")
@click.option("--size", type=click.IntRange(min=1), default=None, help="Pixels a side.")
@click.option(
    "-o", "--out", type=click.Path(file_okay=False, path_type=Path), default=None,
    help="Folder to build in. [the store]",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Build again what is built already.")
@json_option
def build(name: str, size: int | None, out: Path | None, force: bool, as_json: bool) -> None:
    """Build the set NAME (see `zoo data list`), fetching its packages by name and hash."""
    from zoo import data as sets

    folder = sets.build(name, size, out, force)
    about = json.loads((folder / "data.json").read_text(encoding="utf-8"))
    if as_json:
        print_json({"folder": str(folder), **about})
    else:
        click.echo(f"{name}: {_counts(about)}in {folder}")


@data.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the sets that can be built, and where they are if they are."""
    from zoo import data as sets
    from zoo.data import built

    rows: list[dict[str, Any]] = []
    for name, about in sets.names().items():
        places = [str(path) for path in built() if path.name.rpartition("-")[0] == name]
        if not places and (sets.place(name) / "data.json").is_file():
            places = [str(sets.place(name))]
        rows.append({"name": name, "about": about, "built": places})
    if as_json:
        print_json(rows)
        return
    cells = [[row["name"], ", ".join(row["built"]) or "-", row["about"]] for row in rows]
    click.echo(columns(["name", "built", "about"], cells))


@data.command()
@click.argument("name")
@click.option("--split", default="train", show_default=True)
@click.option("--size", type=click.IntRange(min=1), default=None, help="Pixels a side.")
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), default=None,
    help="Also write a sheet of its pictures to this PNG.",
)  # fmt: skip
@click.option(
    "-n", "--count", type=click.IntRange(min=1), default=96, help="Pictures on the sheet."
)
@json_option
def show(
    name: str, split: str, size: int | None, out: Path | None, count: int, as_json: bool
) -> None:
    """Say what is in a built set, or a folder of pictures, and show some of it."""
    from zoo import data as sets

    pictures = sets.open_set(name, split, size)
    first = pictures[0] if len(pictures) else {}
    facts = {
        "name": getattr(pictures, "name", name),
        "split": split,
        "count": len(pictures),
        "shape": next((list(first[k].shape) for k in ("image", "tokens") if k in first), None),
        "tokenizer": getattr(pictures, "tokenizer", {}).get("model"),
        "licences": list(getattr(pictures, "licences", ())),
        "first": {
            key: value for key, value in first.items() if key not in ("image", "tokens", "mirrored")
        },
        "sheet": str(sets.preview(pictures, out, count)) if out else None,
    }
    if as_json:
        print_json(facts)
        return
    for key, value in facts.items():
        if value not in (None, [], {}):
            text = ", ".join(map(str, value)) if isinstance(value, list) else value
            click.echo(f"{key:9} {text}")


@data.command()
@click.argument("name")
@click.option("--split", default="train", show_default=True)
@click.option("--size", type=click.IntRange(min=1), default=None, help="Pixels a side.")
@click.option("-n", "--count", type=click.IntRange(min=1), default=None, help="[all; of --new 16]")
@click.option(
    "--new", is_flag=True,
    help="Pairs of style and concept that no picture shows, of styles and concepts trained on.",
)  # fmt: skip
@json_option
def captions(
    name: str, split: str, size: int | None, count: int | None, new: bool, as_json: bool
) -> None:
    """Print the captions of a set, one a line, COUNT of them spread evenly.

    Prompts for a model that never saw the pairs: `zoo data captions icons --new > prompts.txt`,
    then `zoo sample MODEL --texts-file prompts.txt --labelled --trained-on icons`.
    """
    from zoo.data import open_set
    from zoo.data.captions import captions_of
    from zoo.data.pairs import new_pairs

    if new:
        training, others = (captions_of(open_set(name, each, size)) for each in ("train", "test"))
        found = new_pairs(training, others, count or 16)
    else:
        every = captions_of(open_set(name, split, size))
        shown = min(count or len(every), len(every))
        found = [every[place * len(every) // shown] for place in range(shown)]
    if as_json:
        print_json(found)
    else:
        click.echo("\n".join(found))


def _counts(about: dict[str, Any]) -> str:
    counts = about.get("counts", {})
    return "".join(f"{count:,} {split}, " for split, count in counts.items())[:-2] + " " * bool(
        counts
    )
