"""Samples to be measured: every label as often as any other, whatever the batch."""

import pytest
import torch
from torch import nn

import zoo
from zoo import plugins
from zoo.card import Card
from zoo.errors import Unsupported
from zoo.evaluate.drawing import drawn
from zoo.evaluate.gauges import usual
from zoo.model import Model
from zoo.options import read


class Flat:
    """Pictures of one grey, which the label fixes."""

    @zoo.hookimpl
    def build(self, config):
        net = nn.Module()
        net.greys = nn.Parameter(torch.linspace(-1, 1, config["classes"] or 1))
        return net

    @zoo.hookimpl
    def condition(self, net, request, batch):
        label = read(request, "condition", label=None).label
        return (label if isinstance(label, list) else [label] * batch)[:batch]

    @zoo.hookimpl
    def sample(self, net, count, cond):
        labels = [0] * count if cond is None else cond
        return net.greys[torch.tensor(labels)].view(count, 1, 1, 1).expand(-1, 1, 2, 2)


class Silent:
    @zoo.hookimpl
    def build(self, config):
        return nn.Linear(1, 1)


class Deaf(Silent):
    @zoo.hookimpl
    def sample(self, net, count):
        return torch.zeros(count, 1, 2, 2)


def model(plugin, classes, **card):
    family = plugins.register("flat", plugin)
    net = family.call("build", config={"classes": classes}, parts={})
    made = Card(
        name="flat", family="flat", version="1.0.0", license="mit", image=(1, 2, 2),
        config={"classes": classes}, **card,
    )  # fmt: skip
    return Model(made, net, family)


def labels(images):
    return ((images.tensor[:, 0, 0, 0] + 1) * 1.5).round().int().tolist()


def test_labels_go_round_over_all_batches():
    four = model(Flat(), 4)
    assert labels(drawn(four, 6, seed=0)) == [0, 1, 2, 3, 0, 1]
    assert labels(drawn(four, 6, seed=1, first=6)) == [2, 3, 0, 1, 2, 3]


def test_a_label_that_was_asked_for_stays_and_a_model_without_labels_is_asked_for_none():
    assert labels(drawn(model(Flat(), 4).condition(label=2), 3, seed=0)) == [2, 2, 2]
    assert drawn(model(Flat(), 0), 3, seed=0).tensor.shape == (3, 1, 2, 2)


def test_a_model_that_cannot_is_told_so():
    with pytest.raises(Unsupported, match="does not give sample"):
        drawn(model(Silent(), 0), 1, seed=0)
    with pytest.raises(Unsupported, match="takes no label"):
        drawn(model(Deaf(), 4), 1, seed=0)


def test_what_a_gan_s_card_is_measured_by():
    """Latents that can be sampled are no autoencoder's: reconstruction is not what it is for."""
    gan = model(Flat(), 4, latent=(3,), latent_kind="continuous", hooks=("decode", "sample"))
    assert usual(gan.card) == ("fd-samples",)
    autoencoder = model(Flat(), 4, latent=(3,), latent_kind="continuous", hooks=("decode",))
    assert "psnr" in usual(autoencoder.card)
