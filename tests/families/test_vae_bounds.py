"""The bounds against a model whose ln p(x) is known: linear, Gaussian, in float64."""

from math import log, pi

import pytest
import torch
from torch import nn

from zoo import rng
from zoo_vae import bounds
from zoo_vae.gaussian import entropy, kl, kl_each, log_density
from zoo_vae.likelihoods import Gaussian
from zoo_vae.net import Vae

SIGMA = 0.7


class Linear(nn.Module):
    """z to W z + c, or pictures to the posterior: W has orthogonal columns, so that it is diagonal."""

    def __init__(self, weight, offset, stretch=1.0):
        super().__init__()
        self.weight, self.offset, self.stretch = nn.Parameter(weight), offset, stretch


class Encoder(Linear):
    def forward(self, images, labels):
        precision = self.weight.square().sum(0) + SIGMA**2  # (D,)
        mean = (images.flatten(1) - self.offset) @ self.weight / precision
        scale = (SIGMA**2 / precision).sqrt() * self.stretch
        return torch.cat([mean, scale.log().expand_as(mean)], 1)


class Decoder(Linear):
    def forward(self, latents, labels):
        return (latents @ self.weight.T + self.offset).view(-1, 1, 2, 3)


def linear(stretch=1.0):
    """(net, ln p(x) as a function): x = W z + c + SIGMA noise, 6 pixels, 2 latents."""
    torch.manual_seed(0)
    weight = torch.linalg.qr(torch.randn(6, 2, dtype=torch.float64))[0] * torch.tensor([2.0, 0.6])
    offset = torch.randn(6, dtype=torch.float64)
    net = Vae(
        (1, 2, 3), Encoder(weight, offset, stretch), Decoder(weight, offset), 2, Gaussian("shared")
    )
    net = net.double().requires_grad_(False)
    net.likelihood.log_scale.data.fill_(log(SIGMA))
    truth = torch.distributions.MultivariateNormal(
        offset, weight @ weight.T + SIGMA**2 * torch.eye(6, dtype=torch.float64)
    )
    return net, lambda images: truth.log_prob(images.flatten(1))


def pictures(count):
    torch.manual_seed(1)
    return torch.randn(count, 1, 2, 3, dtype=torch.float64)


def expected_elbo(net, images):
    """The ELBO's expectation: the mean over +-sqrt(D) e_d is exact for quadratics of the noise."""
    points = torch.eye(2, dtype=torch.float64) * 2**0.5
    values = []
    for noise in (*points, *-points):
        likely, each = bounds.elbo_terms(net, images, None, noise.expand(len(images), 2))
        values.append(likely - each.sum(1))
    return torch.stack(values).mean(0)


def test_the_elbo_at_the_exact_posterior_is_the_log_probability():
    net, truth = linear()
    images = pictures(5)
    torch.testing.assert_close(expected_elbo(net, images), truth(images), rtol=1e-12, atol=1e-12)


def test_the_elbo_falls_short_by_the_divergence_from_the_exact_posterior():
    net, truth = linear(stretch=1.5)
    images = pictures(5)
    gap = kl_each(torch.zeros(2), torch.full((2,), 1.5, dtype=torch.float64)).sum()
    short = truth(images) - expected_elbo(net, images)
    torch.testing.assert_close(short, gap.expand(5), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("k", [2, 7, 120])
def test_every_weight_at_the_exact_posterior_is_the_probability(k):
    net, truth = linear()
    images = pictures(4)
    found = bounds.importance_weighted(net, images, None, k, rng.generator(3))
    torch.testing.assert_close(found, truth(images), rtol=1e-12, atol=1e-12)


def test_the_elbo_drawn_is_its_expectation_within_its_error():
    net, _ = linear(stretch=1.5)
    image = pictures(1)
    drawn = bounds.elbo(net, image.expand(4000, -1, -1, -1), None, rng.generator(0))
    error = drawn.std() / 4000**0.5
    assert abs(drawn.mean() - expected_elbo(net, image)[0]) < 4 * error


def test_more_weights_tighten_the_bound_up_to_the_log_probability():
    net, truth = linear(stretch=1.5)
    images = pictures(1).expand(600, -1, -1, -1)
    exact = float(truth(images)[0])
    found = [bounds.importance_weighted(net, images, None, k, rng.generator(5)) for k in (1, 5, 60)]
    means = [float(each.mean()) for each in found]
    errors = [float(each.std()) / 600**0.5 for each in found]
    assert means[0] + 3 * errors[0] < means[1]
    assert means[1] + 3 * errors[1] < means[2]
    assert means[2] < exact + 3 * errors[2]
    assert exact - means[2] < 0.02


def test_how_many_latents_are_decoded_at_a_time_changes_nothing(monkeypatch):
    net, _ = linear(stretch=1.5)
    images = pictures(7)
    at_once = bounds.importance_weighted(net, images, None, 120, rng.generator(2))
    monkeypatch.setattr(bounds, "ROWS", 100)
    in_parts = bounds.importance_weighted(net, images, None, 120, rng.generator(2))
    torch.testing.assert_close(in_parts, at_once, rtol=1e-13, atol=1e-13)
    most = []
    forward = net.decoder.forward
    net.decoder.forward = lambda z, labels: most.append(len(z)) or forward(z, labels)
    bounds.importance_weighted(net, images, None, 120, rng.generator(2))
    assert max(most) == 100


GRID = torch.linspace(-12, 12, 200_001, dtype=torch.float64)


def integral(values):
    return torch.trapezoid(values, GRID)


@pytest.mark.parametrize(("m", "s", "n", "t"), [(0.3, 0.5, 0.0, 1.0), (-1.2, 1.3, 0.7, 0.4)])
def test_divergence_and_entropy_against_numeric_integration(m, s, n, t):
    m, s, n, t = (torch.tensor([each], dtype=torch.float64) for each in (m, s, n, t))
    one, other = log_density(GRID[:, None], m, s), log_density(GRID[:, None], n, t)
    assert float(integral(one.exp())) == pytest.approx(1, abs=1e-12)
    assert float(kl(m, s, n, t)) == pytest.approx(float(integral(one.exp() * (one - other))), 1e-9)
    assert float(entropy(s)) == pytest.approx(float(integral(-one.exp() * one)), 1e-9)
    standard = -(GRID.square() + log(2 * pi)) / 2
    wanted = float(integral(one.exp() * (one - standard)))
    assert float(kl_each(m, s)) == pytest.approx(wanted, 1e-9)
