"""Group norm on channels-last maps: the numbers of torch's, in place, and with gradients."""

import pytest
import torch
from torch.nn import functional as F

from zoo.nn.norm import GroupNorm, SpatialNorm, normalise_silu

LAST = torch.channels_last


def drawn(mean=0.0, shape=(2, 32, 12, 20), dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator, dtype=torch.float64) + mean
    return x.to(dtype).contiguous(memory_format=LAST)


def layer(dtype=torch.float32):
    made = GroupNorm(8, 32, eps=1e-6).to(dtype)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        made.weight.uniform_(0.5, 2, generator=generator)
        made.bias.normal_(generator=generator)
    return made


@pytest.mark.parametrize("mean", [0.0, 30.0])
@torch.no_grad()
def test_it_is_as_exact_far_from_zero_as_near(mean):
    net, x = layer(), drawn(mean)
    want = F.group_norm(x.double(), 8, net.weight.double(), net.bias.double(), 1e-6)
    assert (net(x) - want).abs().max() < (3e-6 if mean == 0 else 1e-4)


@torch.no_grad()
def test_only_a_map_that_is_given_away_is_overwritten():
    net, x = layer(), drawn()
    before = x.clone()
    kept = net(x)
    assert torch.equal(x, before)
    assert net(x, own=True).data_ptr() == x.data_ptr()
    assert torch.equal(x, kept)


@pytest.mark.parametrize("frozen", ["nothing", "input", "layer"])
def test_gradients_of_norm_and_silu_in_one_are_those_of_the_two(frozen):
    net, x = layer(torch.float64), drawn(1.0, dtype=torch.float64)
    x.requires_grad_(frozen != "input")
    net.requires_grad_(frozen != "layer")
    upstream = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    wanted = [t for t in (x, net.weight, net.bias) if t.requires_grad]
    plain = F.silu(F.group_norm(x.contiguous(), 8, net.weight, net.bias, 1e-6))
    want = torch.autograd.grad((plain * upstream).sum(), wanted)
    ours = normalise_silu(net, x, None)
    torch.testing.assert_close(ours, plain)
    assert ours.is_contiguous(memory_format=LAST)
    for got, expected in zip(
        torch.autograd.grad((ours * upstream).sum(), wanted), want, strict=True
    ):
        torch.testing.assert_close(got, expected)


def test_plain_norm_trains_above_a_frozen_channels_last_layer():
    net = layer()
    net(drawn()).sum().backward()  # torch alone dies here with a segmentation fault
    assert net.bias.grad is not None


@pytest.mark.parametrize("size", [(4, 5), (5, 7)])
def test_spatial_norm_is_the_resized_modulation(size):
    torch.manual_seed(0)
    net = SpatialNorm(32, 3)
    x, z = drawn(), torch.randn(2, 3, *size)
    resized = F.interpolate(z, size=x.shape[-2:], mode="nearest")
    plain = F.group_norm(x, 32, net.norm_layer.weight, net.norm_layer.bias, 1e-6)
    want = plain * net.conv_y(resized) + net.conv_b(resized)
    torch.testing.assert_close(net(x, z), want, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(net(x, z), want, atol=1e-5, rtol=1e-5)
