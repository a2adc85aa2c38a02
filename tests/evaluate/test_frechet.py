"""The Frechet distance of Gaussians whose distance is known."""

import numpy as np
import pytest
import torch

from zoo.errors import RequestError
from zoo.evaluate import Moments, frechet_distance


def test_commuting_covariances():
    # tr(S1 + S2 - 2 sqrt(S1 S2)) = sum (sqrt a_i - sqrt b_i)^2 for diagonal matrices
    a, b = torch.tensor([1.0, 4.0, 9.0, 0.0]), torch.tensor([16.0, 4.0, 0.25, 1.0])
    shift = torch.tensor([3.0, 0.0, -1.0, 0.0])
    expected = 10 + float((a.sqrt() - b.sqrt()).square().sum())
    got = frechet_distance(torch.zeros(4), a.diag(), shift, b.diag())
    assert got == pytest.approx(expected, rel=1e-9)


def test_covariances_that_do_not_commute():
    # of a 2 x 2 matrix M = S1 S2 with eigenvalues >= 0, tr sqrt(M) = sqrt(tr M + 2 sqrt(det M))
    s1 = torch.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
    s2 = torch.tensor([[5.0, -2.0], [-2.0, 1.0]], dtype=torch.float64)
    product = s1 @ s2
    root = (product.trace() + 2 * torch.linalg.det(product).sqrt()).sqrt()
    expected = float(s1.trace() + s2.trace() - 2 * root)
    zero = torch.zeros(2, dtype=torch.float64)
    assert frechet_distance(zero, s1, zero, s2) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(zero, s2, zero, s1) == pytest.approx(expected, rel=1e-9)


def test_moments_in_batches_are_those_of_the_whole():
    numbers = np.random.default_rng(0)
    samples = 1e3 + numbers.normal(size=(500, 6)) @ numbers.normal(size=(6, 6))
    moments = Moments(6)
    for part in np.split(samples, [1, 40, 333]):
        moments.add(torch.from_numpy(part))
    assert moments.count == 500
    np.testing.assert_allclose(moments.mean, samples.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.covariance, np.cov(samples.T), rtol=1e-8)


def test_fewer_samples_than_features_and_a_set_with_itself():
    numbers = torch.Generator().manual_seed(1)
    samples = torch.randn(8, 32, generator=numbers)
    one, other = Moments(32), Moments(32)
    one.add(samples)
    other.add(samples + torch.tensor([2.0] + [0.0] * 31))
    same = frechet_distance(one.mean, one.covariance, one.mean, one.covariance)
    moved = frechet_distance(one.mean, one.covariance, other.mean, other.covariance)
    assert same == pytest.approx(0, abs=1e-5)
    assert moved == pytest.approx(4, abs=1e-5)


def test_what_cannot_be_compared():
    with pytest.raises(RequestError, match=r"one D.*\(2,\)"):
        frechet_distance(torch.zeros(2), torch.eye(2), torch.zeros(3), torch.eye(3))
    with pytest.raises(RequestError, match=r"\(B, 4\)"):
        Moments(4).add(torch.zeros(2, 5))
    single = Moments(4)
    single.add(torch.zeros(1, 4))
    with pytest.raises(RequestError, match="at least 2"):
        single.covariance  # noqa: B018
