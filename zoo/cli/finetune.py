"""``zoo finetune``: a model and a few pictures become an adapter, or another model."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from zoo.cli.terminal import Size, json_option, print_json

METHODS = ["full", "lora", "dora", "head", "decoder", "controlnet", "textual-inversion"]


@click.command(short_help="Fine-tune a model on a few pictures.")
@click.argument("name")
@click.argument("data")
@click.option(
    "-o", "--out", required=True, type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the run; what comes out is OUT/NEW-NAME.",
)  # fmt: skip
@click.option(
    "--method", type=click.Choice(METHODS), default="lora", show_default=True,
    help="What moves: all, an adapter of low rank, one part, a ControlNet, a word.",
)  # fmt: skip
@click.option("--name", "called", default=None, help="The new name. [NAME-METHOD]")
@click.option(
    "--memory", type=Size(), default=None, metavar="SIZE",
    help="Stay below so much, 4GB, giving up what costs least first.",
)  # fmt: skip
@click.option("--rank", type=click.IntRange(min=1), default=8, show_default=True)
@click.option(
    "--alpha", type=float, default=None, help="Scale of an adapter is alpha / rank. [rank]"
)
@click.option(
    "--modules", multiple=True, metavar="PATTERN",
    help="Names of the net's modules to train or adapt, with wildcards. [what the net names]",
)  # fmt: skip
@click.option(
    "--hint", type=click.Choice(["edges", "hed", "sketch", "semantic"]), default="edges",
    show_default=True, help="What a ControlNet is told.",
)  # fmt: skip
@click.option("--word", default="", help="The word that textual inversion learns: '<cat>'.")
@click.option("--like", default="", metavar="TEXT", help="What the word begins as: 'red cat'.")
@click.option("--caption", default="", help="Of all pictures; {} stands for their own.")
@click.option(
    "--prior", type=click.IntRange(min=0), default=0,
    help="Train on so many pictures that the model draws first, too.",
)  # fmt: skip
@click.option("--prior-text", default="", help="What the model is told for these.")
@click.option("--steps", type=click.IntRange(min=1), default=200, show_default=True)
@click.option("--batch", type=click.IntRange(min=1), default=4, show_default=True)
@click.option("--lr", type=float, default=None, help="[LoRA 2e-3, ControlNet 1.5e-3, others 1e-4]")
@click.option("--ema", type=float, default=0.0, help="Decay of averaged weights, 0.99.")
@click.option("--precision", type=click.Choice(["no", "bf16", "fp16"]), default="no")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--sheet/--no-sheet", default=True, help="Draw pictures before and after.")
@click.option("--dry-run", is_flag=True, help="Say what it would take, after a few real steps.")
@json_option
def finetune(
    name: str,
    data: str,
    out: Path,
    method: str,
    called: str | None,
    memory: int | None,
    modules: tuple[str, ...],
    sheet: bool,
    dry_run: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Fine-tune the model NAME on DATA, a folder of pictures or a built set.

    Captions stand in .txt files or a table beside the pictures, else a picture's file name is its
    caption. Pictures that cannot be read are named and left out. The same command goes on where it
    was stopped.
    """
    from zoo import finetuning
    from zoo.train import estimating

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if not dry_run:
        folder = finetuning.finetune(
            name, data, out, method, called=called, memory=memory, sheet=sheet, modules=modules,
            **settings,
        )  # fmt: skip
        if as_json:
            print_json({"run": str(out), "model": str(folder)})
        else:
            click.echo(f"{folder}: `zoo show {folder}` says what it is")
        return
    recipe = finetuning.settled(finetuning.plan(name, data, method, modules=modules, **settings))
    if memory is None:
        found = estimating.estimate(recipe)
    else:
        picked = finetuning.within(recipe, memory)
        click.echo(picked.text(), err=True)
        found, recipe = picked.estimate, picked.recipe
    click.echo(json.dumps(asdict(found)) if as_json else estimating.described(found, recipe))
