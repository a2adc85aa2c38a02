"""How many bits: within 1 % of what the model says, which is held to the model's own log_prob."""

import math

import coded_family
import numpy as np
import pytest
import torch
from coded_pictures import BINARY, CHAIN, GREY, LATENT, smooth

from zoo import rng
from zoo.codec import Picture, bitsback, pack
from zoo.images import from_uint8


def given(config, count):
    c, h, w = config["image"]
    drawn = smooth(count, c, h, w, binary=config["levels"] == 2)
    pictures = [Picture(each, "RGB" if c == 3 else "L") for each in drawn]
    return pictures, from_uint8(torch.from_numpy(drawn)).double()


@pytest.mark.parametrize(("config", "count"), [(CHAIN, 60), (BINARY, 400)], ids=["grey", "binary"])
def test_autoregressive_bits_are_the_model_s(make, config, count):
    model = make(config)
    pictures, images = given(config, count)
    packed = pack(model, pictures)
    with torch.no_grad():
        nats = float(coded_family.exact(model.net.double(), images, None).sum())
    bits = -nats / math.log(2)
    assert packed.ideal == pytest.approx(bits, rel=1e-6)
    assert packed.payload == pytest.approx(bits, rel=0.01)
    assert packed.payload >= bits - 64
    if config is CHAIN:  # a longer stream: the coder itself, without its last word
        assert packed.payload - 64 < 1.001 * bits


@pytest.mark.parametrize(("config", "count"), [(LATENT, 800), (GREY, 150)], ids=["binary", "grey"])
def test_bits_back_costs_the_bound(make, config, count):
    """Initial bits counted. The bound itself is estimated by 20 draws a picture."""
    model = make(config)
    pictures, images = given(config, count)
    packed = pack(model, pictures)
    with torch.no_grad():
        nats = coded_family.bound(model.net.double(), images, rng.generator(0), 20)
    bits = -float(nats.sum()) / math.log(2)
    assert packed.payload == pytest.approx(bits, rel=0.01)
    assert packed.payload == pytest.approx(packed.ideal, rel=0.01)


def test_only_the_first_picture_pays_for_initial_bits(make):
    """Coding all at once costs little more a picture than many do, though it needs their bits first."""
    model = make(LATENT)
    one, _ = given(LATENT, 1)
    many, _ = given(LATENT, 120)
    alone, together = pack(model, one), pack(model, many, lanes=64)
    first = alone.payload - alone.ideal
    assert 0 < first < 8 * bitsback.BITS * LATENT["latents"]
    assert together.payload - together.ideal < 2 * first + 64
    single = pack(model, many, lanes=1)
    assert abs(together.payload - together.ideal - (single.payload - single.ideal)) < first


def test_without_bits_back_it_would_cost_far_more(make):
    pictures, _ = given(GREY, 100)
    packed = pack(make(GREY), pictures)
    latents = GREY["latents"] * bitsback.BITS * len(pictures)
    assert packed.payload < packed.ideal + 0.1 * latents


def test_the_archive_counts_all_it_is(chain):
    pictures, _ = given(CHAIN, 5)
    packed = pack(chain, pictures)
    assert packed.bits == 8 * len(packed.data) > packed.payload
    assert packed.dimensions == 5 * 108
    assert packed.bits_per_dim == packed.bits / 540
    assert len(packed.data) - packed.payload // 8 < 120 + 2 * 5  # facts, digests, checks
    assert np.isclose(packed.as_dict()["bits_per_dim"], packed.bits_per_dim)
