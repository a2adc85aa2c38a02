"""What training minimises, and that it falls."""

import pytest
import torch

from zoo.errors import RequestError
from zoo_vae import bounds
from zoo_vae.net import vae
from zoo_vae.training import Settings, objectives

SIDE = {"widths": [8, 12], "blocks": [0, 1], "narrow": 4}


def net(classes=0, latents=(4,)):
    torch.manual_seed(0)
    return vae(
        {
            "image": [1, 8, 8],
            "latents": list(latents),
            "likelihood": {"kind": "bernoulli"},
            "encoder": SIDE,
            "decoder": SIDE,
            "classes": classes,
        }
    )


def halves(count):
    """Pictures whose left or right half is white: without latents 64 ln 2 = 44 nats, with them ln 2 at best."""
    images, labels = -torch.ones(count, 1, 8, 8), torch.arange(count) % 2
    images[labels == 0, :, :, :4] = 1.0
    images[labels == 1, :, :, 4:] = 1.0
    return {"images": images, "labels": labels}


def loss_of(made, table, batch, step=0):
    torch.manual_seed(3)
    return objectives(made, table)[0].loss(batch, step)


@pytest.mark.parametrize(
    ("latents", "table"),
    [((4,), {}), ((4, 1), {"beta_start": 0.1, "warmup": 20}), ((4,), {"importance": 4})],
)
def test_the_bound_falls(latents, table):
    made, batch = net(latents=latents), halves(56)
    (goal,) = objectives(made, table)
    optimizer = torch.optim.AdamW(goal.parameters, lr=1e-2)
    torch.manual_seed(0)
    nats = []
    for step in range(100):
        loss, told = goal.loss(batch, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        nats.append(float(told["nats"]))
    assert nats[0] > 40
    assert max(nats[-5:]) < 15


def test_the_loss_is_the_negative_elbo_of_the_same_noise():
    made, batch = net(), halves(14)
    loss, told = loss_of(made, {}, batch)
    torch.manual_seed(3)
    likely, kl = bounds.elbo_terms(made, batch["images"], None, torch.randn(14, 4))
    torch.testing.assert_close(loss, (kl.sum(1) - likely).mean())
    torch.testing.assert_close(told["nats"], loss.detach())
    torch.testing.assert_close(told["distortion"] + told["rate"], loss.detach())


def test_beta_rises_to_its_value_and_scales_the_rate_alone():
    settings = Settings.of({"beta": 2.0, "beta_start": 0.5, "warmup": 100})
    assert [settings.weight(step) for step in (0, 50, 100, 500)] == [0.5, 1.25, 2.0, 2.0]
    made, batch = net(), halves(14)
    loss, told = loss_of(made, {"beta": 3.0}, batch)
    torch.testing.assert_close(loss.detach(), told["distortion"] + 3 * told["rate"])


def test_free_bits_leave_a_latent_alone_until_it_costs_more():
    made, batch = net(), halves(14)
    loss, told = loss_of(made, {"free_bits": 0.9}, batch)
    torch.testing.assert_close(loss.detach(), told["distortion"] + 4 * 0.9)
    (slope,) = torch.autograd.grad(loss, made.encoder.out.bias)
    plain, _ = loss_of(made, {}, batch)
    (with_rate,) = torch.autograd.grad(plain, made.encoder.out.bias)
    assert not torch.equal(slope, with_rate)


def test_importance_minimises_the_importance_weighted_bound():
    made, batch = net(), halves(4)
    loss, told = loss_of(made, {"importance": 5}, batch)
    assert float(loss.detach()) <= -float(told["elbo"])


def test_some_classes_are_hidden_in_training_and_none_when_measured():
    made, batch = net(classes=2), halves(200)
    asked = []
    forward = made.decoder.forward
    made.decoder.forward = lambda z, labels: asked.append(labels) or forward(z, labels)
    loss_of(made, {"label_dropout": 0.3}, batch)
    with torch.no_grad():
        loss_of(made, {"label_dropout": 0.3}, batch)
    assert 30 < int((asked[0] == 2).sum()) < 90
    assert torch.equal(asked[1], batch["labels"])
    with pytest.raises(RequestError, match="no labels"):
        loss_of(made, {}, {"images": batch["images"]})


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"free_bit": 1.0}, "Did you mean 'free_bits'"),
        ({"importance": 0}, "1 or more"),
        ({"importance": 5, "beta": 2.0}, "leave out beta"),
    ],
)
def test_impossible_settings_are_refused(table, said):
    with pytest.raises(RequestError, match=said):
        Settings.of(table)


def test_the_preview_shows_pictures_reconstructions_and_samples():
    shown = objectives(net(), {})[0].preview(halves(4))
    assert shown.shape == (12, 1, 8, 8)
    assert float(shown.detach().abs().max()) <= 1
