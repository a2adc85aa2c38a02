"""``zoo encode MODEL --data SET --shards OUT``: a whole set to files of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from zoo.cli.terminal import F, print_json
from zoo.errors import RequestError

ray_option = click.option(
    "--ray", default=None, metavar="auto|ADDRESS",
    help="Spread the work over Ray: auto for this machine, HOST:PORT for a cluster. [one process]",
)  # fmt: skip


def shard_options(function: F) -> F:
    """Add the options of `zoo encode` that are about whole sets."""
    for option in (
        ray_option,
        click.option("--format", "container", default="webdataset", show_default=True,
                     help="Of the shards: webdataset or parquet."),
        click.option("--flip", is_flag=True, help="The mirrored pictures' tokens as well."),
        click.option("--split", "splits", multiple=True,
                     help="Of the set. Repeatable. [train and test]"),
        click.option("--shards", default=None, type=click.Path(file_okay=False, path_type=Path),
                     help="Folder to write the set's tokens to."),
        click.option("--data", default=None, metavar="SET",
                     help="Instead of PICTURES: a built set, or a folder."),
    ):  # fmt: skip
        function = option(function)
    return function


def asked(sharding: Mapping[str, Any], other: Any) -> bool:
    """Whether shards are asked for; RequestError for half a request, or two."""
    data, shards = sharding["data"], sharding["shards"]
    if (data is None) != (shards is None):
        raise RequestError(
            "--data SET and --shards OUT go together: the set to encode, and where to."
        )
    if data is None:
        if sharding["splits"] or sharding["flip"] or sharding["ray"]:
            raise RequestError(
                "--split, --flip and --ray are about a set: --data SET --shards OUT."
            )
        return False
    if other:
        raise RequestError(
            "A set is encoded as it is: --shards takes no PICTURES, --out, --condition or --seed."
        )
    return True


def encode_shards(
    model: str,
    size: int | None,
    batch: int,
    device: str | None,
    dtype: str | None,
    as_json: bool,
    *,
    data: str,
    shards: Path,
    splits: tuple[str, ...],
    flip: bool,
    container: str,
    ray: str | None,
) -> None:
    """Encode a set, and say what is there now."""
    from zoo.data.encoding import SPLITS, encode_set

    about = encode_set(
        model, data, shards, splits=splits or SPLITS, size=size, flip=flip, container=container,
        batch=batch, device=device, dtype=dtype, ray=ray,
    )  # fmt: skip
    if as_json:
        print_json({"folder": str(shards), **about})
        return
    counts = ", ".join(f"{count:,} {split}" for split, count in about["counts"].items())
    grid = "x".join(map(str, about["tokenizer"]["grid"]))
    click.echo(
        f"{about['name']}: {counts} pictures in {shards}, {grid} tokens each of "
        f'{about["tokenizer"]["model"]}; in a recipe: [data] name = "{shards}/"'
    )
