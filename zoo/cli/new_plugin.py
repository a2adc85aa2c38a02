"""``zoo new-plugin`` and ``zoo check``: for those who write plugins and publish models."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.pictures import condition_option
from zoo.cli.terminal import json_option, print_json, settings

if TYPE_CHECKING:
    from zoo.testing.report import Finding


@click.command("new-plugin", short_help="Write a distribution with a new family.")
@click.argument("name")
@click.option(
    "--hooks", default=None, metavar="HOOK,...",
    help="What it is to give, of: condition, encode, decode, sample, log_prob, objectives. [all]",
)  # fmt: skip
@click.option("--wrappers", is_flag=True, help="Wrappers around every family's hooks instead.")
@click.option(
    "-o", "--out", type=click.Path(file_okay=False, path_type=Path), default=None,
    help="Folder to write. [zoo-NAME]",
)  # fmt: skip
def new_plugin(name: str, hooks: str | None, wrappers: bool, out: Path | None) -> None:
    """Write a complete distribution that installs and passes its tests as it is, for you to change."""
    from zoo.new_plugin import HOOKS
    from zoo.new_plugin import new_plugin as write

    chosen = HOOKS if hooks is None else [each.strip() for each in hooks.split(",") if each.strip()]
    folder = write(name, out, chosen, wrappers)
    for file in sorted(each for each in folder.rglob("*") if each.is_file()):
        click.echo(str(file))
    click.echo(
        f"Next: pip install -e '{folder}[test]' && pytest {folder}, then `zoo check {name}`."
    )


@click.command(short_help="Try a plugin or a card by all its rules.")
@click.argument("targets", nargs=-1, required=True, metavar="PLUGIN|CARD...")
@click.option("--publish", is_flag=True, help="Also fail for what only a published card must say.")
@click.option("--quick", is_flag=True, help="Run no net: cards, files, hooks and imports alone.")
@condition_option
@json_option
def check(
    targets: tuple[str, ...],
    publish: bool,
    quick: bool,
    conditions: tuple[str, ...],
    as_json: bool,
) -> None:
    """Try families, wrappers or models (by name or folder) and say what to mend; 1 if there is something.

    A plugin is imported, held against the hooks' specs and tried by the contract on the smallest model of
    it here; a card is held against its files, its family and what a reader needs, and its model tried.
    """
    from zoo.testing.report import check as findings

    request = settings(conditions, "--condition")
    asked: dict[str, Any] = {"request": request} if request else {}
    found = []
    for target in targets:
        for each in findings(target, not quick, **asked):
            found.append(each)
            if not as_json:
                _tell(each)
    if as_json:
        print_json([asdict(each) for each in found])
    else:
        counts = Counter(each.verdict for each in found)
        click.echo(
            f"{counts['ok']} checks passed, {counts['skipped']} do not apply, {counts['publish']} to "
            f"do before publishing, {counts['mend']} to mend."
        )
    if any(each.verdict == "mend" or (publish and each.verdict == "publish") for each in found):
        raise SystemExit(1)


def _tell(found: Finding) -> None:
    """A line for what is to be done."""
    when = {"mend": "mend", "publish": "before publishing"}.get(found.verdict)
    if when is not None:
        click.echo(f"{when}: {found.subject}: {found.check.replace('_', ' ')}: {found.message}")
    elif found.check == "contract":
        click.echo(f"not tried: {found.subject}: {found.message}")
