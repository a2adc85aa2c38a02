"""``zoo train``: follow a recipe, go on after an interruption, write the model's folder."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from zoo.cli.terminal import json_option, print_json


@click.command(short_help="Train a model by a recipe.")
@click.argument("recipe", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o", "--out", required=True, type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the run: checkpoints, metrics, picture grids.",
)  # fmt: skip
@click.option("--resume/--no-resume", default=True, help="Go on with the run in OUT, or refuse to.")
@click.option("--steps", type=click.IntRange(min=1), default=None, help="Instead of the recipe's.")
@click.option("--max-minutes", type=float, default=None, help="Stop then, with a checkpoint.")
@click.option("--name", default=None, help="At the end, write a model of this name into OUT/NAME.")
@click.option("--model-version", default="1.0.0", show_default=True, help="Version of that model.")
@json_option
def train(
    recipe: Path,
    out: Path,
    resume: bool,
    steps: int | None,
    max_minutes: float | None,
    name: str | None,
    model_version: str,
    as_json: bool,
) -> None:
    """Train by RECIPE, a recipe.toml or a model's folder.

    Several processes: `accelerate launch -m zoo.train RECIPE --out OUT`, or torchrun likewise.
    """
    from zoo import train as trainer

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    run = trainer.train(recipe, out, resume=resume, steps=steps, max_minutes=max_minutes)
    folder = trainer.finish(run, name, model_version) if name else None
    if as_json:
        print_json({"run": str(run), "model": str(folder) if folder else None})
    elif folder:
        click.echo(f"{folder}: a model, as `zoo show {_path(folder)}` says")
    else:
        click.echo(f"{run}: the run; `zoo train {recipe} --out {run} --name NAME` makes it a model")


def _path(folder: Path) -> str:
    return str(folder) if folder.is_absolute() or folder.parts[0] == ".." else f"./{folder}"
