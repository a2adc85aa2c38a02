"""The recipes that wait for their weights are whole: they parse, build a net, and have objectives."""

from pathlib import Path

import pytest
import torch

from zoo.plugins import family
from zoo.train import load_recipe

ROOT = Path(__file__).parents[2] / "plugins"
BUDGET = {"zoo_diffusion": 3.5}  # MiB a model, of 7 for the three together; 2 elsewhere
RECIPES = sorted(ROOT.glob("*/recipes/*.toml"))


def test_there_are_recipes():
    assert RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_builds(path):
    recipe = load_recipe(path)
    hooks = family(recipe.model.family)
    net = hooks.call("build", config=recipe.model.config, parts={})
    assert hooks.call("objectives", net=net, recipe=dict(recipe.objective))
    parameters = sum(each.numel() for each in net.parameters())
    most = BUDGET.get(path.parents[1].name, 2) * 2**20
    assert parameters * 2 < most, f"weights of this budget are at most {most / 2**20} MiB in fp16"
    assert torch.isfinite(next(net.parameters())).all()
