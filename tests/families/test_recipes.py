"""The recipes that wait for their weights are whole: they parse, build a net, and have objectives."""

from pathlib import Path

import pytest
import torch

import zoo
from zoo import config_files
from zoo.card import Card
from zoo.errors import UnknownModel
from zoo.model import Model
from zoo.plugins import family
from zoo.train import load_recipe

ROOT = Path(__file__).parents[2] / "plugins"
BUDGET = {
    "autoencoder": 3,
    "controlnet": 1.5,
    "dalle": 8,
    "diffusion": 3.5,
    "ldm": 3.5,
}  # MiB in fp16; diffusion: of 7 for its three together
RECIPES = sorted(ROOT.glob("*/recipes/*.toml"))


def test_there_are_recipes():
    assert RECIPES


def built(path):
    """The net of a recipe, untrained, with its recipe, its family and its parts."""
    recipe = load_recipe(path)
    hooks = family(recipe.model.family)
    config = config_files.filled(recipe.model.config, path.parent, path.name)
    parts = {role: part(name) for role, name in recipe.model.parts.items()}
    return hooks.call("build", config=config, parts=parts), recipe, hooks, parts


def part(name):
    """A part by name; one whose weights are still to come, untrained, from its own recipe."""
    try:
        return zoo.load(name)
    except UnknownModel:
        path = next(path for path in RECIPES if path.stem == name.partition("@")[0])
    net, recipe, hooks, parts = built(path)
    image, latents = (3, recipe.data.size, recipe.data.size), {}
    if recipe.model.family == "autoencoder":
        blank = torch.zeros(1, *image)
        made = hooks.call("encode", net=net.eval(), images=blank, cond=None, generator=None)
        latents = {"latent": tuple(made.shape[1:]), "latent_kind": "continuous"}
    card = Card(
        name=path.stem, family=hooks.name, version="1.0.0", license="unknown", image=image,
        config=dict(recipe.model.config), **latents,
    )  # fmt: skip
    return Model(card, net, hooks, parts)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_builds(path):
    net, recipe, hooks, _ = built(path)
    objective = dict(recipe.objective)
    if "perceptual_weight" in objective:
        objective["perceptual_weight"] = 0.0  # LPIPS is fetched: `zoo data build lpips`
    assert hooks.call("objectives", net=net, recipe=objective)
    parameters = sum(each.numel() for each in net.parameters())
    budget = BUDGET.get(recipe.model.family, 2)
    assert parameters * 2 < budget * 1.05 * 2**20, f"at most {budget} MiB in fp16"
    assert torch.isfinite(next(net.parameters())).all()
