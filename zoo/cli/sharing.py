"""``zoo push``, ``zoo pull``, ``zoo versions``: models between this machine and hubs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from zoo.cli.terminal import json_option, print_json, size_text
from zoo.columns import columns


@click.command(short_help="Give a model to a hub, as a version for good.")
@click.argument("model")
@click.argument("to")
@click.option("--version", default=None, help="Semantic: 1.2.0. [that of the card]")
@click.option(
    "--latest/--no-latest", default=None, help="Move `latest` here. [if it is the newest]"
)
@click.option("--private", is_flag=True, help="A new repository is for its organisation alone.")
@click.option("--key", type=click.Path(path_type=Path), default=None, help="Sign with this key.")
@click.option("--message", default=None, help="The commit's title.")
@json_option
def push(
    model: str,
    to: str,
    version: str | None,
    latest: bool | None,
    private: bool,
    key: Path | None,
    message: str | None,
    as_json: bool,
) -> None:
    """Push MODEL to hf:ORG/REPO, NAME:ORG/REPO, http://HOST/ORG/REPO, or a folder of models.

    Everything is checked before the first byte leaves; a version that is there is never replaced.
    """
    from zoo.sharing.pushing import push as run

    done = run(
        model, to, version, latest=latest, private=private, key=key, message=message
    )  # fmt: skip
    if as_json:
        print_json(dataclasses.asdict(done))
        return
    click.echo(f"{done.where}: {done.files} files, {size_text(done.bytes)}")
    if done.commit:
        click.echo(f"commit {done.commit}{', latest' if done.latest else ''}")
    if done.signer:
        click.echo(f"signed by {done.signer}")


@click.command(short_help="Fetch models of hubs into the store.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--locked", is_flag=True, help="Everything in the lock file, the same or nothing.")
@click.option(
    "--file", "path", type=click.Path(path_type=Path), default="zoo.lock", show_default=True
)
@json_option
def pull(names: tuple[str, ...], locked: bool, path: Path, as_json: bool) -> None:
    """Fetch NAMEs (ORG/REPO, hf:ORG/REPO, http://HOST/ORG/REPO, each with @VERSION) and verify them."""
    from zoo.hub.pulling import pull as run

    if bool(names) == locked:
        raise click.UsageError("Name models, as `zoo pull hf:ORG/REPO`, or say --locked alone.")
    if locked:
        from zoo.sharing.locking import pull_locked

        verdicts = pull_locked(path)
        if as_json:
            print_json([dataclasses.asdict(each) for each in verdicts])
            return
        for each in verdicts:
            click.echo(f"{each.title}: {each.folder}")
        return
    rows: list[dict[str, Any]] = []
    for name in names:
        done = run(name)
        rows.append(
            {"asked": name, "model": str(done.origin), **dataclasses.asdict(done.origin),
             "folder": str(done.folder), "bytes": done.card.bytes}
        )  # fmt: skip
        if not as_json:
            signed = f", signed by {done.origin.signer}" if done.origin.signer else ""
            click.echo(f"{name} -> {done.origin} (commit {done.origin.commit}{signed})")
            click.echo(f"{done.folder}: {done.card.title}, {size_text(done.card.bytes)}")
    if as_json:
        print_json(rows)


@click.command(short_help="List the versions of a repository.")
@click.argument("name")
@json_option
def versions(name: str, as_json: bool) -> None:
    """List the versions of NAME (ORG/REPO, hf:ORG/REPO, a name here), the newest first."""
    from zoo.sharing.listing import versions as run

    rows = [dataclasses.asdict(each) for each in run(name)]
    if as_json:
        print_json(rows)
        return
    cells = [
        [
            row["version"],
            (row["commit"] or "-")[:12],
            row["where"],
            ", ".join(word for word in ("latest", "yanked", "here") if row[word]),
        ]
        for row in rows
    ]
    click.echo(columns(["version", "commit", "where", ""], cells))


@click.command(short_help="Find models here and on hubs.")
@click.argument("words", nargs=-1)
@click.option("--hub", "hub_name", default=None, help="Only this one: a name of ZOO_HUBS, a URL.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="Of each hub.")
@json_option
def search(words: tuple[str, ...], hub_name: str | None, limit: int, as_json: bool) -> None:
    """List models whose name or tags hold all WORDS, here and on the hubs of ZOO_HUBS (or hf)."""
    from zoo.sharing.listing import search as run

    found = run(" ".join(words), hub_name, limit)
    if as_json:
        print_json([dataclasses.asdict(each) for each in found])
        return
    if not found:
        click.echo("Nothing was found; fewer words find more, and `zoo list` shows what is here.")
        return
    rows = [
        [each.name, each.version or "-", each.hub, each.task or "-", each.license or "-"]
        for each in found
    ]
    click.echo(columns(["name", "version", "hub", "task", "licence"], rows))


@click.command(short_help="Warn people off a version.")
@click.argument("name")
@click.option("--undo", is_flag=True, help="Take the mark away.")
@json_option
def yank(name: str, undo: bool, as_json: bool) -> None:
    """Mark NAME@VERSION as one not to begin with; it stays for those who name it."""
    from zoo.sharing.yanking import yank as run

    done = run(name, undo)
    if as_json:
        print_json(dataclasses.asdict(done))
    else:
        word = "is yanked" if done.yanked else "is not yanked"
        click.echo(f"{done.where} {word}; latest is {done.latest or 'nowhere'}")


@click.command(short_help="Copy versions from one hub to another.")
@click.argument("name")
@click.argument("to")
@click.option("--version", "only", multiple=True, help="Only this one. [all]")
@json_option
def mirror(name: str, to: str, only: tuple[str, ...], as_json: bool) -> None:
    """Copy all versions of NAME to TO, a repository of another hub or a folder, byte for byte."""
    from zoo.sharing.mirroring import mirror as run

    done = run(name, to, only)
    if as_json:
        print_json([dataclasses.asdict(each) for each in done])
        return
    for each in done:
        click.echo(f"{each.where}: {'copied' if each.copied else 'was there'}")


@click.command(short_help="Write down which bytes a project uses.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--file", "path", type=click.Path(path_type=Path), default="zoo.lock", show_default=True
)
@click.option("--update", is_flag=True, help="Ask the hubs for the newest versions.")
@click.option("--check", is_flag=True, help="Change nothing; fail if anything is not as locked.")
@json_option
def lock(names: tuple[str, ...], path: Path, update: bool, check: bool, as_json: bool) -> None:
    """Add NAMEs and their parts to zoo.lock; `zoo pull --locked` gets the same bytes or nothing.

    ZOO_LOCK=zoo.lock holds every `zoo.load` of a hub's model to it.
    """
    from zoo.sharing import locking

    if check:
        if names or update:
            raise click.UsageError("--check reads the whole file and changes nothing.")
        verdicts = locking.check(path)
        if as_json:
            print_json([dataclasses.asdict(each) for each in verdicts])
        else:
            for each in verdicts:
                click.echo(f"{each.title}: {each.error or 'as locked'}", err=each.error is not None)
        if any(each.error for each in verdicts):
            raise SystemExit(1)
        return
    entries = locking.lock(names, path, update)
    if as_json:
        print_json([dataclasses.asdict(entry) for entry in entries])
    else:
        for entry in entries:
            click.echo(f"{entry.title} {entry.origin.commit if entry.origin else 'embedded'}")
        click.echo(f"{path}: {len(entries)} models")
