"""Lookup-free, finite scalar and Gumbel quantisation against their formulas, in float64."""

import itertools
import math

import pytest
import torch

from zoo.nn.quantizers import FiniteScalarQuantizer, GumbelQuantizer, LookupFreeQuantizer
from zoo.nn.quantizers.gumbel import gumbel_like, kl_to_uniform


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def latents(dim, scale=1.0, seed=0):
    return scale * torch.randn(3, dim, 4, 4, generator=seeded(seed), dtype=torch.float64)


def binary_entropy(p):
    return -(torch.special.xlogy(p, p) + torch.special.xlogy(1 - p, 1 - p))


@pytest.mark.parametrize(("first", "token"), [("most", 0b110), ("least", 0b011)])
def test_bits_stand_where_the_order_says(first, token):
    z = torch.tensor([1.0, 1.0, -1.0])[None, :, None, None]
    assert LookupFreeQuantizer(3, first=first).tokens(z).item() == token


def test_zero_is_negative():
    assert LookupFreeQuantizer(2).tokens(torch.zeros(1, 2, 1, 1)).item() == 0


@pytest.mark.parametrize("spherical", [False, True])
@pytest.mark.parametrize("first", ["most", "least"])
def test_lookup_free_tokens_and_codes_are_one_to_one(first, spherical):
    quantizer = LookupFreeQuantizer(5, first=first, spherical=spherical, scale=0.7).eval()
    every = torch.arange(32).view(2, 4, 4)
    codes = quantizer.lookup(every)
    assert torch.equal(quantizer.tokens(codes), every)
    assert len({tuple(code) for code in codes.movedim(1, -1).reshape(-1, 5).tolist()}) == 32
    length = 0.7 if spherical else 0.7 * 5**0.5
    torch.testing.assert_close(codes.norm(dim=1), torch.full((2, 4, 4), length))
    found = quantizer(latents(5))
    assert found.tokens.dtype == torch.int64
    torch.testing.assert_close(found.codes, quantizer.lookup(found.tokens).double())


def test_large_tokens_do_not_overflow():
    z = torch.ones(1, 40, 1, 1)
    quantizer = LookupFreeQuantizer(40).eval()
    assert quantizer(z).tokens.item() == 2**40 - 1
    assert torch.equal(quantizer.lookup(quantizer.tokens(z)), z)


def test_the_sample_entropy_is_a_sum_over_channels():
    quantizer = LookupFreeQuantizer(6, temperature=0.5)
    rows = torch.randn(50, 6, generator=seeded(), dtype=torch.float64)
    sample, _ = quantizer.entropies(rows)
    wanted = binary_entropy(torch.sigmoid(4 * rows / 0.5)).sum(1).mean()
    torch.testing.assert_close(sample, wanted)


def test_the_batch_entropy_is_of_the_mean_over_all_codes():
    quantizer = LookupFreeQuantizer(3, temperature=2.0)
    rows = torch.randn(20, 3, generator=seeded(), dtype=torch.float64)
    up = torch.sigmoid(4 * rows / 2.0)
    mean = torch.stack(
        [
            torch.stack([p if s > 0 else 1 - p for p, s in zip(up.T, code, strict=True)])
            .prod(0)
            .mean()
            for code in itertools.product([1, -1], repeat=3)
        ]
    )
    _, batch = quantizer.entropies(rows)
    torch.testing.assert_close(batch, -(mean * mean.log()).sum(), atol=1e-3, rtol=0)
    even, _ = quantizer.entropies(torch.zeros(1, 3, dtype=torch.float64))
    assert even == pytest.approx(3 * math.log(2))


def test_groups_of_channels_add_up_when_channels_are_independent():
    signs = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=6)), dtype=torch.float64)
    whole = LookupFreeQuantizer(6).entropies(signs)
    parts = LookupFreeQuantizer(6, group=2).entropies(signs)
    torch.testing.assert_close(parts[0], whole[0])
    torch.testing.assert_close(parts[1], whole[1], atol=1e-2, rtol=0)


def test_the_lookup_free_loss_is_made_of_its_terms():
    options = {"entropy": 0.2, "gamma": 1.5, "commitment": 0.3}
    quantizer, z = LookupFreeQuantizer(4, **options), latents(4).requires_grad_()
    found = quantizer(z)
    sample, batch = quantizer.entropies(z.movedim(1, -1).reshape(-1, 4))
    distance = (z - z.detach().sign()).square().mean()
    torch.testing.assert_close(found.loss, 0.2 * (sample - 1.5 * batch) + 0.3 * distance)
    upstream = latents(4, seed=1)
    (gradient,) = torch.autograd.grad(found.codes, z, upstream)
    assert torch.equal(gradient, upstream)
    assert quantizer.eval()(z).loss == 0


def test_clamped_latents_keep_their_tokens():
    z = latents(4, scale=10.0)
    squashed = LookupFreeQuantizer(4, clamp=1.5)
    assert torch.equal(squashed(z).tokens, LookupFreeQuantizer(4).tokens(z))
    assert squashed(z).metrics["commitment"] < 1


LEVELS = [([8, 5, 5, 5], False), ([7, 4], False), ([5, 3, 2], True), ([2, 2, 2], True), ([9], True)]


