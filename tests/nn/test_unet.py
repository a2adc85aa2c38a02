"""The denoising U-Net: what its options mean, what it refuses, that nothing is left untrained."""

import math

import pytest
import torch
from torch.nn import functional as F

from zoo.nn.time import TimeEmbedding, sinusoid
from zoo.nn.unet import UNet
from zoo.nn.unet.blocks import Block, SelfAttention, split
from zoo.nn.unet.options import Attending, Residual

SMALL = {"channels": 3, "outputs": 6, "widths": [8, 12], "blocks": 1}
GROUPS = {"groups": 4}


def drawn(net, seed=0):
    """`net` with every parameter drawn, those that start at zero too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0, 0.3, generator=generator)
    return net.eval()


def unet(**options):
    return drawn(UNet(**SMALL | {"residual": GROUPS} | options))


def noise(*shape, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


def test_sinusoids_are_the_closed_form_in_both_orders():
    t = torch.tensor([0.0, 1.0, 12.5])
    for shift in (0.0, 1.0):
        rates = [10000 ** (-i / (4 - shift)) for i in range(4)]
        cosines = [[math.cos(each * rate) for rate in rates] for each in t.tolist()]
        sines = [[math.sin(each * rate) for rate in rates] for each in t.tolist()]
        want = torch.cat([torch.tensor(cosines), torch.tensor(sines)], 1)
        torch.testing.assert_close(sinusoid(t, 8, "cos-sin", shift), want, atol=1e-6, rtol=1e-5)
        swapped = torch.cat([want[:, 4:], want[:, :4]], 1)
        torch.testing.assert_close(sinusoid(t, 8, "sin-cos", shift), swapped, atol=1e-6, rtol=1e-5)
    odd = sinusoid(t, 9)
    assert torch.equal(odd[:, :8], sinusoid(t, 8))
    assert not odd[:, 8].any()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"residual": GROUPS | {"modulation": "shift", "activation": "gelu"}},
        {"attention": {"levels": [0, 1], "heads": 2}, "down": "block", "up": "block"},
        {"attention": {"levels": [0], "up_levels": [1], "head_channels": 4, "split": "parts"}},
        {"attention": {"levels": [1], "split": "apart", "middle_groups": 0}, "down": "conv-right"},
        {"down": "pool", "up": "nearest", "middle": False, "stem": 4, "patch": 2},
        {"classes": 5, "null": True},
        {"labels": "time"},
        {"low": 3, "low_level": True, "centre": True, "middle_scale": 2.0},
        {"time": {"kind": "fourier", "width": 6, "embed": 10}},
        {"time": {"kind": "learned", "steps": 9}},
    ],
)
def test_every_parameter_learns(options):
    net = unet(**options).train()
    cond = {}
    if net.labels is not None:
        cond["label"] = torch.tensor([1, 5] if net.null else [1, 4])
    if net.low:
        cond |= {"low": noise(2, 3, 4, 4), "low_level": torch.tensor([3.0, 0.0])}
    x, t = noise(2, 3, 16, 16), torch.tensor([1.0, 7.0])
    out = net(x, t, cond)
    assert out.shape == (2, 6, 16, 16)
    out.square().mean().backward()
    learning = [name for name, each in net.named_parameters() if each.requires_grad]
    assert [name for name in learning if net.get_parameter(name).grad is None] == []


def test_a_fresh_net_says_nothing_and_passes_its_input_through_each_block():
    torch.manual_seed(0)
    net = UNet(**SMALL, residual=GROUPS).eval()
    x, t = noise(2, 3, 8, 8), torch.tensor([1.0, 7.0])
    torch.testing.assert_close(net(x, t), net.conv.bias.view(1, -1, 1, 1).expand(2, -1, 8, 8))
    block = Block(8, 8, 4, Residual(groups=4))
    block.conv2.bias.data.zero_()
    h = noise(2, 8, 4, 4)
    torch.testing.assert_close(block(h, noise(2, 4)), h)


@pytest.mark.parametrize("modulation", ["shift", "scale-shift"])
def test_a_block_is_its_formula_with_and_without_gradients(modulation):
    block = drawn(Block(8, 12, 5, Residual(groups=4, modulation=modulation)).double())
    x, e = noise(2, 8, 6, 6, dtype=torch.float64), noise(2, 5, dtype=torch.float64)
    first = F.group_norm(x, 4, block.norm1.weight, block.norm1.bias, block.norm1.eps)
    h = block.conv1(F.silu(first))
    told = (e @ block.embed.weight.t() + block.embed.bias)[:, :, None, None]
    if modulation == "shift":
        h = F.group_norm(h + told, 4, block.norm2.weight, block.norm2.bias)
    else:
        h = F.group_norm(h, 4, block.norm2.weight, block.norm2.bias)
        h = h * (1 + told[:, :12]) + told[:, 12:]
    want = block.shortcut(x) + block.conv2(F.silu(h))
    torch.testing.assert_close(block(x, e), want)
    kept = x.clone()
    with torch.no_grad():
        for layout in (torch.contiguous_format, torch.channels_last):
            torch.testing.assert_close(block(x.contiguous(memory_format=layout), e), want)
    assert torch.equal(x, kept)


@pytest.mark.parametrize("order", ["heads", "parts", "apart"])
def test_attention_is_its_formula_whatever_the_order_of_its_projection(order):
    layer = SelfAttention(8, 2, 3, groups=4, split=order, scale=2.0).double()
    drawn(layer)
    x = noise(2, 8, 3, 4, dtype=torch.float64)
    h = F.group_norm(x, 4, layer.norm.weight, layer.norm.bias, layer.norm.eps)
    h = h.flatten(2).transpose(1, 2)  # (B, N, C)
    if order == "apart":
        q, k, v = (f(h).view(2, 12, 2, 3) for f in (layer.q, layer.k, layer.v))
    elif order == "heads":
        q, k, v = layer.qkv(h).view(2, 12, 2, 3, 3).unbind(3)
    else:
        q, k, v = layer.qkv(h).view(2, 12, 3, 2, 3).unbind(2)
    weights = torch.einsum("bnhd,bmhd->bhnm", q, k) / 3**0.5
    mixed = torch.einsum("bhnm,bmhd->bnhd", weights.softmax(-1), v).flatten(2)
    want = (x + layer.out(mixed).transpose(1, 2).reshape(x.shape)) / 2
    torch.testing.assert_close(layer(x), want)
    assert layer(x.float().contiguous().double()).is_contiguous()


def test_split_keeps_every_number():
    qkv = torch.arange(24.0).view(1, 1, 24)
    q, k, v = split(qkv, 2, "heads")
    assert torch.equal(q.flatten(), torch.tensor([0.0, 1, 2, 3, 12, 13, 14, 15]))
    q, k, v = split(qkv, 2, "parts")
    assert torch.equal(torch.cat([q, k, v]).flatten(), torch.arange(24.0))


def test_patches_see_and_give_every_pixel_in_its_place():
    net = unet(patch=2, middle=False)
    net.descent.stem.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    seen = []
    x = noise(1, 3, 8, 8)
    net(x, torch.tensor([1.0]))
    assert torch.equal(F.pixel_shuffle(seen[0], 2), x)


def test_a_label_is_known_and_none_of_them_is_the_null_label():
    net = unet(classes=4, null=True)
    x, t = noise(2, 3, 8, 8), torch.tensor([1.0, 2.0])
    null = net(x, t, {"label": torch.tensor([4, 4])})
    torch.testing.assert_close(net(x, t), null)
    assert not torch.allclose(net(x, t, {"label": torch.tensor([0, 1])}), null)
    with pytest.raises(ValueError, match=r"needs a label for each picture, 0 \.\.\. 3"):
        unet(classes=4)(x, t)
    with pytest.raises(ValueError, match="knows none"):
        unet()(x, t, {"label": torch.tensor([0, 1])})


def test_pictures_of_a_batch_do_not_touch():
    net = unet(attention={"levels": [1]}, classes=3)
    x, t, label = noise(3, 3, 8, 8), torch.tensor([1.0, 50, 999]), torch.tensor([2, 0, 1])
    together = net(x, t, {"label": label})
    alone = [net(x[i : i + 1], t[i : i + 1], {"label": label[i : i + 1]}) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"down": "half"}, "unknown down 'half'; there are .*'conv-right'"),
        ({"up": ["conv", "conv"]}, "`up` names 2 steps between levels; there are 1"),
        ({"residual": {"modulation": "add"}}, "unknown modulation 'add'"),
        ({"residual": {"activation": "tanh"}}, "unknown activation 'tanh'"),
        ({"attention": {"split": "both"}}, "unknown split 'both'"),
        ({"attention": {"heads": 5}}, "12 channels do not divide among 5 heads"),
        ({"time": {"kind": "clock"}}, "unknown kind of time embedding 'clock'"),
        ({"time": {"kind": "learned"}}, "needs `steps`"),
        ({"labels": "words"}, "unknown labels 'words'"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, said):
    residual = GROUPS | options.get("residual", {})
    with pytest.raises(ValueError, match=said):
        UNet(**SMALL | options | {"residual": residual})


def test_inputs_that_do_not_fit_are_refused():
    t = torch.tensor([1.0])
    with pytest.raises(ValueError, match=r"10 x 9 pixels do not fit 2 levels .* multiples of 2"):
        unet()(noise(1, 3, 10, 9), t)
    with pytest.raises(ValueError, match="needs `low`"):
        unet(low=3)(noise(1, 3, 8, 8), t)
    with pytest.raises(ValueError, match="needs `low_level`"):
        unet(low=3, low_level=True)(noise(1, 3, 8, 8), t, {"low": noise(1, 3, 2, 2)})


def test_heads_follow_the_channels_or_are_a_number():
    assert Attending(head_channels=16).shape(24) == (1, 16)
    assert Attending(heads=4, up_heads=2).shape(8, up=True) == (2, 4)
    assert TimeEmbedding(4, 6, "fourier").features_width == 8
