"""What a tokenizer's training minimises, against its definition."""

import pytest
import torch
from torch.nn import functional as F

from zoo.errors import RequestError
from zoo.nn.discriminator import adaptive_weight
from zoo.plugins import family
from zoo_vq.net import tokenizer
from zoo_vq.training import Weights, objectives

CONFIG = {
    "post_quant_conv": False,
    "encoder": {"kind": "compact", "channels": 3, "patch": 2, "widths": [8, 32], "blocks": [1, 1]},
    "decoder": {
        "kind": "compact",
        "channels": 3,
        "latent": 4,
        "patch": 2,
        "widths": [8, 32],
        "blocks": [1, 1],
        "fine": 4,
    },
    "quantizer": {"kind": "vector", "codes": 16, "dim": 4, "learn": "gradient"},
}
GAN = {"adversarial_weight": 0.7, "discriminator_width": 4, "discriminator_layers": 1}


def made(table, seed=0):
    torch.manual_seed(seed)
    net = tokenizer(CONFIG).double().train()
    for parameter in net.parameters():  # zero-initialised ones too, so that every gradient shows
        torch.nn.init.normal_(parameter, std=0.2)
    found = objectives(net, table)
    for objective in found:
        if objective.module is not None:
            objective.module.double()
    return net, found, {"images": torch.rand(2, 3, 16, 16, dtype=torch.float64) * 2 - 1}


def test_without_a_discriminator_there_is_one_objective():
    net, found, batch = made({"pixel": "l2", "pixel_weight": 3.0, "latent_weight": 0.5})
    assert [each.name for each in found] == ["autoencoder"]
    loss, metrics = found[0].loss(batch, 0)
    reconstruction, quantized = net(batch["images"])
    expected = 3 * F.mse_loss(reconstruction, batch["images"]) + 0.5 * quantized.loss
    assert torch.allclose(loss, expected, rtol=1e-12)
    assert {"l2", "latent", "perplexity", "used"} <= set(metrics)


def test_the_adversarial_gradient_is_that_of_the_published_loss():
    """One pass through the discriminator gives what differentiating taming's loss gives."""
    net, (generator, _), batch = made(GAN)
    generator.loss(batch, 0)[0].backward()
    ours = {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}
    net.zero_grad()
    critic = generator.module.discriminator
    reconstruction, quantized = net(batch["images"])
    similar = (reconstruction - batch["images"]).abs().mean()
    push = -critic(reconstruction).mean()
    weight = adaptive_weight(similar, push, net.last_layer(), 0.7)
    (similar + weight * push + quantized.loss).backward()
    theirs = {name: p.grad for name, p in net.named_parameters() if p.grad is not None}
    assert ours.keys() == theirs.keys()
    for name, gradient in ours.items():
        assert torch.allclose(gradient, theirs[name], rtol=1e-9, atol=1e-14), name


def test_the_generator_does_not_move_the_discriminator():
    net, (generator, discriminator), batch = made(GAN)
    generator.loss(batch, 0)[0].backward()
    assert all(p.grad is None for p in discriminator.parameters)
    net.zero_grad()
    discriminator.loss(batch, 0)[0].backward()
    assert all(p.grad is None for p in net.parameters())
    assert all(p.grad is not None for p in discriminator.parameters)


def test_the_discriminator_waits_for_its_start():
    _, found, batch = made(GAN | {"adversarial_start": 10})
    assert "adaptive" not in found[0].loss(batch, 9)[1]
    assert "adaptive" in found[0].loss(batch, 10)[1]
    assert found[1].start == 10


def test_held_out_losses_need_no_gradient():
    net, found, batch = made(GAN)
    net.eval()
    with torch.no_grad():
        assert "adaptive" not in found[0].loss(batch, 0)[1]
        assert torch.isfinite(found[1].loss(batch, 0)[0])


def test_training_the_decoder_keeps_every_token():
    net, (only,), batch = made({"train": "decoder"})
    before = net.eval().tokens(batch["images"])
    net.train()
    optimizer = torch.optim.SGD(only.parameters, lr=0.1)
    losses = []
    for step in range(8):
        loss, _ = only.loss(batch, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert torch.equal(net.eval().tokens(batch["images"]), before)
    assert losses[-1] < losses[0]


def test_an_unknown_term_is_refused_with_the_nearest_name():
    with pytest.raises(RequestError, match=r"pixel_wieght.*pixel_weight"):
        Weights.of({"pixel_wieght": 1.0})


def test_the_hook_answers():
    found = family("vq").call("objectives", net=tokenizer(CONFIG), recipe={})
    assert [each.name for each in found] == ["autoencoder"]


DVAE = {
    "quant_conv": False,
    "post_quant_conv": False,
    "encoder": {"kind": "dvae", "channels": 3, "latent": 12, "hidden": 16, "blocks": 1},
    "decoder": {"kind": "dvae", "channels": 3, "latent": 12, "hidden": 16, "blocks": 1, "start": 8},
    "quantizer": {"kind": "gumbel", "codes": 12, "width": None},
}


def test_a_dvae_trains_by_its_likelihood():
    torch.manual_seed(0)
    net = tokenizer(DVAE).train()
    [only] = objectives(net, {"pixel": "logit-laplace"})
    images = (torch.rand(2, 3, 1, 1) - 0.5).expand(2, 3, 16, 16)
    optimizer = torch.optim.Adam(only.parameters, 1e-2)
    nats = []
    for step in range(60):
        loss, metrics = only.loss({"images": images}, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        nats.append(float(metrics["nats"]))
    assert nats[-1] < nats[0] - 0.5


@pytest.mark.parametrize(
    ("config", "table", "says"),
    [(CONFIG, {}, "needs a decoder"), (DVAE, {"adversarial_weight": 0.1}, "leave out")],
)
def test_a_likelihood_that_cannot_be_is_refused(config, table, says):
    with pytest.raises(RequestError, match=says):
        objectives(tokenizer(config), {"pixel": "logit-laplace", **table})