@pytest.mark.parametrize(("levels", "symmetric"), LEVELS)
def test_finite_scalar_tokens_are_a_bijection(levels, symmetric):
    quantizer = FiniteScalarQuantizer(levels, symmetric=symmetric)
    assert quantizer.codes == math.prod(levels)
    every = torch.arange(quantizer.codes)[None]
    codes = quantizer.lookup(every)  # (1, D, K)
    assert torch.equal(quantizer.index(codes.movedim(1, -1)), every)
    assert codes.abs().max() <= 1
    assert len(set(map(tuple, codes[0].T.tolist()))) == quantizer.codes
    # every code can be reached: an atanh of its position lands on it
    wide = quantizer.tokens(latents(len(levels), scale=3.0))
    assert wide.min() >= 0
    assert wide.max() < quantizer.codes


@pytest.mark.parametrize(("levels", "symmetric"), LEVELS)
def test_finite_scalar_codes_round_the_bounded_latents(levels, symmetric):
    quantizer, z = FiniteScalarQuantizer(levels, symmetric=symmetric), latents(len(levels))
    found = quantizer(z)
    assert found.tokens.dtype == torch.int64
    torch.testing.assert_close(quantizer.lookup(found.tokens).double(), found.codes)
    assert found.loss == 0
    for channel, level in enumerate(levels):
        wanted = torch.linspace(-1, 1, level, dtype=torch.float64)
        if not symmetric and level % 2 == 0:
            wanted = torch.arange(-level // 2, level // 2, dtype=torch.float64) / (level // 2)
        off = torch.cdist(found.codes[:, channel].reshape(-1, 1), wanted[:, None]).amin(1)
        assert off.max() < 1e-12


def test_the_first_level_varies_fastest():
    quantizer = FiniteScalarQuantizer([5, 3])
    codes = quantizer.lookup(torch.arange(15)[None])[0]
    assert codes[0, :6].tolist() == [-1, -0.5, 0, 0.5, 1, -1]
    assert codes[1, :6].tolist() == [-1] * 5 + [0]


def test_the_finite_scalar_gradient_is_that_of_the_bound():
    quantizer, z = FiniteScalarQuantizer([7, 5]), latents(2).requires_grad_()
    (gradient,) = torch.autograd.grad(quantizer(z).codes.sum(), z)
    half = torch.tensor([3.0, 2.0], dtype=torch.float64)[:, None, None]
    torch.testing.assert_close(gradient, 1.001 * (1 - z.tanh().square()) * half / half)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_halves_are_quantised_as_well_as_floats(half):
    z = latents(3).to(half)
    for quantizer in (FiniteScalarQuantizer([8, 5, 7]), LookupFreeQuantizer(3).eval()):
        found = quantizer(z)
        assert found.codes.dtype == half
        assert torch.equal(found.tokens, quantizer(z.float()).tokens)


def test_two_levels_need_the_symmetric_form():
    with pytest.raises(ValueError, match="symmetric=True"):
        FiniteScalarQuantizer([2, 5])


def test_gumbel_draws_have_the_probabilities_of_the_logits():
    torch.manual_seed(0)
    quantizer = GumbelQuantizer(4, 3)
    logits = torch.tensor([2.0, 0.0, 1.0, -1.0]).view(1, 4, 1, 1).expand(1, 4, 200, 200)
    tokens = quantizer(logits, seeded()).tokens
    found = torch.bincount(tokens.flatten(), minlength=4) / tokens.numel()
    torch.testing.assert_close(found, logits[0, :, 0, 0].softmax(0), atol=0.01, rtol=0)
    assert torch.equal(tokens, quantizer(logits, seeded()).tokens)
    assert not torch.equal(tokens, quantizer(logits, seeded(1)).tokens)


def test_gumbel_codes_mix_hard_or_soft():
    torch.manual_seed(0)
    soft = GumbelQuantizer(6, 3, temperature=0.7, hard=False).double()
    z, noise = latents(6), gumbel_like(latents(6), seeded(2))
    y = ((z + noise) / 0.7).softmax(1)
    found = soft(z, noise=noise)
    torch.testing.assert_close(found.codes, torch.einsum("bkhw,kd->bdhw", y, soft.codebook))
    hard = soft.eval()(z)
    assert torch.equal(hard.tokens, z.argmax(1))
    torch.testing.assert_close(hard.codes, soft.lookup(hard.tokens))


def test_the_gumbel_loss_is_the_divergence_from_uniform():
    quantizer = GumbelQuantizer(6, 3, dim=5, kl_weight=0.4).double()
    z = latents(5)
    kl = kl_to_uniform(quantizer.logits(z)).mean()
    torch.testing.assert_close(quantizer(z, seeded()).loss, 0.4 * kl)
    assert kl_to_uniform(torch.zeros(1, 6, 2)).abs().max() < 1e-6


def test_without_a_codebook_gumbel_codes_are_one_hot():
    quantizer = GumbelQuantizer(6, None).eval()
    z = latents(6)
    assert torch.equal(quantizer(z).codes, quantizer.lookup(quantizer.tokens(z)).double())
    assert not list(quantizer.parameters())
