"""``zoo verify``: what lies on this disk against what the cards say."""

from __future__ import annotations

import dataclasses

import click

from zoo.cli.terminal import json_option, print_json, size_text
from zoo.columns import columns


@click.command(short_help="Check files against their cards.")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--heal/--no-heal", default=True, help="Fetch damaged files again. [--heal]")
@click.option("--load", "lay", is_flag=True, help="Also build each net and lay its weights in.")
@json_option
def verify(models: tuple[str, ...], heal: bool, lay: bool, as_json: bool) -> None:
    """Read every file of MODELs (all, if none is named) and check it against its card.

    What is damaged of a pulled model is fetched again from where it came.
    """
    from zoo.errors import ZooError
    from zoo.progress import progress
    from zoo.sharing.healing import verdicts

    rows = []
    for row in progress(verdicts(models, heal), label="verify"):
        if lay and row.error is None:
            from pathlib import Path

            import zoo

            try:
                zoo.load(Path(row.folder), device="cpu")
            except ZooError as error:
                row.error = str(error)
        rows.append(row)
    bad = [row for row in rows if row.error]
    if as_json:
        print_json([dataclasses.asdict(row) for row in rows])
    else:
        cells = [
            [
                row.model,
                str(row.files),
                size_text(row.bytes),
                "FAIL" if row.error else f"healed: {', '.join(row.healed)}" if row.healed else "ok",
            ]
            for row in rows
        ]
        click.echo(columns(["model", "files", "size", "verdict"], cells, right=("files", "size")))
        for row in bad:
            click.echo(f"zoo: {row.error}", err=True)
    if bad:
        raise SystemExit(1)
