"""Training from a set of tokens: the tokenizer is out of the loop, and has to be the right one."""

import dataclasses
import json
import sys
from pathlib import Path

import pytest
import torch
import toy
from runs import last, recipe, same
from torch import nn
from torch.nn import functional as F

import zoo
from zoo.card import Card
from zoo.data import encode_set
from zoo.hookspecs import hookimpl
from zoo.train import Objective, RecipeError, finish, train
from zoo.train.recipe import Model

sys.path.append(str(Path(__file__).parents[1] / "data"))
from noise import pictures, tokenizer


class Counts(nn.Module):
    """P(t) = softmax(logits)_t at each place of the grid, and the tokenizer, which is no child."""

    def __init__(self, tokenizer):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(16, 32))
        self.holder = (tokenizer,)


def counting():
    """A family of token models: batches of tokens are taken as they are, pictures are encoded."""

    def build(config, parts):
        return Counts(parts["tokenizer"])

    def objectives(net, recipe):
        def loss(batch, step):
            tokens = batch.get("tokens")
            if tokens is None:
                tokens = net.holder[0].encode(batch["images"])
            logits = net.logits.expand(len(tokens), -1, -1)
            return F.cross_entropy(logits.flatten(0, 1), tokens.flatten()), {}

        return [Objective("tokens", [net.logits], loss)]

    def sample(net, count, generator):
        tokens = torch.multinomial(net.logits.softmax(-1), count, True, generator=generator)
        return net.holder[0].decode(tokens.T.reshape(count, 4, 4))

    return toy.family(
        "counting", hookimpl(objectives), build=hookimpl(build), sample=hookimpl(sample),
        encode=None, decode=None,
    )  # fmt: skip


@pytest.fixture
def here(tmp_path):
    model, data = tokenizer(tmp_path), pictures(tmp_path / "noise", 24)
    encode_set(model, data, tmp_path / "tokens", flip=True, batch=8)
    return model, data, f"{tmp_path}/tokens"


def plan(model, name, **settings):
    made = recipe("counting", data={"name": name, "flip": True, **settings}, grid_every=6)
    parts = {"tokenizer": model} if model else {}
    return dataclasses.replace(made, model=Model("counting", parts=parts))


def test_the_run_is_the_one_with_the_tokenizer_in_the_loop(here, tmp_path, monkeypatch):
    model, data, tokens = here
    looped = train(
        plan(model, data, size=16, held_out="all"), tmp_path / "looped", family=counting()
    )
    monkeypatch.setattr("zoo.model.Model.encode", None)
    plain = plan(model, tokens, held_out="train")
    run = train(plain, tmp_path / "run", family=counting())
    assert same(last(looped), last(run))
    assert last(run)["logits"].abs().max() > 0
    about = json.loads((run / "run.json").read_text())
    assert about["image"] == [3, 16, 16]
    assert (about["data"], about["tokens_of"]) == ("noise", "tiny-tokens@1.0.0")
    assert (run / "grids" / "step-00000006.png").is_file()
    card = Card.read(finish(run, "counts", family=counting()))
    assert card.parts == {"tokenizer": "tiny-tokens@1.0.0"}  # the recipe names its folder


def test_another_tokenizer_is_refused_naming_both(here, tmp_path):
    *_, tokens = here
    other = tokenizer(tmp_path, "other-tokens", seed=1)
    theirs = zoo.show(other).files["model.safetensors"].sha256[:12]
    with pytest.raises(
        RecipeError, match=f"tokens of 'tiny-tokens@1.0.0' .*'other-tokens@1.0.0' .weights {theirs}"
    ):
        train(plan(other, tokens), tmp_path / "run", family=counting())
    with pytest.raises(
        RecipeError, match=r"parts are: none\..*tokenizer = \"tiny-tokens@1\.0\.0\""
    ):
        train(plan("", tokens), tmp_path / "run", family=counting())
