"""A run becomes a model's folder, and a model's folder the start of a run."""

import dataclasses
import json
import logging

import pytest
import torch
import toy
from safetensors.torch import load_file

import zoo
from zoo.card import Card
from zoo.errors import WeightsError
from zoo.hookspecs import hookimpl
from zoo.train import RecipeError, checkpoint, finish, train
from zoo.train.recipe import Data, Model, Output, Recipe, Train, load_recipe
from zoo.train.start import take
from zoo.train.work import sow

PLAN = Recipe(
    model=Model("toy", config={"width": 12}),
    data=Data(batch=8),
    train=Train(steps=4, ema=0.9, grid_every=4, log_every=0),
    output=Output("bf16"),
)


@pytest.fixture
def finished(tmp_path):
    run = train(PLAN, tmp_path / "run", family=toy.family(), data=toy.data())
    return finish(run, "toy-squares", family=toy.family(), license="cc0-1.0")


def test_the_folder_is_a_valid_model(finished, tmp_path):
    card = Card.read(finished)
    assert finished == tmp_path / "run" / "toy-squares"
    assert (card.title, card.family, card.license) == ("toy-squares@1.0.0", "toy", "cc0-1.0")
    assert card.config == {"width": 12}
    assert (card.image, card.latent, card.latent_kind) == ((3, 8, 8), (6, 2, 2), "continuous")
    assert set(card.files) == {"model.safetensors", "recipe.toml", "sheet.png"}
    assert len(zoo.verify(finished)) == 3
    assert card.training is not None
    assert card.training.data == ("squares",)
    assert card.training.licences == ("CC0-1.0",)
    assert card.training.images == 4 * 8
    assert card.hooks == ("encode", "decode")
    assert load_recipe(finished) == PLAN
    assert "4 steps, 32 pictures of squares" in card.body


def test_the_weights_are_the_averaged_ones_in_the_stored_type(finished, tmp_path):
    stored = load_file(finished / "model.safetensors")
    folder = checkpoint.every(tmp_path / "run")[-1]
    averaged = load_file(folder / "ema.safetensors")
    assert stored.keys() == load_file(folder / "model.safetensors").keys()
    for name, tensor in averaged.items():
        assert torch.equal(stored[name], tensor.bfloat16())
    toy.Coder(12).load_state_dict(stored)


def test_tokens_need_their_number_of_codes(tmp_path):
    def encode(net, images):
        return net.encode(images).argmax(1)

    tokens = toy.family(encode=hookimpl(encode), decode=None)
    plan = dataclasses.replace(PLAN, train=Train(steps=1))
    run = train(plan, tmp_path / "run", family=tokens, data=toy.Pictures())
    card = Card.read(finish(run, "toy-tokens", "2.0.0", family=tokens, codes=6))
    assert (card.latent, card.latent_kind, card.codes) == ((2, 2), "tokens", 6)


def test_a_run_goes_on_from_a_card(finished, tmp_path):
    plan = dataclasses.replace(PLAN, model=Model(from_=str(finished)), train=Train(steps=1))
    run = train(plan, tmp_path / "more", family=toy.family(), data=toy.Pictures())
    about = json.loads((run / "run.json").read_text())
    assert (about["family"], about["config"]) == ("toy", {"width": 12})
    stored = load_file(finished / "model.safetensors")
    moved = load_file(checkpoint.every(run)[-1] / "model.safetensors")
    for name, tensor in stored.items():  # one step of AdamW moves no weight by more than about lr
        assert (moved[name] - tensor.float()).abs().max() < 2e-3 or name == "mean"
    other = dataclasses.replace(plan, model=Model("other", from_=str(finished)))
    with pytest.raises(RecipeError, match="is of the family 'toy'; leave `family` out"):
        train(other, tmp_path / "wrong", family=toy.family(), data=toy.Pictures())


def test_a_partial_start_lists_what_it_did_not_fill(finished, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    model = Model("toy", config={"width": 20}, init=str(finished))
    plan = dataclasses.replace(PLAN, model=model, train=Train(steps=1))
    run = train(plan, tmp_path / "wider", family=toy.family(), data=toy.Pictures())
    left = ["inward.0.weight", "inward.0.bias", "middle.weight"]
    assert json.loads((run / "run.json").read_text())["not_in_init"] == left
    assert f"Not in {finished}: {', '.join(sorted(left))}" in caplog.text
    stored = load_file(finished / "model.safetensors")["outward.weight"].float()
    moved = load_file(checkpoint.every(run)[-1] / "model.safetensors")["outward.weight"]
    sow(0, "net")
    fresh = toy.Coder(20).outward.weight
    assert (moved - stored).abs().max() < 2e-3 < (moved - fresh).abs().max()


def test_a_start_takes_weights_under_other_names(finished):
    stored = load_file(finished / "model.safetensors")["outward.weight"].float()
    sow(0, "net")
    net = toy.Coder(12)
    middle = net.middle.weight.detach().clone()
    left = take(net, str(finished), False, {"outward": "outward", "outward.bias": "gone"})
    assert torch.equal(net.outward.weight, stored)
    assert torch.equal(net.middle.weight, middle)
    assert "outward.bias" in left
    assert "outward.weight" not in left
    with pytest.raises(WeightsError, match=r"two weights of .* the name 'outward.bias'"):
        take(net, str(finished), False, {"outward": "outward", "outward.weight": "outward.bias"})


def test_a_run_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="has no checkpoint yet"):
        finish(tmp_path, "nothing")
