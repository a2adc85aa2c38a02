"""The recipes that wait for their weights are whole: they parse, build a net, and have objectives."""

from pathlib import Path

import pytest
import torch

import zoo
from zoo import config_files
from zoo.plugins import family
from zoo.train import load_recipe

ROOT = Path(__file__).parents[2] / "plugins"
BUDGET = {"dalle": 8, "diffusion": 3.5}  # MiB in fp16; diffusion: of 7 for its three together
RECIPES = sorted(ROOT.glob("*/recipes/*.toml"))


def test_there_are_recipes():
    assert RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_builds(path):
    recipe = load_recipe(path)
    hooks = family(recipe.model.family)
    config = config_files.filled(recipe.model.config, path.parent, path.name)
    parts = {role: zoo.load(name) for role, name in recipe.model.parts.items()}
    net = hooks.call("build", config=config, parts=parts)
    assert hooks.call("objectives", net=net, recipe=dict(recipe.objective))
    parameters = sum(each.numel() for each in net.parameters())
    budget = BUDGET.get(recipe.model.family, 2)
    assert parameters * 2 < budget * 1.05 * 2**20, f"at most {budget} MiB in fp16"
    assert torch.isfinite(next(net.parameters())).all()
