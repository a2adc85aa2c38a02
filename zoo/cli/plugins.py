"""``zoo plugins``: the installed families, who brings them, and which hooks they answer."""

from __future__ import annotations

from typing import Any

import click

from zoo.cli.terminal import json_option, print_json
from zoo.columns import columns


@click.command(short_help="List families and their hooks.")
@click.argument("names", nargs=-1, metavar="[FAMILY]...")
@json_option
def plugins(names: tuple[str, ...], as_json: bool) -> None:
    """List the installed families and their hooks; leaves with 1 if one of them is broken."""
    from zoo.errors import PluginError
    from zoo.plugins import families, family

    rows: list[dict[str, Any]] = []
    broken: list[PluginError] = []
    for name in names or families():
        try:
            found = family(name)
        except PluginError as error:
            broken.append(error)
            rows.append({"family": name, "error": str(error)})
            continue
        hooks = {hook: list(arguments) for hook, arguments in found.hooks.items()}
        rows.append({"family": name, "distribution": found.distribution, "hooks": hooks})
    if as_json:
        print_json(rows)
    else:
        cells = [
            [row["family"], row["distribution"], " ".join(row["hooks"])]
            for row in rows
            if "hooks" in row
        ]
        click.echo(columns(["family", "distribution", "hooks"], cells))
        for each in broken:
            click.echo(f"zoo: {each}", err=True)
    if broken:
        raise SystemExit(1)
