"""``zoo gallery``: one page of HTML with every model that is here."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="Write a page of HTML with all models.")
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("patterns", nargs=-1, metavar="[PATTERN]...")
@click.option("--title", default="Models", show_default=True)
def gallery(out: Path, patterns: tuple[str, ...], title: str) -> None:
    """Write OUT/index.html (or the file OUT.html): the models that match PATTERN, all without one.

    Pictures, measurements, plots and filters are in the one file, which needs no network.
    """
    from zoo.gallery import gallery as write

    path = write(out, patterns or ("*",), title)
    click.echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB. Open it in a browser.")
