"""``zoo annotate``: hints for ControlNets, made from pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from zoo.cli.terminal import json_option, print_json, settings


@click.command(short_help="Make hints for ControlNets from pictures.")
@click.argument("kind")
@click.argument("given", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), default=None,
    help="The picture to write. [IN-KIND.png]",
)  # fmt: skip
@click.option(
    "--size", type=click.IntRange(min=1), default=None,
    help="Scale and crop to SIZE x SIZE first; of a pose, the size to draw at. [as it is; 512]",
)  # fmt: skip
@click.option(
    "-O", "--option", "options", multiple=True, metavar="KEY=VALUE",
    help="Of the annotator: -O sigma=2 -O colours=8. Repeatable.",
)  # fmt: skip
@json_option
def annotate(
    kind: str,
    given: Path,
    out: Path | None,
    size: int | None,
    options: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make a hint of KIND (edges, hed, sketch, semantic, pose) from the picture GIVEN.

    A pose is drawn from a JSON file of keypoints: people, each of 18 joints [x, y] or [x, y, sure] in 0 .. 1.
    """
    from zoo.annotate import annotate as made
    from zoo.images import Images

    chosen = settings(options, "--option")
    source: Any
    if kind == "pose":
        import torch

        source = torch.tensor(json.loads(given.read_text(encoding="utf-8")))
        chosen["size"] = (size or 512, size or 512)
    else:
        source = Images.read(given, 3, size)
    path = out or given.with_name(f"{given.stem}-{kind}.png")
    hint = made(kind, source, **chosen)
    hint.save(path)
    if as_json:
        print_json({"hint": str(path), "kind": kind, "size": list(hint.shape[2:])})
    else:
        click.echo(f"{kind}, {hint.shape[3]} x {hint.shape[2]}: {path}")
