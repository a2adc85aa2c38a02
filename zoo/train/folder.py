"""The run's folder: whose it is (recipe.toml) and what it was made with (run.json)."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from pathlib import Path
from typing import Any

import torch

from zoo.train.recipe import Recipe, load_recipe
from zoo.train.table import RecipeError

# What may change when a run goes on, as the state it left still fits: tables, and [train]'s keys.
FREE_TABLES = frozenset({"optimizer", "schedule", "output"})
FREE = frozenset(
    {"steps", "clip", "accumulate", "checkpoint_every", "keep", "log_every", "threads"}
)
FREE |= {"shard", "tensor", "gradient_checkpointing"}
FREE |= {"grid_every", "grid_count", "eval_every", "eval_batches"}


def claim(run: Path, recipe: Recipe, step: int, resume: bool) -> None:
    """Write recipe.toml into the run's folder.

    A recipe that was changed where it may be is kept as recipe.until-STEP.toml. Raises RecipeError
    for another recipe's run, or a resume that was not asked for.
    """
    kept = run / "recipe.toml"
    if step and not resume:
        raise RecipeError(
            f"{run} already holds a run of {step} steps. Resume it, or take another folder."
        )
    if step and kept.is_file() and (old := load_recipe(kept)) != recipe:
        before, now = _fixed(old), _fixed(recipe)
        changed = sorted(
            key for key in before.keys() | now.keys() if before.get(key) != now.get(key)
        )
        if changed:
            both = "; ".join(f"{key} was {before.get(key)}, is {now.get(key)}" for key in changed)
            raise RecipeError(
                f"{run} was begun with another recipe: {both}. Take the old values, or another "
                "folder."
            )
        kept.rename(run / f"recipe.until-{step:08d}.toml")
    run.mkdir(parents=True, exist_ok=True)
    kept.write_text(recipe.text(), encoding="utf-8")


def _fixed(recipe: Recipe) -> dict[str, Any]:
    """Every setting that the state of a run depends on, by dotted name."""
    return {"optimizer.bits": recipe.optimizer.bits} | {
        f"{table}.{key}": value
        for table, values in dataclasses.asdict(recipe).items()
        if table not in FREE_TABLES
        for key, value in values.items()
        if not (table == "train" and key in FREE)
    }


def describe(run: Path, about: dict[str, Any], data: Any, name: str) -> None:
    """Write run.json: what `finish` puts on the card and the recipe does not say."""
    image = getattr(data, "image", None) or data[0]["image"].shape  # a set of tokens says it
    about = {
        **about,
        "data": getattr(data, "name", name or type(data).__name__),
        "licences": sorted(getattr(data, "licences", ())),
        "images": len(data),
        "image": list(image),
        "machine": machine(),
    }
    if hasattr(data, "tokenizer"):
        about["tokens_of"] = data.tokenizer["model"]
    text = json.dumps(about, indent=1, default=str) + "\n"
    (run / "run.json").write_text(text, encoding="utf-8")


def machine() -> str:
    """The hardware in a few words."""
    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()} x {int(os.environ.get('WORLD_SIZE', 1))}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} CPU cores ({platform.machine()}), {torch.get_num_threads()} threads"
