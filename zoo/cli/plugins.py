"""``zoo plugins``: what is installed, who brings it, which hooks it answers, and what is broken."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import click

from zoo.cli.terminal import json_option, print_json
from zoo.columns import columns

SLOW = 1.0  # seconds beyond torch; a module that does work when it is imported takes longer


@click.command(short_help="List families, wrappers and their hooks.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@json_option
def plugins(names: tuple[str, ...], as_json: bool) -> None:
    """List the installed families and wrappers, or those of NAME, and their hooks.

    Says what did not import and why, and leaves with 1 then.
    """
    from zoo.plugins import FAMILIES, WRAPPERS, families, family, wrapper_names, wrappers

    every: list[tuple[str, str, str, Callable[[str], Any]]] = [
        *(("family", FAMILIES, name, family) for name in families()),
        *(("wrappers", WRAPPERS, name, wrappers) for name in wrapper_names()),
    ]
    known = {name for _, _, name, _ in every}
    chosen = [each for each in every if each[2] in names] if names else every
    for name in names:
        if name not in known:
            family(name)  # raises UnknownFamily, which says what there is
    rows = [_row(*each) for each in chosen]
    if as_json:
        print_json(rows)
    else:
        _show(rows)
    if any(row["error"] for row in rows):
        raise SystemExit(1)


def _row(kind: str, group: str, name: str, load: Callable[[str], Any]) -> dict[str, Any]:
    from zoo.errors import PluginError
    from zoo.plugins import owners

    distribution, _, version = owners(group, name)[0].rpartition(" ")
    before, start = "torch" in sys.modules, time.perf_counter()
    hooks: dict[str, list[str]] = {}
    error = None
    try:
        hooks = {hook: list(taken) for hook, taken in load(name).hooks.items()}
    except PluginError as broken:
        error = str(broken)
    seconds = time.perf_counter() - start
    alone = before == ("torch" in sys.modules)  # whoever is first pays for importing torch
    return {
        "name": name, "kind": kind, "distribution": distribution, "version": version,
        "hooks": hooks, "error": error, "seconds": round(seconds, 3), "slow": alone and seconds > SLOW,
    }  # fmt: skip


def _show(rows: list[dict[str, Any]]) -> None:
    cells = [
        [
            row["name"], row["kind"], row["distribution"], row["version"],
            "does not work" if row["error"] else " ".join(row["hooks"]),
        ]
        for row in rows
    ]  # fmt: skip
    click.echo(columns(["name", "kind", "distribution", "version", "hooks"], cells))
    for row in rows:
        if row["error"]:
            click.echo(f"zoo: {row['error']}", err=True)
        elif row["slow"]:
            click.echo(
                f"zoo: {row['distribution']} {row['version']}: {row['name']} takes "
                f"{row['seconds']:.1f} s to import. Do work inside the hooks.",
                err=True,
            )
