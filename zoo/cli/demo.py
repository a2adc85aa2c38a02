"""``zoo demo``: what the zoo does, shown on pictures that come with it, without a network."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.cli.terminal import json_option, print_json


@click.command(short_help="See it work, offline, in under a minute.")
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("zoo-demo.png"),
    show_default=True, help="The picture sheet to write.",
)  # fmt: skip
@json_option
def demo(out: Path, as_json: bool) -> None:
    """Encode and decode photographs and icons that come with the package; needs no network."""
    from zoo.demo import run

    report = run(out)
    if as_json:
        print_json(report.as_dict())
    else:
        click.echo(report.text())
