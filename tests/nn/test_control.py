"""ControlNets: nothing changes before training, then what each adds, and what of it does not fit."""

import math

import pytest
import torch

from zoo.nn.control import Control, ControlNet, Controls, Hint
from zoo.nn.unet import UNet
from zoo.nn.unet.transformer import CrossAttention, SpatialTransformer

NETS = {
    "pixels": {"channels": 3, "widths": [8, 12], "blocks": 1, "attention": {"levels": [1]}},
    "text": {
        "channels": 4, "widths": [8, 16], "blocks": 1, "stem": 4, "concat": 2,
        "attention": {"levels": [0], "heads": [2, 4], "context": 6, "depth": [1, 2]},
    },
    "labels": {"channels": 3, "widths": [8], "blocks": 2, "classes": 3, "patch": 2, "down": "pool"},
}  # fmt: skip


def drawn(net, seed=0, std=0.3):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0, std, generator=generator)
    return net.eval()


def made(name, **more):
    options = {**NETS[name], "residual": {"groups": 4}}
    net = drawn(UNet(outputs=options["channels"], **options))
    control = ControlNet(options, hint=1, hint_widths=more.pop("hint_widths", [4]), **more)
    control.copy(net)
    return net, control.eval()


def inputs(name, batch=2, side=8):
    generator = torch.Generator().manual_seed(1)
    options = NETS[name]
    cond = {}
    if "attention" in options and "context" in options["attention"]:
        cond["text"] = torch.randn(batch, 5, 6, generator=generator)
        cond["concat"] = torch.randn(batch, 2, side, side, generator=generator)
    if "classes" in options:
        cond["label"] = torch.arange(batch) % 3
    x = torch.randn(batch, options["channels"], side, side, generator=generator)
    return x, torch.full((batch,), 30.0), cond


