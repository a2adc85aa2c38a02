"""The diffusion transformer: positions, blocks, labels."""

import math

import pytest
import torch

from zoo.nn.dit import DiT, positions

SMALL = {"channels": 2, "outputs": 4, "size": 8, "width": 16, "depth": 2, "heads": 2, "classes": 3}


def drawn(net):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0, 0.3, generator=generator)
    return net.eval()


class Silent(torch.nn.Module):
    """Conditions that say nothing."""

    def forward(self, t, label):
        return torch.zeros(len(t), 8)


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def test_positions_are_sines_and_cosines_of_columns_then_of_rows():
    found = positions((2, 3), 8, 2)
    for row in range(2):
        for column in range(3):
            places = (column / 1.5, row)  # three columns are stretched over two
            want = [
                f(place * rate)
                for place in places
                for f in (math.sin, math.cos)
                for rate in (1.0, 0.01)
            ]
            torch.testing.assert_close(found[3 * row + column], torch.tensor(want))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"conditions": "each", "split": "apart", "activation": "geglu", "hidden": 24},
        {"activation": "swiglu", "bias": False, "affine": True, "null": False},
        {"classes": 0, "patch": 4, "split": "heads"},
    ],
)
def test_every_parameter_learns(options):
    net = drawn(DiT(**SMALL | options)).train()
    cond = {"label": torch.tensor([0, 2])} if net.classes else {}
    out = net(noise(2, 2, 8, 8), torch.tensor([1.0, 9.0]), cond)
    assert out.shape == (2, 4, 8, 8)
    out.square().mean().backward()
    assert [name for name, each in net.named_parameters() if each.grad is None] == []


def test_a_fresh_net_gives_its_bias_at_every_patch():
    torch.manual_seed(0)
    net = DiT(**SMALL).eval()
    out = net(noise(1, 2, 8, 8), torch.tensor([3.0]))
    patch = out[:, :, :2, :2]
    torch.testing.assert_close(out, patch.repeat(1, 1, 4, 4))


def test_patches_go_back_where_they_came_from():
    net = DiT(**SMALL | {"outputs": 2, "depth": 0, "width": 8, "heads": 1, "classes": 0})
    with torch.no_grad():  # patches of 2 x 2 x 2 numbers in and out, unchanged
        net.patches.weight.copy_(torch.eye(8).view(8, 2, 2, 2))
        net.patches.bias.zero_()
        net.positions.zero_()
        order = torch.arange(8).view(2, 2, 2).permute(1, 2, 0).flatten()
        net.out.weight.copy_(torch.eye(8)[order])
        net.out.bias.zero_()
        net.norm = torch.nn.Identity()
        net.modulation.weight.zero_()
        net.modulation.bias.zero_()
    net.conditions = Silent()
    x = noise(1, 2, 8, 8)
    torch.testing.assert_close(net(x, torch.tensor([1.0])), x)


def test_other_sizes_are_taken_and_the_label_matters():
    net = drawn(DiT(**SMALL))
    x, t = noise(1, 2, 8, 12), torch.tensor([1.0])
    null = net(x, t)
    assert null.shape == (1, 4, 8, 12)
    torch.testing.assert_close(net(x, t, {"label": torch.tensor([3])}), null)
    assert not torch.allclose(net(x, t, {"label": torch.tensor([0])}), null)
    with pytest.raises(ValueError, match="needs a label"):
        drawn(DiT(**SMALL, null=False))(x, t)


def test_positions_come_back_after_weights_are_laid_into_a_net_without_memory():
    from zoo import weights
    from zoo.bare import shapes_only

    made = drawn(DiT(**SMALL))
    with shapes_only():
        bare = DiT(**SMALL)
    weights.assign(bare, made.state_dict(), "here")
    x, t = noise(1, 2, 8, 8), torch.tensor([1.0])
    assert torch.equal(bare(x, t), made(x, t))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"width": 18}, "must divide among 2 heads, and by 4"),
        ({"activation": "tanh"}, "unknown activation 'tanh'"),
        ({"conditions": "none"}, "unknown conditions 'none'"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        DiT(**SMALL | options)
