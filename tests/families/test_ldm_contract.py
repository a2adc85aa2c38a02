"""Latent diffusion keeps the contract of all families: with a text, a class, a map, U-Net and DiT."""

import latents
import pytest
import torch

from zoo.card import Density
from zoo.testing import CHECKS, Subject
from zoo_ldm.net import latent_diffusion

PART = latents.autoencoder()
DIT = {
    "kind": "dit", "channels": 4, "outputs": 4, "size": 4, "width": 16, "depth": 1, "heads": 2, "classes": 3,
}  # fmt: skip
KINDS = {
    "text": (latents.reading(), {"text": "noto: red apple"}, "lower bound"),
    "pooled text": (latents.reading(pooled=True), {"text": "noto: red apple"}, "lower bound"),
    "class": (
        {**latents.config(classes=3, null=True), "net": DIT},
        {"label": 1, "steps": 2},
        "lower bound",
    ),
    "text and map": (
        latents.reading(maps={"channels": 2, "patch": 2}),
        {"text": "noto: red apple", "map": torch.ones(2, 16, 16)},
        "lower bound",
    ),
}  # fmt: skip


def subject(kind):
    config, request, density = KINDS[kind]
    return Subject(
        "ldm",
        config,
        image=(3, 16, 16),
        latent=(4, 4, 4),
        latent_kind="continuous",
        log_prob=Density(density, "latents"),
        hooks=("condition", "encode", "decode", "sample", "log_prob"),
        parts={"autoencoder": PART},
        request=request,
        options={"steps": 3},
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check, kind):
    check(subject(kind))


def test_a_pooled_text_is_told_to_every_block_and_needs_a_net_that_takes_it():
    made = subject("pooled text").model
    net, prompts = made.net, ["noto: red apple", "twemoji: green house"]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for each in net.parameters():  # what a net that is not trained leaves at zero, too
            each.normal_(std=0.3, generator=generator)
    x, t = torch.randn(2, 4, 4, 4), torch.full((2,), 5.0)
    rows = torch.randn(2, 6, 12)
    allowed = torch.arange(6) < torch.tensor([[6], [3]])
    told = net.attended(rows, allowed)
    mean = torch.stack([rows[0].mean(0), rows[1, :3].mean(0)])
    torch.testing.assert_close(told["label"], net.summary(mean))
    other = {**told, "label": told["label"].flip(0)}
    assert not torch.allclose(net.network(x, t, told), net.network(x, t, other))
    assert made.condition(text=prompts).sample(2, seed=0, steps=2).shape == (2, 3, 16, 16)
    with pytest.raises(ValueError, match=r"net\.labels = 'vector'"):
        latent_diffusion({**latents.reading(), "pooled": True}, {})
