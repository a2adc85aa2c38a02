"""One trainer for every family, driven by a recipe.toml (extra `train`).

Names are imported when they are asked for: a plugin that imports Objective pays for no trainer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.train.finishing import finish
    from zoo.train.loop import train
    from zoo.train.objective import Batch, Objective
    from zoo.train.recipe import Recipe, load_recipe
    from zoo.train.report import TrainingError
    from zoo.train.table import RecipeError

__all__ = [
    "Batch",
    "Objective",
    "Recipe",
    "RecipeError",
    "TrainingError",
    "finish",
    "load_recipe",
    "train",
]

_HOME = {
    "Batch": "objective",
    "Objective": "objective",
    "Recipe": "recipe",
    "RecipeError": "table",
    "TrainingError": "report",
    "finish": "finishing",
    "load_recipe": "recipe",
    "train": "loop",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'zoo.train' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"zoo.train.{_HOME[name]}"), name)
    globals()[name] = value
    return value
