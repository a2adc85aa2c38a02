"""What a fine-tuning's card says of it: held-out numbers before and after, beside the command that gave them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from zoo.card import Metric
from zoo.train.few import base_of
from zoo.train.recipe import Recipe


def measured(run: Path, recipe: Recipe) -> tuple[Metric, ...]:
    """What was measured of held-out pictures, before and after."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    held = {row["step"]: row for row in rows if any(key.startswith("eval/") for key in row)}
    if 0 not in held or recipe.train.steps not in held:
        return ()
    folder, line = Path(recipe.data.name).name, command(recipe)
    found = []
    for key, value in held[recipe.train.steps].items():
        if key.startswith("eval/") and value is not None and held[0].get(key) is not None:
            name = key.removeprefix("eval/").replace("/", " ")
            for when, number in (("before", held[0][key]), ("after", value)):
                found.append(Metric(f"held-out {name} {when}", round(number, 6), folder, line))
    return tuple(found)


def command(recipe: Recipe) -> str:
    """The line that does the same again."""
    tune, train = recipe.tune, recipe.train
    name = Path(recipe.data.name).name
    words: list[object] = ["zoo", "finetune", base_of(recipe).card.title, name, "--out", "RUN"]
    words += ["--method", tune.method if recipe.model.from_ else "controlnet"]
    if tune.method in ("lora", "dora"):
        words += ["--rank", tune.rank, "--alpha", tune.alpha]
    for option, value in (
        ("--steps", train.steps), ("--batch", recipe.data.batch), ("--lr", recipe.optimizer.lr),
        ("--seed", train.seed), ("--ema", train.ema), ("--word", tune.word), ("--like", tune.like),
        ("--caption", tune.caption), ("--prior", tune.prior), ("--prior-text", tune.prior_text),
        ("--hint", recipe.objective.get("annotator") or recipe.model.config.get("kind")),
    ):  # fmt: skip
        words += [option, value] if value else []
    for each in tune.modules:
        words += ["--modules", each]
    return shlex.join(map(str, words))