def hint(name, batch=2, side=8):
    side //= NETS[name].get("patch", 1)
    return torch.rand(batch, 1, side, side, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("name", NETS)
def test_a_new_controlnet_changes_nothing_not_a_bit(name):
    net, control = made(name)
    x, t, cond = inputs(name)
    controls = Controls((Control(control, control.hint(hint(name))),))
    assert not control.hint(hint(name)).any()
    assert torch.equal(net(x, t, {**cond, "control": controls}), net(x, t, cond))


@pytest.mark.parametrize("name", NETS)
def test_every_weight_of_it_learns_but_none_of_the_base(name):
    net, control = made(name)
    net.requires_grad_(False)
    with torch.no_grad():
        for zero in (*control.zeros, control.middle, control.hint.out):
            zero.weight.normal_(0, 0.1, generator=torch.Generator().manual_seed(3))
    x, t, cond = inputs(name)
    controls = Controls((Control(control, control.hint(hint(name))),))
    net(x, t, {**cond, "control": controls}).square().sum().backward()
    still = [key for key, each in control.named_parameters() if each.grad is None]
    assert still == []
    assert all(each.grad is None for each in net.parameters())


def test_at_first_the_zero_convolutions_alone_have_a_gradient():
    net, control = made("pixels")
    x, t, cond = inputs("pixels")
    controls = Controls((Control(control, control.hint(hint("pixels"))),))
    net(x, t, {**cond, "control": controls}).square().sum().backward()
    moved = {key.split(".")[0] for key, each in control.named_parameters() if each.grad.any()}
    assert moved == {"zeros", "middle"}


def test_residuals_are_weighed_summed_and_repeated_for_guidance():
    net, one = made("pixels")
    other = drawn(ControlNet({**NETS["pixels"], "residual": {"groups": 4}}, 1, [4]), seed=5)
    one = drawn(one, seed=6)
    x, t, cond = inputs("pixels")
    seen = [each.hint(hint("pixels")) for each in (one, other)]
    alone = [each(x, t, features, cond) for each, features in zip((one, other), seen, strict=True)]
    both = Controls((Control(one, seen[0], 0.5), Control(other, seen[1], 2.0)))(x, t, cond)
    for got, a, b in zip(both, *alone, strict=True):
        torch.testing.assert_close(got, 0.5 * a + 2 * b)
    fading = [0.1 * i for i in range(len(alone[0]))]
    for got, a, weight in zip(
        Control(one, seen[0], fading).residuals(x, t, cond), alone[0], fading, strict=True
    ):
        torch.testing.assert_close(got, weight * a)
    twice = Controls((Control(one, seen[0]),))
    once = net(x, t, {"control": twice})
    doubled = net(torch.cat([x, x]), torch.cat([t, t]), {"control": twice})
    torch.testing.assert_close(doubled, torch.cat([once, once]), atol=1e-4, rtol=1e-4)
    assert Controls((Control(one, seen[0], 0.0),))(x, t, cond) is None


def test_a_stretch_of_times_is_held_to():
    _, control = made("pixels")
    drawn(control)
    x, _, cond = inputs("pixels")
    within = Controls((Control(control, control.hint(hint("pixels")), 1.0, 40.0, 20.0),))
    spoken = [within(x, torch.full((2,), time), cond) is not None for time in (41, 40, 20, 19)]
    assert spoken == [False, True, True, False]


def test_hints_are_made_as_small_as_the_map_and_channels_can_be_turned_round():
    encoder = drawn(Hint(3, [4, 6, 8], 5))
    seen = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    assert (encoder.factor, encoder(seen).shape) == (4, (1, 5, 4, 6))
    turned = Hint(3, [4, 6, 8], 5, bgr=True)
    turned.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(turned(seen.flip(1)), encoder(seen))


def test_other_nets_and_other_residuals_are_refused():
    net, control = made("pixels")
    with pytest.raises(ValueError, match=r"the base is another net: \d+ of the \d+ tensors"):
        control.copy(
            UNet(outputs=3, **{**NETS["pixels"], "widths": [8, 16], "residual": {"groups": 4}})
        )
    with pytest.raises(ValueError, match="copies a U-Net's middle"):
        ControlNet({**NETS["pixels"], "middle": False, "residual": {"groups": 4}})
    x, t, _ = inputs("pixels")
    with pytest.raises(ValueError, match="`control` holds residuals"):
        net(x, t, {"control": [torch.zeros(2, 8, 8, 8)]})


def test_attention_to_a_context_is_its_formula():
    layer = drawn(CrossAttention(6, 4, 2, 3)).double()
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    context = torch.randn(2, 7, 4, dtype=torch.float64)
    want = []
    for head in range(2):
        rows = slice(3 * head, 3 * head + 3)
        q, k, v = (
            x @ layer.q.weight[rows].t(),
            context @ layer.k.weight[rows].t(),
            context @ layer.v.weight[rows].t(),
        )
        want.append((q @ k.transpose(1, 2) / math.sqrt(3)).softmax(2) @ v)
    want = torch.cat(want, 2) @ layer.out.weight.t() + layer.out.bias
    torch.testing.assert_close(layer(x, context), want)
    allowed = torch.ones(2, 7, dtype=torch.bool)
    allowed[:, 4:] = False
    torch.testing.assert_close(layer(x, context, allowed), layer(x, context[:, :4]))


def test_a_new_transformer_changes_nothing_and_needs_its_context():
    block = SpatialTransformer(8, 4, 2, 4, 2, 4)
    x, context = torch.randn(2, 8, 3, 5), torch.randn(2, 6, 4)
    assert torch.equal(block(x, context), x)
    drawn(block)
    assert not torch.equal(block(x, context), x)
    with pytest.raises(ValueError, match=r"attends to `text` \(B, L, 4\), got none"):
        block(x)
    with pytest.raises(ValueError, match=r"got \(2, 6, 5\)"):
        block(x, torch.randn(2, 6, 5))


def test_a_conditional_net_says_what_it_lacks():
    net, _ = made("text")
    x, t, cond = inputs("text")
    with pytest.raises(ValueError, match=r"attends to `text`"):
        net(x, t, {"concat": cond["concat"]})
    with pytest.raises(
        ValueError, match=r"needs `concat`, maps \(2, 2, 8, 8\) beside x, got \(2, 2, 4, 4\)"
    ):
        net(x, t, {**cond, "concat": cond["concat"][..., :4, :4]})
    plain, _ = made("pixels")
    with pytest.raises(ValueError, match="a text was given to a net that attends to none"):
        plain(*inputs("pixels")[:2], {"text": cond["text"]})
    with pytest.raises(ValueError, match="has no number for level 1"):
        UNet(3, 3, [8, 8], attention={"levels": [1], "heads": [1]}, residual={"groups": 4})
