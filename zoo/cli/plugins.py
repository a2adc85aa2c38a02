"""``zoo plugins``: which families are installed, from which distribution, and which hooks they answer."""

import click

from zoo.cli.terminal import json_option, print_json, table


@click.command()
@click.argument("family", required=False)
@json_option
def plugins(family: str | None, as_json: bool) -> None:
    """List the installed families, or the hooks of one FAMILY."""
    from zoo import plugins as installed

    print(installed, family, as_json, print_json, table)
