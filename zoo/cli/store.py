"""``zoo hub gc``, ``export``, ``import``, ``key``: the store, bundles for an air gap, keys to sign with."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from zoo.cli.hub import hub
from zoo.cli.terminal import json_option, print_json, size_text


@hub.command("gc", short_help="Delete what no pulled model uses.")
@click.argument("forget", nargs=-1, metavar="[MODEL]...")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@json_option
def gc(forget: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Delete MODELs (ORG/REPO@VERSION, or ORG/REPO for all) from the store, then files of no model."""
    from zoo.sharing.collecting import collect

    done = collect(forget, dry=dry_run)
    if as_json:
        print_json(dataclasses.asdict(done))
        return
    for name in done.models:
        click.echo(name)
    verb = "would be deleted" if dry_run else "deleted"
    click.echo(
        f"{len(done.models)} models and {done.files} files {verb}, {size_text(done.bytes)}"
    )  # fmt: skip


@hub.command("export", short_help="Write models to one file, for a machine without a network.")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("models", nargs=-1, required=True)
@json_option
def export(file: Path, models: tuple[str, ...], as_json: bool) -> None:
    """Write pulled MODELs and their parts to FILE, and print its sha256."""
    from zoo.sharing.bundles import export as run

    done = run(models, file)
    if as_json:
        print_json(dataclasses.asdict(done))
        return
    for name in done.models:
        click.echo(name)
    click.echo(f"{done.path}: {size_text(done.bytes)}, sha256 {done.sha256}")


@hub.command("import", short_help="Take the models of such a file.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--sha256", "expected", default=None, help="What `zoo hub export` printed.")
@json_option
def import_(file: Path, expected: str | None, as_json: bool) -> None:
    """Verify FILE and lay its models into the store, as if they had been pulled."""
    from zoo.sharing.bundles import import_ as run

    done = run(file, expected)
    if as_json:
        print_json(dataclasses.asdict(done))
        return
    for name in done.models:
        click.echo(name)
    click.echo(f"{len(done.models)} models from {done.path}, sha256 {done.sha256}")


@hub.command("key", short_help="Make a key to sign versions with.")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def key(file: Path, as_json: bool) -> None:
    """Write a new private key to FILE and print its public id, which others put in ZOO_SIGNERS."""
    from zoo.sharing.signing import make_key

    made = make_key(file)
    if as_json:
        print_json({"file": str(file), "key": made})
    else:
        click.echo(made)
