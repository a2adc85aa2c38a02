"""``zoo verify``: what lies on this disk against what the cards say."""

from __future__ import annotations

from typing import Any

import click

from zoo.cli.terminal import json_option, print_json, size_text
from zoo.columns import columns


@click.command(short_help="Check files against their cards.")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--load", "lay", is_flag=True, help="Also build each net and lay its weights in.")
@json_option
def verify(models: tuple[str, ...], lay: bool, as_json: bool) -> None:
    """Read every file of MODELs (all, if none is named) and check it against its card."""
    import zoo
    from zoo.errors import HubError, WeightsError
    from zoo.progress import progress

    rows: list[dict[str, Any]] = []
    for name in progress(models or zoo.list(), label="verify"):
        card = zoo.show(name)
        row: dict[str, Any] = {"model": card.title, "files": len(card.files), "bytes": card.bytes}
        try:
            zoo.verify(name)
            if lay:
                zoo.load(name, device="cpu")
            row["error"] = None
        except (WeightsError, HubError) as error:
            row["error"] = str(error)
        rows.append(row)
    bad = [row for row in rows if row["error"]]
    if as_json:
        print_json(rows)
    else:
        cells = [
            [
                row["model"],
                str(row["files"]),
                size_text(row["bytes"]),
                "FAIL" if row["error"] else "ok",
            ]
            for row in rows
        ]
        click.echo(columns(["model", "files", "size", "verdict"], cells, right=("files", "size")))
        for row in bad:
            click.echo(f"zoo: {row['error']}", err=True)
    if bad:
        raise SystemExit(1)
