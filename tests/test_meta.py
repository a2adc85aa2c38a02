import torch
from torch import nn

from zoo.bare import shapes_only


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.GroupNorm(2, 4)
        self.table = nn.Embedding(5, 4)
        self.free = nn.Parameter(torch.randn(3).mul_(2).clamp_(-1, 1))
        nn.init.trunc_normal_(self.free, std=0.02)
        nn.init.orthogonal_(self.table.weight)


def test_a_net_built_on_meta_has_names_and_shapes_and_no_values():
    with Meta():
        net = Net()
    want = {name: value.shape for name, value in Net().state_dict().items()}
    assert {name: value.shape for name, value in net.state_dict().items()} == want
    assert all(value.is_meta and value.requires_grad for value in net.parameters())


def test_building_draws_nothing():
    before = torch.get_rng_state()
    with Meta():
        Net()
    assert torch.equal(before, torch.get_rng_state())


def test_tensors_with_values_are_still_initialised():
    with Meta():
        real = torch.empty(3, device="cpu")
        nn.init.ones_(real)
        assert real.tolist() == [1, 1, 1]
        nn.init.constant_(tensor=real, val=2.0)
    assert real.fill_(3).tolist() == [3, 3, 3]


def test_the_block_ends_with_an_error():
    try:
        with Meta():
            raise ValueError
    except ValueError:
        assert torch.zeros(1).device.type == "cpu"
