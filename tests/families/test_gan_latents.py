"""Latents of a GAN: truncation, the number that chooses a label, and inversion."""

import pytest
import torch

from zoo import plugins, rng
from zoo.card import Card
from zoo.errors import RequestError, Unsupported
from zoo.model import Model
from zoo_gan import latents
from zoo_gan.net import Gan
from zoo_gan.request import Request, understand

CONFIG = {"latent": 5, "widths": [8, 4], "classes": 4, "embedding": 3, "inversion_steps": 60}


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        net = Gan(**CONFIG).eval()
        for module in net.modules():  # a generator whose latents matter, as a trained one's do
            if isinstance(module, torch.nn.Linear | torch.nn.Conv2d | torch.nn.Embedding):
                torch.nn.init.normal_(module.weight, std=0.35)
    card = Card(
        name="subject", family="gan", version="1.0.0", license="unknown", config=CONFIG,
        image=(3, 8, 8), latent=(6,), latent_kind="continuous",
    )  # fmt: skip
    return Model(card, net, plugins.family("gan"))


@pytest.mark.parametrize("bound", [0.1, 0.5, 2.0])
def test_truncation_keeps_within_its_bound_and_has_the_moments_of_a_truncated_normal(bound):
    many = latents.truncated(torch.rand(200_000, generator=rng.generator(0)), bound)
    assert many.abs().max() <= bound
    edge = torch.tensor(bound, dtype=torch.float64)
    density = (-edge.square() / 2).exp() / (2 * torch.pi) ** 0.5
    variance = 1 - 2 * edge * density / (2 * torch.special.ndtr(edge) - 1)
    assert float(many.var()) == pytest.approx(float(variance), rel=0.01)
    assert abs(float(many.mean())) < 0.01 * bound


@pytest.mark.parametrize("bound", [-1.0, float("inf"), float("nan")])
def test_truncation_refuses_a_bound_that_is_none(model, bound):
    with pytest.raises(RequestError, match="positive number"):
        model.sample(1, seed=0, truncation=bound)


def test_truncation_leaves_the_number_that_chooses_the_label_free(model):
    drawn = latents.draw(model.net, 400, rng.generator(0), 0.3)
    assert drawn[:, 1:].abs().max() <= 0.3
    assert drawn[:, 0].abs().max() > 1
    counts = model.net.labels(drawn).bincount(minlength=4)
    assert counts.min() > 70  # 100 each expected, 8.7 standard deviation


def test_labels_and_the_numbers_that_choose_them_agree(model):
    labels = torch.arange(4)
    assert torch.equal(model.net.labels(model.net.coordinate(labels)[:, None]), labels)
    assert model.net.labels(torch.tensor([[1e9], [-1e9]])).tolist() == [3, 0]


def test_sampling_is_decoding_what_was_drawn_with_a_label_or_without(model):
    drawn = latents.draw(model.net, 3, rng.generator(4))
    assert torch.equal(model.sample(3, seed=4).tensor, model.decode(drawn).tensor)
    asked = model.condition(label=[2, 0, 1])
    assert torch.equal(asked.sample(3, seed=4).tensor, asked.decode(drawn).tensor)
    drawn[:, 0] = model.net.coordinate(torch.tensor([2, 0, 1])).float()
    assert torch.equal(asked.sample(3, seed=4).tensor, model.decode(drawn).tensor)


def test_inversion_finds_the_picture_and_the_label_of_what_was_generated(model):
    drawn = latents.draw(model.net, 2, rng.generator(6), 1.0)
    drawn[:, 0] = model.net.coordinate(torch.tensor([3, 1])).float()
    made = model.decode(drawn).tensor
    found = model.condition(steps=80, starts=64).encode(made)
    again = model.decode(found).tensor
    error = (again - made).square().mean((1, 2, 3))
    assert (error < 0.01 * made.var((1, 2, 3))).all(), error
    assert model.net.labels(found).tolist() == [3, 1]


def test_more_steps_of_inversion_find_a_nearer_picture(model):
    made = model.sample(2, seed=1).tensor
    errors = [
        float((model.decode(model.condition(steps=n).encode(made)).tensor - made).square().mean())
        for n in (0, 10, 40)
    ]
    assert errors[0] > errors[1] > errors[2]


def test_inversion_works_in_inference_mode_and_leaves_no_gradient(model):
    with torch.inference_mode():
        images = model.sample(1, seed=0).tensor
        found = model.condition(label=1, steps=3, starts=4).encode(images)
    assert found.shape == (1, 6)
    assert not found.requires_grad
    assert all(each.grad is None for each in model.net.parameters())


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"label": 4}, "0 .. 3"),
        ({"label": -1}, "0 .. 3"),
        ({"label": True}, "whole number"),
        ({"label": "cat"}, "whole number"),
        ({"label": [0, 1]}, "2 entries for 3"),
        ({"steps": -1}, "steps of inversion is 0 to"),
        ({"steps": 10**6}, "got 1,000,000"),
        ({"starts": 0}, "starts of inversion is 1 to"),
        ({"rate": 0.0}, "positive"),
        ({"lable": 1}, "label"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(model, request_, message):
    with pytest.raises(RequestError, match=message):
        understand(model.net, request_, 3)


def test_a_gan_without_classes_has_no_labels():
    net = Gan(**{**CONFIG, "classes": 0})
    with pytest.raises(RequestError, match="made without labels"):
        understand(net, {"label": 0}, 1)
    assert understand(net, {}, 1) == Request(steps=60)


def test_log_prob_is_unsupported_and_says_who_gives_it(model):
    with pytest.raises(Unsupported, match=r"The family 'gan' does not give log_prob\. ") as told:
        model.log_prob(model.sample(1, seed=0))
    giving = [each for each in plugins.families() if "log_prob" in plugins.family(each).hooks]
    assert all(each in str(told.value) for each in giving)
