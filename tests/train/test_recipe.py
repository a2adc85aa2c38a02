"""recipe.toml: what is read, what is refused, and that writing it loses nothing."""

import pytest

from zoo.train import Recipe, RecipeError, load_recipe
from zoo.train.recipe import Optimizer, Schedule, parse

TEXT = """
[model]
family = "toygan"
config = { width = 16, layers = [1, 2], deep = { name = "a \\"b\\"" } }
parts = { tokenizer = "vq@1.0.0" }

[data]
name = "icons"
size = 128
batch = 32

[objective]
lpips = 1.0
"odd key" = true

[optimizer]
lr = 1e-4
betas = [0.5, 0.9]

[optimizer.judge]
lr = 2

[schedule]
kind = "constant"
decay = 10
"""


def test_values_and_defaults():
    recipe = parse(TEXT)
    assert recipe.model.config["layers"] == [1, 2]
    assert recipe.data.size == 128
    assert recipe.data.split == "train"
    assert recipe.schedule == Schedule("constant", decay=10)
    assert recipe.train.steps == 1000


def test_an_objective_inherits_the_optimizer():
    optimizer = parse(TEXT).optimizer
    assert optimizer.objectives == {"judge": Optimizer(lr=2.0, betas=(0.5, 0.9))}
    assert optimizer.lr == 1e-4


def test_writing_and_reading_gives_an_equal_recipe(tmp_path):
    recipe = parse(TEXT)
    assert parse(recipe.text()) == recipe
    (tmp_path / "recipe.toml").write_text(recipe.text())
    assert load_recipe(tmp_path) == recipe == load_recipe(tmp_path / "recipe.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[model]\nfamly = 'x'", r"\[model\] has the unknown key 'famly'. Did you mean 'family'\?"),
        ("[modle]\nfamily = 'x'", r"unknown table \[modle\]. Did you mean 'model'\?"),
        ("[model]\nfamily = 3", r"model.family = 3 should be a string"),
        ("[train]\nsteps = 1.5", r"train.steps = 1.5 should be a whole number"),
        ("[train]\nsteps = true", r"train.steps = True should be a whole number"),
        ("[train]\nprecision = 'fp8'", r"'fp8' should be 'no' or 'bf16' or 'fp16'"),
        ("[optimizer]\nbetas = [0.9]", r"should be \[a number, a number\]"),
        ("[optimizer.judge]\nlearning = 1", r"\[optimizer.judge\] has the unknown key 'learning'"),
        ("model = 3", r"model = 3 should be a table"),
        ("[model]\nfamily = 'x'\n[data]\nbatch = 0", r"batch = 0 must be at least 1"),
        ("[model]\nfrom = 'a'\ninit = 'b'", r"both `from` and `init`"),
        ("[data]\nname = 'icons'", r"needs `family`, or `from` a card"),
        ("[model", r"is not TOML"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(RecipeError, match=message) as error:
        parse(text, "my/recipe.toml")
    assert str(error.value).startswith("my/recipe.toml")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"There is no recipe at .*none\.toml"):
        load_recipe(tmp_path / "none.toml")


def test_other_steps():
    recipe = parse("[model]\nfamily = 'x'")
    assert recipe.with_steps(None) is recipe
    assert recipe.with_steps(7).train.steps == 7
    assert isinstance(recipe.with_steps(7), Recipe)
