"""What a training run will need, measured on a few real steps of it in a process of its own; and what fits.

A step needs memory for parameters, for gradients and moments of those that move, and for what is kept of a batch to
find gradients by. Given a limit, what costs least is given up first, one after the other, until a trial stays below:

    parts     the batch in 2, 4, ... parts, one after the other: the same gradients, in the same time or little more
    blocks    blocks are computed again for gradients instead of being kept: the same gradients, a third more time
    bf16      products in 16 bits
    8 bits    the optimizer's moments in 8 bits (`zoo.train.eight_bits`)
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from zoo.errors import RequestError
from zoo.train import checkpoint
from zoo.train.few import parted
from zoo.train.recipe import Recipe, load_recipe
from zoo.train.report import memory
from zoo.train.table import RecipeError

TRIAL = 6  # steps of a dry run


@dataclass(frozen=True)
class Estimate:
    """What a run will need, by a few real steps of it in a process of its own."""

    seconds: float  # for all steps, reading and writing not counted
    seconds_a_step: float
    peak_bytes: int  # of the process, its libraries included; on a GPU, of its memory
    device: str
    moved: int  # parameters that are trained
    parameters: int


@dataclass(frozen=True)
class Picked:
    """What was chosen to stay below a limit, and each choice that was tried, the last being the one taken."""

    recipe: Recipe
    tried: tuple[tuple[str, Estimate], ...]

    @property
    def estimate(self) -> Estimate:
        """Of what was chosen."""
        return self.tried[-1][1]

    def text(self) -> str:
        """A line for each choice."""
        return "\n".join(f"{what}: {each.peak_bytes / 1e9:.2f} GB" for what, each in self.tried)


def estimate(recipe: Recipe, steps: int = TRIAL) -> Estimate:
    """What a recipe of `zoo.finetuning.plan` will need: `steps` of it, in a process of its own.

    Raises RequestError, with the last word of the process, where the trial fails.
    """
    short = replace(
        recipe,
        train=replace(
            recipe.train, steps=steps, eval_every=steps, eval_batches=1, checkpoint_every=steps
        ),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.toml"
        path.write_text(short.text(), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "zoo.train.estimating", str(path), folder],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
            raise RequestError(f"The trial of {steps} steps failed: {last}")
        told = json.loads(done.stdout.strip().splitlines()[-1])
    step = told.pop("seconds_a_step")
    return Estimate(seconds=step * recipe.train.steps, seconds_a_step=step, **told)


def fitted(
    recipe: Recipe, limit: int, blocks: bool, measure: Callable[[Recipe], Estimate] = estimate
) -> Picked:
    """The recipe with the least given up that stays below `limit` bytes; `blocks` says whether the net names any.

    Raises RequestError, with all that was tried, where nothing does.
    """
    tried: list[tuple[str, Estimate]] = []
    for what, each in _cheaper(recipe, blocks):
        tried.append((what, measure(each)))
        if tried[-1][1].peak_bytes <= limit:
            return Picked(each, tuple(tried))
    told = "; ".join(f"{what}: {each.peak_bytes / 1e9:.2f} GB" for what, each in tried)
    raise RequestError(
        f"Nothing stays below {limit / 1e9:.2f} GB: {told}. A smaller batch than {recipe.data.batch} does not help, as "
        "it went through one by one: give more memory, a lower rank or fewer modules, or take a smaller model."
    )


def _cheaper(recipe: Recipe, blocks: bool) -> Iterator[tuple[str, Recipe]]:
    """The recipe as it is, then with ever more given up, and what that is."""
    train, batch = recipe.train, recipe.data.batch
    yield f"batch {batch} in {train.accumulate}", recipe
    parts = [n for n in range(train.accumulate + 1, batch + 1) if batch % n == 0]
    for train in (replace(train, accumulate=n) for n in parts):
        recipe = replace(recipe, train=train)
        yield f"batch {batch} in {train.accumulate}", recipe
    said = f"batch {batch} in {train.accumulate}"
    if blocks and not train.gradient_checkpointing:
        train = replace(train, gradient_checkpointing=True)
        recipe, said = replace(recipe, train=train), f"{said}, blocks computed again"
        yield said, recipe
    if train.precision == "no":
        train = replace(train, precision="bf16")
        recipe, said = replace(recipe, train=train), f"{said}, bf16"
        yield said, recipe
    if recipe.optimizer.bits == 32:
        recipe = replace(recipe, optimizer=replace(recipe.optimizer, bits=8))
        yield f"{said}, moments in 8 bits", recipe


def trial(recipe: Path, folder: Path) -> dict[str, Any]:
    """Train by `recipe` in this process; what it took."""
    import torch

    from zoo.train import train

    read = load_recipe(recipe)
    run = train(read, folder / "run", data=parted(read))
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    clock = [row["seconds"] for row in rows if "seconds" in row]
    steps = [after - before for before, after in pairwise(clock[1:])]  # the first warms up
    if not steps:
        raise RecipeError(f"a trial takes 3 steps or more, not {read.train.steps}")
    tensors = checkpoint.read(checkpoint.every(run)[-1], ("optimizer",))[0]
    moments = [value for key, value in tensors["optimizer"].items() if key.endswith("/exp_avg")]
    return {
        "seconds_a_step": statistics.median(steps),
        "peak_bytes": round(memory() * 2**20),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        "moved": sum(value.numel() for value in moments),
        "parameters": json.loads((run / "run.json").read_text())["parameters"],
    }


def described(found: Estimate, recipe: Recipe) -> str:
    """An estimate in a sentence or two."""
    minutes = found.seconds / 60
    return (
        f"{recipe.tune.method}: {found.moved:,} of {found.parameters:,} numbers move; peak memory "
        f"{found.peak_bytes / 1e9:.2f} GB on {found.device}; {found.seconds_a_step:.2f} s a step, "
        f"{minutes:.1f} minutes for {recipe.train.steps} steps of {recipe.data.batch}."
    )


if __name__ == "__main__":
    print(json.dumps(trial(Path(sys.argv[1]), Path(sys.argv[2]))))
