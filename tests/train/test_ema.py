"""Averaged weights against the recursion written out."""

import torch
from torch import nn

from zoo.train.ema import Ema


def test_the_average_is_the_recursion():
    net = nn.Linear(3, 2)
    ema = Ema(net, 0.5)
    expected = net.weight.detach().clone()
    for step in range(6):
        with torch.no_grad():
            net.weight.add_(torch.randn(2, 3, generator=torch.Generator().manual_seed(step)))
        ema.update(step)
        decay = min(0.5, (2 + step) / (11 + step))
        expected = decay * expected + (1 - decay) * net.weight.detach()
    torch.testing.assert_close(ema.shadow["weight"], expected)


def test_applied_shows_the_average_and_gives_the_weights_back_bit_for_bit():
    net = nn.BatchNorm1d(4)
    ema = Ema(net, 0.9, warmup=False)
    net.weight.data.uniform_()
    net.running_mean.fill_(7)
    ema.update(0)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with ema.applied():
        assert torch.equal(net.weight, ema.shadow["weight"])
        assert torch.equal(net.running_mean, before["running_mean"])  # buffers are not averaged
        assert not torch.equal(net.weight, before["weight"])
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
