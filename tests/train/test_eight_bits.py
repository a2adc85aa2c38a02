"""Moments in 8 bits: how near they come, that they are kept, and that AdamW goes on with them."""

import pytest
import torch

from zoo.train.eight_bits import BLOCK, SMALL, AdamW8bit, levels_of, restored, stored


@pytest.mark.parametrize("signed", [True, False])
def test_there_are_256_levels_and_each_is_kept(signed):
    levels = torch.tensor(levels_of(signed))
    assert len(levels.unique()) == 256
    assert bool(levels.min() < 0) is signed
    given = levels * 3.5
    assert torch.allclose(restored(*stored(given, signed), signed), given, rtol=1e-6)


def test_what_is_stored_is_near_and_zero_stays_zero():
    values = torch.randn(7, 300) * torch.logspace(-4, 2, 300)
    codes, scale = stored(values, True)
    assert (codes.dtype, codes.shape) == (torch.uint8, values.shape)
    assert len(scale) == -(-values.numel() // BLOCK)
    again = restored(codes, scale, True)
    whole = scale.repeat_interleave(BLOCK)[: values.numel()].view_as(values)
    near = (values.abs() / whole) > 0.1  # the decade of 64 levels either side
    assert ((again - values).abs()[near] <= 0.9 / 128 * whole[near] * 1.001).all()
    assert torch.equal(restored(*stored(torch.zeros(300), False), False), torch.zeros(300))
    small = torch.tensor([1.0, 1e-12])
    assert (restored(*stored(small, False), False) > 0).all()


def descend(kind, steps, start, resumed=None):
    wanted = torch.linspace(-1, 1, 2 * SMALL).view(2, SMALL)
    moved = torch.nn.Parameter(start.clone())
    optimizer = kind([moved], lr=0.05, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.0)
    if resumed is not None:
        optimizer.load_state_dict(resumed)
    for _ in range(steps):
        optimizer.zero_grad()
        (moved - wanted).square().sum().backward()
        optimizer.step()
    return moved.detach(), optimizer.state_dict(), (moved - wanted).square().mean().item()


def test_it_goes_where_adamw_goes_and_on_from_where_it_stopped():
    start = torch.randn(2, SMALL, generator=torch.Generator().manual_seed(0))
    exact, _, theirs = descend(torch.optim.AdamW, 60, start)
    own, _, ours = descend(AdamW8bit, 60, start)
    assert ours < 0.02 * start.square().mean()
    assert (own - exact).abs().mean() < 0.05
    assert theirs < 0.02
    half, state, _ = descend(AdamW8bit, 30, start)
    kept = state["state"][0]
    assert kept["exp_avg"].dtype == torch.uint8
    assert torch.equal(descend(AdamW8bit, 30, half, state)[0], own)


def test_small_parameters_keep_moments_of_32_bits():
    moved = torch.nn.Parameter(torch.ones(4))
    optimizer = AdamW8bit([moved], weight_decay=0.1)
    moved.grad = torch.tensor([1.0, -1.0, 2.0, 0.0])
    optimizer.step()
    assert optimizer.state[moved]["exp_avg"].dtype == torch.float32
    wanted = 1 - 1e-3 * (0.1 + torch.tensor([1.0, -1.0, 1.0, 0.0]))
    assert torch.allclose(moved.detach(), wanted, atol=1e-6)
