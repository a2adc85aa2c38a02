"""Resampling, residual blocks and the autoencoder around them."""

import pytest
import torch
from torch.nn import functional as F

from zoo.nn.attention import Attention, LinearAttention
from zoo.nn.autoencoder import Decoder, Encoder
from zoo.nn.discriminator import PatchDiscriminator, adaptive_weight, hinge_loss, logistic_loss
from zoo.nn.residual import Downsample, ResnetBlock, Upsample


@pytest.mark.parametrize("shape", [(1, 6, 4, 5), (1, 6, 40, 33), (3, 6, 32, 48)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_doubling_is_nearest_then_the_convolution(shape, dtype):
    torch.manual_seed(0)
    net = Upsample(6).to(dtype)
    x = torch.randn(shape, dtype=dtype, requires_grad=True)
    want = F.conv2d(
        F.interpolate(x, scale_factor=2.0, mode="nearest"),
        net.conv.weight,
        net.conv.bias,
        padding=1,
    )
    got = net(x)
    torch.testing.assert_close(got, want)
    upstream = torch.randn_like(want)
    wanted = [x, net.conv.weight, net.conv.bias]
    for ours, theirs in zip(
        torch.autograd.grad(got, wanted, upstream),
        torch.autograd.grad(want, wanted, upstream),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("size", [(6, 8), (5, 9), (64, 80), (65, 80)])
@torch.no_grad()
def test_halving_pads_below_and_right(size):
    height, width = size
    net, x = Downsample(4), torch.randn(2, 4, height, width)
    padded = torch.zeros(2, 4, height + 1, width + 1)
    padded[:, :, :height, :width] = x
    want = F.conv2d(padded, net.conv.weight, net.conv.bias, stride=2)
    torch.testing.assert_close(net(x), want)
    with torch.enable_grad():
        torch.testing.assert_close(net(x), want)
    torch.testing.assert_close(Downsample(4, conv=False)(x), F.avg_pool2d(x, 2))


def test_attention_is_the_softmax_over_positions():
    torch.manual_seed(0)
    net, x = Attention(64), torch.randn(2, 64, 3, 5)
    h = net.norm(x)
    q, k, v = (F.conv2d(h, p.weight, p.bias).flatten(2) for p in (net.q, net.k, net.v))
    weights = torch.softmax(q.transpose(1, 2) @ k / 8, dim=-1)  # (B, N, N), rows sum to 1
    mixed = (v @ weights.transpose(1, 2)).view_as(x)
    torch.testing.assert_close(net(x), x + net.proj_out(mixed), atol=1e-5, rtol=1e-5)


def test_linear_attention_is_the_sum_over_positions():
    net, x = LinearAttention(8), torch.randn(1, 8, 2, 3)
    q, k, v = F.conv2d(x, net.to_qkv.weight).flatten(2).chunk(3, dim=1)
    want = torch.einsum("bcn,bdn,bci->bdi", k.softmax(-1), v, q).view_as(x)
    torch.testing.assert_close(net(x), net.to_out(want), atol=1e-6, rtol=1e-5)


@pytest.fixture
def pair():
    torch.manual_seed(0)
    options = {"channels": 3, "latent": 4, "widths": [32, 64], "attention": [1]}
    return Encoder(blocks=1, **options).eval(), Decoder(blocks=2, **options).eval()


@torch.no_grad()
def test_inference_and_training_paths_agree_at_every_size(pair):
    encoder, decoder = pair
    for side in (16, 128):  # below and above the size where memory is laid out channels-last
        images = torch.randn(2, 3, side, side)
        latents = encoder(images)
        assert latents.shape == (2, 4, side // 2, side // 2)
        pictures = decoder(latents)
        assert pictures.shape == images.shape
        with torch.enable_grad():
            torch.testing.assert_close(encoder(images), latents, atol=2e-5, rtol=1e-5)
            torch.testing.assert_close(decoder(latents), pictures, atol=2e-5, rtol=1e-5)


@torch.no_grad()
def test_a_picture_does_not_depend_on_its_batch(pair):
    encoder, _ = pair
    for side in (16, 128):
        images = torch.randn(3, 3, side, side)
        torch.testing.assert_close(encoder(images)[:1], encoder(images[:1]), atol=1e-5, rtol=1e-5)


def test_the_input_is_left_alone_and_every_parameter_learns(pair):
    encoder, decoder = pair
    images = torch.randn(1, 3, 16, 16).contiguous(memory_format=torch.channels_last)
    before = images.clone()
    decoder(encoder(images)).square().sum().backward()
    with torch.no_grad():
        decoder(encoder(images))
    assert torch.equal(images, before)
    learnt = [p.grad is not None for net in pair for p in net.parameters()]
    assert all(learnt)


def test_unknown_kinds_are_named_with_those_that_exist():
    with pytest.raises(ValueError, match=r"unknown activation 'tanh'; there are \['gelu'"):
        ResnetBlock(32, 32, activation="tanh")
    with pytest.raises(ValueError, match="'softmax' and 'linear'"):
        Encoder(3, 4, [32], 1, attention_kind="flash")
    with pytest.raises(ValueError, match="conditioned on the quantised codes"):
        Decoder(3, 4, [32], 1, spatial=4)(torch.zeros(1, 4, 2, 2))


def test_losses_against_their_formulas():
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.5])
    assert hinge_loss(real, fake) == 0.5 * (0.25 + 0.75)
    want = 0.5 * (torch.log1p((-real).exp()).mean() + torch.log1p(fake.exp()).mean())
    torch.testing.assert_close(logistic_loss(real, fake), want)
    last = torch.tensor([3.0, 4.0], requires_grad=True)
    weight = adaptive_weight((last * 2).sum(), (last * torch.tensor([0.0, 1.0])).sum(), last, 0.5)
    torch.testing.assert_close(weight, torch.tensor(0.5 * 8**0.5 / (1 + 1e-4)))
    assert not weight.requires_grad


def test_actnorm_starts_from_the_first_training_batch():
    net = PatchDiscriminator(3, 8, 2, actnorm=True)
    images = torch.randn(4, 3, 32, 32)
    net.eval()(images)
    assert not any(flag for name, flag in net.named_buffers() if name.endswith("initialized"))
    seen = []
    net.main[3].register_forward_hook(lambda module, given, out: seen.append(out.clone()))
    net.train()(images)
    torch.testing.assert_close(seen[0].mean((0, 2, 3)), torch.zeros(16), atol=1e-5, rtol=0)
    torch.testing.assert_close(seen[0].std((0, 2, 3)), torch.ones(16), atol=1e-3, rtol=0)
