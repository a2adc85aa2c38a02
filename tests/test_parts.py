"""A model made of models: loaded with its parts, and with others that fit."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import zoo
from zoo import hookimpl, hub, plugins
from zoo.card import Card
from zoo.errors import RequestError, UnknownModel
from zoo.model import Model, build
from zoo.parts import misfits


class Tokens:
    """One code a pixel."""

    @hookimpl
    def build(self, config):
        return nn.Embedding(config["codes"], 1)

    @hookimpl
    def decode(self, net, latents):
        return net(latents).permute(0, 3, 1, 2).tanh()


class Prior:
    """Always the same token, shown by whichever tokenizer it has."""

    class Net(nn.Module):
        def __init__(self, tokenizer):
            super().__init__()
            self.logits = nn.Parameter(torch.arange(float(tokenizer.card.codes)))
            self.tokenizer = tokenizer

    @hookimpl
    def build(self, config, parts):
        return self.Net(**parts, **config)

    @hookimpl
    def sample(self, net, count):
        tokens = net.logits.argmax().expand(count, *net.tokenizer.card.latent)
        return net.tokenizer.decode(tokens)


TOKENS = Card(
    name="tokens", family="tokens", version="1.0.0", license="mit", config={"codes": 5},
    image=(1, 4, 4), latent=(4, 4), latent_kind="tokens", codes=5,
)  # fmt: skip
PRIOR = Card(
    name="prior", family="prior", version="1.0.0", license="mit", config={}, image=(1, 4, 4),
    parts={"tokenizer": "tokens@1.0.0"},
)  # fmt: skip


@pytest.fixture
def store(monkeypatch):
    """Two families and their models in the store: a prior, its tokenizer, and others."""
    made = {
        "tokens": plugins.register("tokens", Tokens()),
        "prior": plugins.register("prior", Prior()),
    }
    monkeypatch.setattr("zoo.loading.family", made.__getitem__)

    def save(card, value, **parts):
        net = build(made[card.family], card, parts, meta=False)
        with torch.no_grad():
            next(net.parameters()).copy_(torch.arange(5.0).mul(value).view_as(*net.parameters()))
        return Model(card, net, made[card.family]).save(hub.models() / card.title)

    save(TOKENS, 0.1)
    save(replace(TOKENS, name="others"), -0.1)
    save(replace(TOKENS, name="wide", image=(1, 8, 8), latent=(8, 8)), 0.1)
    save(PRIOR, 1, tokenizer=zoo.load("tokens"))


def test_a_model_is_loaded_with_its_parts(store):
    model = zoo.load("prior")
    assert model.parts["tokenizer"].name == "tokens"
    assert set(model.net.state_dict()) == {"logits"}
    assert torch.allclose(model.sample(2).tensor, torch.tensor(0.4).tanh())
    assert model.to(dtype=torch.float64).parts["tokenizer"].dtype == torch.float64


def test_a_part_is_swapped_by_name_or_by_model(store):
    want = torch.tensor(-0.4).tanh()
    assert torch.allclose(zoo.compose("prior", tokenizer="others").sample().tensor, want)
    own = zoo.load("others")
    assert zoo.compose("prior", tokenizer=own).parts["tokenizer"] is own


def test_a_part_that_does_not_fit_is_told_why(store):
    with pytest.raises(RequestError) as told:
        zoo.compose("prior", tokenizer="wide")
    assert str(told.value).splitlines() == [
        "wide@1.0.0 cannot be the tokenizer of prior@1.0.0 in place of tokens@1.0.0:",
        "  images (C, H, W): needs (1, 4, 4), wide@1.0.0 has (1, 8, 8)",
        "  grid of latents: needs (4, 4), wide@1.0.0 has (8, 8)",
    ]
    assert misfits(TOKENS, replace(TOKENS, codes=9)) == [
        "codes (the vocabulary): needs 5, tokens@1.0.0 has 9"
    ]


def test_an_unknown_role_or_part_is_told(store):
    with pytest.raises(RequestError, match=r"no part 'tokeniser'.*mean 'tokenizer'.*parts: token"):
        zoo.compose("prior", tokeniser="others")
    with pytest.raises(UnknownModel, match=r"'tokns'.*mean 'tokens'"):
        zoo.compose("prior", tokenizer="tokns")
