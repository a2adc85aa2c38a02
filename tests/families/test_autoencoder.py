"""Autoencoders of continuous latents: the contract, the bound's term in closed form, tiles, scale."""

import pytest
import torch
from PIL import Image
from torch.distributions import Normal, kl_divergence

from zoo.data import collate, open_set
from zoo.errors import RequestError
from zoo.nn import tiles
from zoo.testing import CHECKS, Subject
from zoo_vq.autoencoder.net import autoencoder
from zoo_vq.autoencoder.scale import measured
from zoo_vq.training import objectives

COMPACT = {"kind": "compact", "channels": 3, "patch": 2, "widths": [8, 32], "blocks": [1, 1]}
RESIDUAL = {"channels": 3, "widths": [8, 16, 16], "groups": 4}
KINDS = {
    "compact": {"latent": 4, "encoder": COMPACT, "decoder": {**COMPACT, "latent": 6, "fine": 4}},
    "residual": {
        "latent": 3,
        "scale": 0.2,
        "encoder": {**RESIDUAL, "latent": 6, "blocks": 1},
        "decoder": {**RESIDUAL, "latent": 3, "blocks": 2},
    },
    "deterministic": {
        "latent": 32,
        "deterministic": True,
        "quant_conv": False,
        "post_quant_conv": False,
        "encoder": COMPACT,
        "decoder": {**COMPACT, "latent": 32, "fine": 4},
    },
}


def subject(kind):
    config = KINDS[kind]
    return Subject(
        "autoencoder",
        config,
        image=(3, 16, 16),
        latent=(config["latent"], 4, 4),
        latent_kind="continuous",
        multiple=4,
        hooks=("encode", "decode"),
        recipe={"latent_weight": 1e-3},
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check, kind):
    check(subject(kind))


def test_the_cost_of_latents_is_kl_to_the_standard_normal():
    net, images = subject("compact").model.net, subject("compact").images.tensor
    net = autoencoder(KINDS["compact"]).double()
    images = images.double()
    mean, logarithm = net.moments(images).chunk(2, 1)
    posterior = Normal(mean, (logarithm / 2).exp())
    expected = kl_divergence(posterior, Normal(torch.zeros_like(mean), 1.0)).mean()
    assert torch.allclose(net(images)[1].loss, expected, rtol=1e-12)


def test_a_draw_is_of_the_posterior_and_without_a_generator_there_is_the_mode():
    model = subject("compact").model
    images = torch.zeros(400, 3, 16, 16)
    mean, logarithm = model.net.moments(images[:1]).chunk(2, 1)
    drawn = model.encode(images, seed=3)
    assert torch.equal(model.encode(images[:1]), mean)
    deviation = (logarithm / 2).exp()
    far = (drawn.mean(0) - mean[0]).abs() / (deviation[0] / 20)
    assert far.max() < 5
    assert torch.allclose(drawn.std(0), deviation[0], rtol=0.25)


def test_a_teacher_keeps_the_latents(tmp_path):
    model = subject("compact").model
    teacher = str(model.save(tmp_path / "teacher"))
    images = subject("compact").images.tensor
    net = autoencoder(KINDS["compact"]).train()
    (objective,) = objectives(net, {"like": teacher, "like_weight": 3.0})
    (free,) = objectives(net, {})
    torch.manual_seed(0)
    loss, told = objective.loss({"images": images}, 0)
    torch.manual_seed(0)
    without, _ = free.loss({"images": images}, 0)
    mean, theirs = (each.moments(images).chunk(2, 1)[0] for each in (net, model.net))
    strayed = (mean - theirs).square().mean()
    assert strayed > 1e-4
    assert told["strayed"] == pytest.approx(strayed.item(), rel=1e-5)
    assert loss.item() == pytest.approx((without + 3 * strayed).item(), rel=1e-5)
    assert not any(each.requires_grad for each in objective.module.parameters())


def test_a_teacher_of_other_latents_is_refused(tmp_path):
    teacher = str(subject("compact").model.save(tmp_path / "teacher"))
    with pytest.raises(RequestError, match="latents of 4 channels, this net of 3"):
        objectives(autoencoder(KINDS["residual"]), {"like": teacher})


def test_a_deterministic_one_draws_its_mode():
    model = subject("deterministic").model
    images = subject("deterministic").images
    assert torch.equal(model.encode(images, seed=3), model.encode(images))


def test_tiles_of_latents(monkeypatch):
    """Nets without norms or attention do on tiles what they do on the whole picture."""
    torch.manual_seed(0)
    shrink = torch.nn.Conv2d(3, 4, 2, stride=2).double()
    grow = torch.nn.ConvTranspose2d(4, 3, 2, stride=2).double()
    images = torch.randn(1, 3, 40, 56).double()
    monkeypatch.setattr(tiles, "LIMIT", 16 * 16)
    monkeypatch.setattr(tiles, "TILE", 16)
    monkeypatch.setattr(tiles, "MARGIN", 8)
    monkeypatch.setattr(tiles, "FEW", 16)
    with torch.no_grad():
        z = shrink(images)
        assert torch.allclose(tiles.encode(shrink, images), z, rtol=1e-12)
        assert torch.allclose(tiles.decode(grow, z), grow(z), rtol=1e-12)


def test_widths_that_do_not_fit():
    config = {**KINDS["deterministic"], "latent": 16}
    with pytest.raises(ValueError, match=r"the encoder gives 32 channels.*must be 16"):
        autoencoder(config)


def test_the_scale_is_that_of_the_latents(tmp_path):
    for index in range(12):
        colour = (20 * index, 255 - 20 * index, 90)
        Image.new("RGB", (16, 16), colour).save(tmp_path / f"{index}.png")
    model = subject("residual").model
    mean, deviations = measured(model, str(tmp_path), "train", 16)
    pictures = open_set(str(tmp_path), "train", 16)
    z = model.encode(collate([pictures[i] for i in range(len(pictures))])["images"], seed=0)
    assert mean == pytest.approx(float(z.mean()), rel=1e-4, abs=1e-6)
    expected = (z - z.mean()).square().mean((0, 2, 3)).sqrt()
    assert deviations == pytest.approx(expected.tolist(), rel=1e-4)
