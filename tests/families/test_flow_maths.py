"""Flows are exact: inverses and log-determinants against autograd's Jacobian, densities that sum to one."""

import math

import pytest
import torch
from torch.nn import functional as F

from zoo_flow.bijections import LOG_SCALES, ActNorm, Coupling, Invertible1x1, Permute
from zoo_flow.conditioners import Convolutions
from zoo_flow.dequantise import Uniform, Variational
from zoo_flow.levels import LEVELS, Histogram, Logit
from zoo_flow.mixture import MixtureCoupling
from zoo_flow.net import MASKS, Flow, Gaussian, Stage, order_of

SHAPE = (4, 4, 4)


@pytest.fixture(autouse=True)
def _double():
    torch.manual_seed(0)
    kept = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(kept)


def drawn(module):
    """Every parameter away from where it starts, so that nothing hides behind a zero."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


def jacobian(f, x):
    """log |det| of f at one x (1, ...), by autograd."""
    rows = torch.autograd.functional.jacobian(lambda each: f(each).flatten(), x)
    return torch.linalg.slogdet(rows.reshape(x.numel(), x.numel())).logabsdet


def net(inputs, outputs):
    return Convolutions(inputs, outputs, 6, 1)


BIJECTIONS = {
    "actnorm": lambda: ActNorm(SHAPE),
    "elementwise actnorm": lambda: ActNorm(SHAPE, elementwise=True),
    "1x1": lambda: Invertible1x1(4),
    "permute": lambda: Permute([2, 0, 3, 1]),
    "gaussian": lambda: Gaussian(SHAPE),
    **{
        f"coupling, {scale}": lambda scale=scale: Coupling(net(1, 6), 1, scale=scale)
        for scale in LOG_SCALES
    },
    "mixture": lambda: MixtureCoupling(net(1, 33), 1, False, 3),
    "flipped coupling": lambda: Coupling(net(3, 2), 1, flip=True),
}


@pytest.mark.parametrize("name", BIJECTIONS)
def test_a_bijection_comes_back_and_knows_its_determinant(name):
    f = drawn(BIJECTIONS[name]()).eval()
    x = torch.randn(2, *SHAPE)
    y, logdet = f(x)
    torch.testing.assert_close(f.inverse(y), x, rtol=0, atol=1e-12)
    assert logdet.shape == (2,)
    for index in range(2):
        want = jacobian(lambda each: f(each)[0], x[index : index + 1])
        torch.testing.assert_close(logdet[index], want, rtol=0, atol=1e-10)


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("mask", MASKS)
def test_a_stage_comes_back_and_knows_its_determinant(mask, split):
    stage = drawn(Stage((1, 4, 4), 2, 5, mask, 1, squeeze=True, split=split, place=True)).eval()
    x = torch.randn(1, 1, 4, 4)

    def f(each):
        on, leaves, _ = stage(each, None)
        return torch.cat([on.flatten(1), leaves.flatten(1)], 1) if split else on

    on, leaves, logdet = stage(x, None)
    torch.testing.assert_close(stage.inverse(on, leaves, None), x, rtol=0, atol=1e-12)
    torch.testing.assert_close(logdet[0], jacobian(f, x), rtol=0, atol=1e-10)


FLOWS = {
    "realnvp": {
        "stages": [
            {"mask": "checkerboard", "squeeze": True, "couplings": 2, "width": 6, "place": True},
            {"mask": "columns", "couplings": 2, "width": 6, "mixture": 2, "split": True},
        ],
        "pixels": {"kind": "histogram"},
    },
    "glow": {
        "stages": [
            {"mask": "mixed", "squeeze": True, "couplings": 2, "width": 6, "split": True},
            {"mask": "mixed", "squeeze": True, "couplings": 1, "width": 6, "blocks": 1},
        ],
        "pixels": {"kind": "logit", "alpha": 0.05},
    },
    "flat": {"stages": [{"couplings": 3, "hidden": [9]}], "pixels": {"kind": "logit"}},
}


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_comes_back_and_knows_its_determinant(name):
    flow = drawn(Flow((1, 4, 4), **FLOWS[name])).eval()
    v = torch.randint(LEVELS, (1, 1, 4, 4))
    u = torch.rand(1, 1, 4, 4)
    z, logdet = flow.latents(v, u, None)
    back = flow.pixels.inverse(flow.line(z, None))
    torch.testing.assert_close(back, v + u, rtol=0, atol=1e-9)
    want = jacobian(lambda each: flow.latents(v, each, None)[0], u)
    torch.testing.assert_close(logdet[0], want, rtol=0, atol=1e-9)
    z = torch.randn(4, 16)
    place = flow.pixels.inverse(flow.line(z, None))
    v = place.floor().clamp(0, 255)
    again, _ = flow.latents(v.long(), place - v, None)
    inside = (place > 1e-3).flatten(1).all(1) & (place < 255.999).flatten(1).all(1)
    torch.testing.assert_close(again[inside], z[inside], rtol=0, atol=1e-5)


@pytest.mark.parametrize("make", [lambda: Logit(0.0), lambda: Logit(0.05), Histogram])
def test_levels_come_back_and_know_their_slope(make):
    pixels = drawn(make())
    v = torch.arange(LEVELS).view(1, 1, 16, 16)
    u = torch.rand(1, 1, 16, 16)
    x, logdet = pixels(v, u)
    torch.testing.assert_close(pixels.inverse(x), v + u, rtol=0, atol=1e-9)
    assert (x.flatten().diff() > 0).all()
    noise = u.clone().requires_grad_()
    (slope,) = torch.autograd.grad(pixels(v, noise)[0].sum(), noise)
    torch.testing.assert_close(logdet[0], slope.log().sum(), rtol=0, atol=1e-9)


@torch.no_grad()
def test_the_histogram_makes_its_own_pixels_normal():
    pixels = Histogram()
    v = (torch.rand(40, 1, 28, 28).pow(4) * LEVELS).long()
    pixels.train()(v, torch.rand(v.shape))
    u = torch.rand(v.shape)
    x, _ = pixels(v, u)
    probabilities = torch.special.ndtr(x.flatten().sort().values)
    even = (torch.arange(x.numel()) + 0.5) / x.numel()
    assert float((probabilities - even).abs().max()) < 0.01  # Kolmogorov's distance


@torch.no_grad()
@pytest.mark.parametrize("pixels", [{"kind": "logit", "alpha": 0.0}, {"kind": "histogram"}])
def test_the_levels_of_a_pixel_given_another_have_probabilities_that_sum_to_one(pixels):
    """One coupling leaves the first pixel alone: summed over the second, its own density is left."""
    flow = Flow((1, 1, 2), [{"couplings": 1, "hidden": [7]}], pixels=pixels)
    drawn(flow).eval()
    e = torch.linspace(-7, 7, 141)  # u = Phi(e): mass piles up at the ends of the outer levels
    weight = (-e.square() / 2 + math.log(0.1) - math.log(2 * math.pi) / 2).repeat(LEVELS)
    second = torch.cartesian_prod(torch.arange(float(LEVELS)), torch.special.ndtr(e))
    for first in ((60, 0.2), (100, 0.9), (200, 0.5)):
        both = torch.stack([torch.tensor(first).expand_as(second), second], dim=1)  # [v, u] of each
        v, place = both[..., 0].reshape(-1, 1, 1, 2), both[..., 1].reshape(-1, 1, 1, 2)
        nats = flow.bound(v.long(), place, None)
        x, slope = flow.pixels(torch.tensor([[first[0]]]), torch.tensor([[first[1]]]))
        z = (x - flow.prior.mean[..., :1]) / flow.prior.log_scale[..., :1].exp()
        alone = slope - flow.prior.log_scale[..., 0].sum() - z.square().sum() / 2
        want = float(alone - math.log(2 * math.pi) / 2)
        got = float((nats + weight).logsumexp(0))
        assert got == pytest.approx(want, abs=1e-3)


def test_dequantisation_noise_has_the_density_it_says():
    q = drawn(Variational(1, 6))
    v = torch.randint(LEVELS, (1, 1, 4, 4))
    e = torch.randn(1, 1, 4, 4)
    u, log_q = q(v, e)
    assert bool(((u > 0) & (u < 1)).all())
    logdet = jacobian(lambda each: q(v, each)[0], e)
    normal = -e.square().sum() / 2 - 8 * math.log(2 * math.pi)
    torch.testing.assert_close(log_q[0], normal - logdet, rtol=0, atol=1e-9)
    noise = torch.rand(2, 1, 4, 4)
    same, nothing = Uniform()(v, noise)
    assert same is noise
    assert not nothing.any()


def test_the_base_of_an_untrained_flow_is_the_closed_form():
    """All nets start at zero: with logit pixels the density is the logistic's of each pixel."""
    flow = Flow(
        (1, 4, 4), [{"couplings": 2, "hidden": [5]}], pixels={"kind": "logit", "alpha": 0.0}
    )
    v, u = torch.randint(LEVELS, (3, 1, 4, 4)), torch.rand(3, 1, 4, 4)
    y = (v + u) / LEVELS
    x = torch.logit(y)
    slope = -(y * (1 - y)).log() - math.log(LEVELS)
    want = (slope - x.square() / 2 - math.log(2 * math.pi) / 2).flatten(1).sum(1)
    torch.testing.assert_close(flow.bound(v, u, None), want, rtol=1e-10, atol=1e-10)


def test_masks_keep_what_they_say():
    image = torch.arange(16.0).view(1, 1, 4, 4)
    channels = F.pixel_unshuffle(image, 2)[0]
    for mask, wanted in {
        "checkerboard": [0, 2, 5, 7, 8, 10, 13, 15],
        "rows": [0, 1, 2, 3, 8, 9, 10, 11],
        "columns": [0, 2, 4, 6, 8, 10, 12, 14],
    }.items():
        stays = channels[order_of(mask, 4)[:2]]
        assert sorted(stays.flatten().int().tolist()) == wanted
