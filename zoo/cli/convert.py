"""``zoo convert``: a stranger's checkpoint becomes a model of the zoo, once."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.cli.terminal import DTYPES, json_option, print_json


@click.command(short_help="Make a stranger's checkpoint a model.")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.argument("name")
@click.option(
    "-o", "--out", type=click.Path(file_okay=False, path_type=Path), default=None,
    help="Folder to write. [the store, where `zoo list` finds it]",
)  # fmt: skip
@click.option("--license", default="unknown", show_default=True, help="The checkpoint's own.")
@click.option("--model-version", default="1.0.0", show_default=True)
@click.option("--dtype", type=click.Choice(DTYPES), default=None, help="[as they are stored]")
@click.option("--family", default=None, help="Which to ask, where several know the checkpoint.")
@click.option(
    "--drop",
    multiple=True,
    metavar="PATTERN",
    help="Leave out tensors of these names (may repeat).",
)
@json_option
def convert(
    path: Path,
    name: str,
    out: Path | None,
    license: str,
    model_version: str,
    dtype: str | None,
    family: str | None,
    drop: tuple[str, ...],
    as_json: bool,
) -> None:
    """Read the checkpoint at PATH (.ckpt, .pt, .safetensors or a folder) and save it as NAME."""
    import torch

    import zoo

    kind = getattr(torch, dtype) if dtype else None
    folder = zoo.convert(
        path,
        name,
        out,
        license=license,
        version=model_version,
        dtype=kind,
        family=family,
        drop=drop,
    )
    card = zoo.show(folder)
    if as_json:
        print_json({"folder": str(folder), "model": card.title, "source": card.source})
        return
    layout = (card.source or {}).get("layout", "?")
    click.echo(f"{card.title} ({card.family}, from {layout}) in {folder}")
